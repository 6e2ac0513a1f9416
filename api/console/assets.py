"""Scripts, styles and pictures of the console: read once, served from memory, kept by browsers for ever.

An address holds the hash of its content, so that a new version of a file has a new address. While instances
of two versions run side by side, one may be asked for the other's file: it gives its own, to be kept by
nobody.
"""

from __future__ import annotations

import functools
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from api.rest.exchange import NO_SNIFFING
from api.rest.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER = Path(__file__).parent / "static"

PREFIX = "/console/static"

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""What is served, by the end of its name; other files of the folder are for readers of the code."""

FOR_EVER = "public, max-age=31536000, immutable"
"""RFC 8246; a year is what RFC 9111 counts as for ever."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    **{name.decode(): value.decode() for name, value in (NO_SNIFFING,)},
}


class Asset(msgspec.Struct, frozen=True):
    """One file: its content, the hash of that, and its media type."""

    body: bytes
    digest: str
    media_type: str


@functools.cache
def assets() -> dict[str, Asset]:
    """Every file that is served, by its name within the folder."""
    found = {}
    for file in sorted(FOLDER.rglob("*")):
        if file.suffix in MEDIA_TYPES:
            body = file.read_bytes()
            name = file.relative_to(FOLDER).as_posix()
            found[name] = Asset(body, sha256(body).hexdigest()[:16], MEDIA_TYPES[file.suffix])
    return found


def address(name: str) -> str:
    """Where a file is served. Raises KeyError for one that is not there."""
    return f"{PREFIX}/{assets()[name].digest}/{name}"


async def asset(request: Request) -> Response:
    """A file. Raises Problem (404)."""
    found = assets().get(request.path_params["name"])
    if found is None:
        raise Problem(404, "not_found", "The console has no such file.")
    is_it = request.path_params["digest"] == found.digest
    headers = {
        **_HEADERS,
        "Cache-Control": FOR_EVER if is_it else "no-cache",
        "ETag": f'"{found.digest}"',
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", 304, headers)
    return Response(found.body, 200, headers, media_type=found.media_type)
