"""`POST /cache/warm`: fetches what is asked most, and tells of each search in a line of JSON as it is done.

A run may take minutes, so the answer begins with its first line, and every line keeps proxies patient.
Whoever closes the connection ends the run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.routing import Route

from api.openapi.operation import Answer, Body, Operation, Shape
from api.rest.dialects.fields import decode_object
from api.rest.exchange import read_body
from api.rest.plain_routes import CAREFUL
from api.rest.visitor import visitor_of
from api.warming_run import USD_MAX, Lines, Wish, telling, wish_of
from orchestrator.errors import CannotWarm, EventLogUnavailable, GatewayError
from orchestrator.warming_plan import TOP_MAX

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from orchestrator.gateway import Gateway

_WISH = Shape(
    name="WarmingWish",
    kind=Wish,
    fields={
        "top": {"description": "How many searches at most.", "minimum": 1, "maximum": TOP_MAX},
        "since": {"description": "How far back to count: an age such as `7d`, or a moment.", "format": "age"},
        "budget_usd": {
            "description": "The most that it may cost.",
            "exclusiveMinimum": 0,
            "maximum": USD_MAX,
        },
        "dry_run": {"description": "Only say what would be fetched."},
    },
    rules={"additionalProperties": False},
)

OPERATIONS = (
    Operation(
        method="POST",
        path="/cache/warm",
        id="warm_cache",
        tag="Cache",
        summary="Fetch what is asked most",
        description="Answers with a line of JSON for each search as it is done: `candidate` and `of`, in the "
        "end `finished` or `rehearsed`; `error` if it broke off. Closing the connection ends it.",
        scopes=("admin",),
        body=Body(_WISH, "What to warm; without a body what the settings say.", is_required=False),
        answers=(
            Answer(
                {"type": "string", "description": "Lines of JSON."},
                "It has begun.",
                media_type="application/x-ndjson",
                headers=("Cache-Control",),
            ),
        ),
        errors=(CannotWarm, EventLogUnavailable),
    ),
)

HEAD: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/x-ndjson"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx passes on each line as it comes
        *CAREFUL,
    ],
}


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [Route("/cache/warm", WarmEndpoint(gateway), methods=["POST"])]


class WarmEndpoint:
    """The endpoint, as an ASGI application."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Warm, for whoever has the scope `admin`. Raises GatewayError until the first line is sent."""
        await self._gateway.principal_for(visitor_of(scope).caller(), "admin")
        body = await read_body(receive)
        wish = wish_of(decode_object(body) if body else {})
        async with telling(self._gateway.warming, wish) as lines:
            watch = asyncio.create_task(_until_gone(receive, lines), name="client of a warming")
            try:
                await _send_lines(lines, send)
            finally:
                watch.cancel()
                await asyncio.wait([watch])


async def _send_lines(lines: Lines, send: Send) -> None:
    has_begun = False
    try:
        async for line in lines:
            if not has_begun:
                has_begun = True
                await send(HEAD)
            await _send_line(send, line)
    except GatewayError as error:
        if not has_begun:
            raise
        await _send_line(send, {"error": {"code": error.code, "message": error.message}})
    await send({"type": "http.response.body", "body": b""})


async def _send_line(send: Send, line: dict[str, Any]) -> None:
    body = msgspec.json.encode(line) + b"\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(receive: Receive, lines: Lines) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    lines.cancel()
