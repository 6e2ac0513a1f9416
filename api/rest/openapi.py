"""`/openapi.json`: the OpenAPI document. `/docs`: the same for people.

Both are open to whoever the guard lets in, without a key: they say what every installation of this version
says, nothing of this one, and a client must be able to read how to show a key before it has one. They are
made when somebody asks for the first time, in a thread, because it takes some hundredths of a second.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from api.openapi.operation import Answer, Operation
from api.rest.exchange import NO_SNIFFING

if TYPE_CHECKING:
    from starlette.requests import Request

TAG = "Document"

_CACHED = ("Cache-Control", "ETag")
_NOT_CHANGED = Answer(None, "You have it already.", 304, headers=_CACHED)

OPERATIONS = (
    Operation(
        method="GET",
        path="/openapi.json",
        id="openapi",
        tag=TAG,
        summary="This document",
        description="OpenAPI 3.1. It depends on the version of AMOS alone; no key is needed.",
        scopes=None,
        headers=("If-None-Match",),
        answers=(
            Answer(
                {
                    "type": "object",
                    "properties": {"openapi": {"type": "string", "pattern": r"^3\.1\.[0-9]+$"}},
                    "required": ["openapi", "info", "paths"],
                    "additionalProperties": True,
                },
                "The document.",
                headers=_CACHED,
            ),
            _NOT_CHANGED,
        ),
    ),
    Operation(
        method="GET",
        path="/docs",
        id="docs",
        tag=TAG,
        summary="This document for people",
        description="One page without scripts, which loads nothing from anywhere.",
        scopes=None,
        headers=("If-None-Match",),
        answers=(
            Answer({"type": "string"}, "A page.", media_type="text/html", headers=_CACHED),
            _NOT_CHANGED,
        ),
    ),
)

_FOR_ALL = {
    # A new version of AMOS may come at any time, and asking costs little.
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    **{name.decode(): value.decode() for name, value in (NO_SNIFFING,)},
}


def routes() -> list[Route]:
    """The routes of this file."""
    return [Route("/openapi.json", _document), Route("/docs", _page)]


async def _document(request: Request) -> Response:
    body = await asyncio.to_thread(_document_bytes)
    headers = {**_FOR_ALL, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    return _answer(request, body, headers, "application/json")


async def _page(request: Request) -> Response:
    body, policy = await asyncio.to_thread(_page_bytes)
    headers = {**_FOR_ALL, "Content-Security-Policy": policy}
    return _answer(request, body, headers, "text/html")


def _answer(request: Request, body: bytes, headers: dict[str, str], media_type: str) -> Response:
    etag = f'"{sha256(body).hexdigest()[:24]}"'
    headers = {**headers, "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(b"", 304, headers)
    return Response(body, 200, headers, media_type=media_type)


def _document_bytes() -> bytes:
    # Imported only now: a worker that nobody asks needs none of it in memory.
    from api.openapi.document import document_bytes  # noqa: PLC0415

    return document_bytes()


def _page_bytes() -> tuple[bytes, str]:
    from api.openapi.page import page_bytes  # noqa: PLC0415

    return page_bytes()
