"""Decides for every route whether a request may be the local operator's, and turns away what never may pass.

Without API keys the person at this machine is trusted, so everything else that can reach a loopback port must
be told apart from them: a proxy that forwards strangers, and above all the web pages in their own browser.

Turned away here, on every route:
- a `Host` that is not loopback (421): DNS rebinding makes a foreign name point at 127.0.0.1, but the page's
  requests still carry its name; no or several hosts are 400;
- an `Origin` that is not our own (403): another page's script, or its form; `null` is foreign too;
- `Sec-Fetch-Site: cross-site` or `same-site` (403): browsers send no `Origin` with an image, link or frame,
  and a GET alone can spend money. Another port of localhost is "same-site" and just as foreign;
- a body with an `Origin`, even our own, that is not declared as JSON (415): forms cannot declare that.

Let in as a stranger, which means 401 wherever a caller must be known: a request with a proxy's header, or
from an address that is not loopback. `/livez` and `/readyz` still answer a balancer, without details.

Whatever is turned away is counted by its code, and the health report tells how often: DNS rebinding is an
attack somebody wants to hear of.

What is left: a browser from before 2023 that sends neither header can be made to run a GET search by an image
on a page. The page cannot read the answer, and the search is in the log.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from api.rest.problems import Problem
from api.rest.visitor import SCOPE_KEY, Headers, Visitor, fold

PROXY_HEADERS = frozenset(
    {
        *(b"via", b"x-real-ip", b"x-client-ip", b"client-ip", b"true-client-ip", b"x-remote-ip"),
        *(b"x-cluster-client-ip", b"x-original-host", b"x-proxyuser-ip", b"x-forward-for"),
        # By name: delivery networks (RFC 8586), Cloudflare, Fastly, Fly, Envoy, Akamai, Amazon, Azure, Google
        *(b"cdn-loop", b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-ray", b"fastly-client-ip"),
        *(b"fly-client-ip", b"x-envoy-external-address", b"x-envoy-original-path", b"x-akamai-edgescape"),
        *(b"x-amz-cf-id", b"x-azure-clientip", b"x-azure-ref", b"x-appengine-user-ip"),
    }
)
"""Headers only a proxy adds, beside `Forwarded` and every other whose name contains that word."""

_OUR_PAGES = (b"same-origin", b"none")
_HOST = re.compile(r"(?P<name>[^\[\]:@/\s]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
_JSON = re.compile(rb"application/json\s*(;.*)?", re.IGNORECASE)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "QUERY", "DELETE"})


class Guard:
    """The outermost layer that looks at a request; leaves a Visitor in the scope. Raises Problem.

    `turned_away` is told the code of each problem.
    """

    def __init__(self, app: ASGIApp, turned_away: Callable[[str], None]) -> None:
        self._app = app
        self._turned_away = turned_away

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in or turn it away."""
        headers = fold(scope["headers"])
        try:
            _check(headers, scope)
        except Problem as problem:
            self._turned_away(problem.code)
            raise
        scope[SCOPE_KEY] = Visitor(headers, _refusal(headers, scope.get("client")))
        await self._app(scope, receive, send)


def _check(headers: Headers, scope: Scope) -> None:
    host = headers.get(b"host", b"")
    _check_host(host)
    if b"origin" in headers:
        _check_origin(headers, scope["scheme"].encode() + b"://" + host, scope["method"])
    if headers.get(b"sec-fetch-site", b"none") not in _OUR_PAGES:
        raise Problem(403, "foreign_site", "Pages of other sites may not use this gateway.")


def _check_host(host: bytes) -> None:
    if not is_loopback(host):
        if not host or b"," in host:
            raise Problem(400, "host_missing", "The request must name one Host.")
        raise Problem(
            421,
            "foreign_host",
            "AMOS answers only to the names of this machine: use http://localhost or http://127.0.0.1.",
        )


def _check_origin(headers: Headers, ours: bytes, method: str) -> None:
    if headers[b"origin"].lower() != ours.lower():
        raise Problem(403, "foreign_origin", "Pages of other origins may not use this gateway.")
    if method in _WITH_BODY and _JSON.fullmatch(headers.get(b"content-type", b"")) is None:
        raise Problem(415, "not_json", "A page must declare its body as Content-Type: application/json.")


def _refusal(headers: Headers, client: tuple[str, int] | None) -> str:
    """Why this is not the local operator, as a short code; `""` if nothing speaks against it."""
    if client is None or not _is_loopback_address(client[0]):
        return "foreign_peer"
    # One search in all names at once: a loop over them would cost every hit three microseconds.
    if not PROXY_HEADERS.isdisjoint(headers) or b"forwarded" in b"\n".join(headers):
        return "proxied"
    return ""


@lru_cache(maxsize=256)
def is_loopback(host: bytes) -> bool:
    """Whether a Host header names this machine: localhost, 127.0.0.0/8 or [::1], with any port."""
    found = _HOST.fullmatch(host.decode("latin-1"))
    if found is None:
        return False
    name = found["name"].lower()
    return name == "localhost" or _is_loopback_address(name.strip("[]"))


@lru_cache(maxsize=256)
def _is_loopback_address(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
