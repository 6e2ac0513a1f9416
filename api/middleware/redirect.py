"""Sends what comes in plain HTTP to HTTPS, serves none of it, and tells browsers to come by HTTPS at once.

A GET or HEAD is redirected, because people type names without a scheme. Anything else, and whatever shows
a key, is refused: following a redirect it would send its key and its question in clear text each time again,
and nobody would notice.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.guard import check_host
from api.rest.exchange import send_answer
from api.rest.problems import Problem
from api.rest.visitor import fold

STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
"""RFC 6797, with the two years that the OWASP list of 2026-07-19 names. Never over plain HTTP (7.2)."""

_HTTPS_PORT = 443
_KEY_HEADERS = frozenset({b"authorization", b"x-api-key"})


class HttpsOnly:
    """Lets through what came by TLS. Raises Problem; the target names no host that is not ours."""

    def __init__(self, app: ASGIApp, port: int, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._port = b"" if port == _HTTPS_PORT else b":%d" % port
        self._allowed_hosts = tuple(allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in place of the application what did not come by TLS."""
        if scope["scheme"] == "https":
            await self._app(scope, receive, _strict(send))
            return
        headers = fold(scope["headers"])
        host = headers.get(b"host", b"")
        check_host(host, self._allowed_hosts)
        name = host[: host.index(b"]") + 1] if host.startswith(b"[") else host.partition(b":")[0]
        site = b"https://" + name + self._port
        if scope["method"] not in ("GET", "HEAD") or not _KEY_HEADERS.isdisjoint(headers):
            raise Problem(
                403,
                "https_required",
                f"Use {site.decode('latin-1')}. What was sent here came in clear text: a key among it should "
                "be replaced.",
            )
        path = scope["raw_path"] if scope["raw_path"].startswith(b"/") else b"/"
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        await send_answer(
            send, 308, [(b"location", site + path + query), (b"cache-control", b"no-store")], b""
        )


def _strict(send: Send) -> Send:
    async def send_strictly(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], STRICT_TRANSPORT]
        await send(message)

    return send_strictly
