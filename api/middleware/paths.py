"""One path for each resource: repeated slashes and configured prefixes are taken away before anybody looks.

Clients join a base URL and a path carelessly (`http://host/` gives `//search`, `http://host/t/` gives
`/t//search`), and some insist on a prefix. Rewriting inside spares them a redirect, which not all follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("//+")


class Paths:
    """Gives the inner application the plain path."""

    def __init__(self, app: ASGIApp, prefixes: Sequence[str] = ()) -> None:
        self._app = app
        self._prefixes = tuple(prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its plain path."""
        if scope["type"] == "http":
            path = plain(scope["path"], self._prefixes)
            if path != scope["path"]:
                scope = {**scope, "path": path, "root_path": ""}
        await self._app(scope, receive, send)


def plain(path: str, prefixes: Sequence[str] = ()) -> str:
    """The path without repeated slashes, without one at its end, and without the first prefix that fits."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    for prefix in prefixes:
        if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
            path = path[len(prefix) :]
            break
    return path.rstrip("/") or "/"
