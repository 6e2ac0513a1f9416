"""A key in the path, for clients of SearXNG that can be told an address and nothing else. Off by default.

`/searxng/<key>/search` becomes `/searxng/search` with the key as a bearer in a header, before anybody looks
at the request: whatever is recorded, logged, traced or told in an error is told of the path without the key,
and the rules for keys in headers hold for it, such as the one that none may come by plain HTTP where there is
TLS.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

WITHOUT_KEY = "/searxng/search"

_ROOT = "/searxng/"
_KEYED = re.compile(r"/searxng/(?!search$)(?P<key>[^/]+)(?:/search)?")


class PathKeys:
    """Gives the inner application the path without the key, and the key in a header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; one that shows a key in a header as well shows two, which opens nothing."""
        if scope["path"].startswith(_ROOT) and (found := _KEYED.fullmatch(scope["path"])) is not None:
            header = (b"authorization", b"Bearer " + found["key"].encode())
            scope = {
                **scope,
                "path": WITHOUT_KEY,
                "raw_path": WITHOUT_KEY.encode(),
                "headers": [*scope["headers"], header],
            }
        await self._app(scope, receive, send)


def is_keyed(path: str) -> bool:
    """Whether the path is one of SearXNG's with a key in it."""
    return _KEYED.fullmatch(path) is not None
