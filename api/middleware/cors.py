"""Lets pages of the origins in AMOS_ALLOWED_ORIGINS read our answers (the Fetch standard's CORS).

Only exact origins, and never with credentials: cookies mean nothing here, a page shows a key as any client
does. Who may ask at all is the guard's decision; this layer only tells the browser what it may show its page.
It stands outside the layer that answers failures, because a page must be able to read those too.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.rest.exchange import send_answer

ALLOWED_HEADERS = (
    b"authorization, x-api-key, content-type, accept, cache-control, x-request-id, mcp-protocol-version, "
    b"mcp-method, mcp-name, mcp-session-id, last-event-id, traceparent, tracestate"
)
"""What a page may send, beside what any page may. By name, because `*` never covers Authorization."""

EXPOSED_HEADERS = (
    b"ratelimit, ratelimit-policy, retry-after, cache-status, age, server-timing, x-request-id, traceparent, "
    b"mcp-session-id, www-authenticate, etag"
)
"""What a page may read, beside what any page may."""

_METHODS = b"GET, HEAD, POST, QUERY, PUT, PATCH, DELETE, OPTIONS"
_VARY = (b"vary", b"Origin")

_PREFLIGHT = (
    (b"access-control-allow-methods", _METHODS),
    (b"access-control-allow-headers", ALLOWED_HEADERS),
    # chosen: the longest time every browser honours is 2 h; ten minutes keep a change of mind short.
    (b"access-control-max-age", b"600"),
    (b"cache-control", b"no-store"),
)


class Cors:
    """Adds to each answer what a page of an allowed origin needs to read it."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the inner application does."""
        origin = next((value for name, value in scope["headers"] if name == b"origin"), b"").lower()
        # Also without an origin: a cached answer must not be shown to a page as if it were for it.
        headers = [_VARY]
        if origin in self._origins:
            headers += [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", EXPOSED_HEADERS),
            ]

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self._app(scope, receive, send_readable)


async def answer_preflight(send: Send) -> None:
    """Tell a browser that the page may ask in every way we offer."""
    await send_answer(send, 200, _PREFLIGHT, b"")
