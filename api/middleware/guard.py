"""Decides for every route whether a request may be the local operator's, and turns away what never may pass.

Without API keys the person at this machine is trusted, so everything else that can reach a loopback port must
be told apart from them: a proxy that forwards strangers, and above all the web pages in their own browser.

Turned away here, on every route:
- a `Host` that is neither loopback nor allowed (421): DNS rebinding makes a foreign name point at our
  address, but the page's requests still carry its name; no or several hosts are 400;
- an `Origin` that is neither our own nor allowed (403): another page's script, or its form; `null` is foreign
  too;
- `Sec-Fetch-Site: cross-site` or `same-site` without an allowed origin (403): browsers send no `Origin` with
  an image, link or frame, and a GET alone can spend money. Another port of localhost is "same-site" and just
  as foreign;
- a body with an `Origin`, even our own, that is not declared as JSON (415): forms cannot declare that.

Let in as a stranger, which means 401 wherever a caller must be known: a request with a proxy's header, from a
trusted proxy, from an address that is not loopback, by an address others can reach, or from a page of an
allowed origin. `/livez` and `/readyz` still answer a balancer, without details.

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

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware.cors import answer_preflight
from api.middleware.proxies import Proxies
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
_HOST = re.compile(r"(?P<name>[^\[\]:@/\s]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_JSON = re.compile(rb"application/json\s*(;.*)?", re.IGNORECASE)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "QUERY", "DELETE"})
_DEFAULT_PORTS = ("80", "443")


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """Under which names, and for whose pages, the operator has opened the gateway.

    `hosts` are names and addresses in lower case, with a port or for any, `*.example.org` for all below it.
    `origins` are exact. `proxies` are networks whose proxies' word counts. `is_public` says that other
    machines can reach the address we listen on: then nobody is the local operator.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    is_public: bool = False


LOCAL_DOORS = Doors()
"""Open to this machine alone."""


class Guard:
    """The outermost layer that looks at a request; leaves a Visitor in the scope. Raises Problem.

    `turned_away` is told the code of each problem.
    """

    def __init__(self, app: ASGIApp, turned_away: Callable[[str], None], doors: Doors = LOCAL_DOORS) -> None:
        self._app = app
        self._turned_away = turned_away
        self._doors = doors
        self._is_local = doors == LOCAL_DOORS
        self._proxies = Proxies(doors.proxies)
        self._origins = frozenset(origin.encode() for origin in doors.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in or turn it away."""
        headers = fold(scope["headers"])
        client = scope.get("client")
        peer = client[0] if client else ""
        address, scheme = peer, ""
        if self._doors.proxies or ":" in peer:
            address, scheme = self._proxies.client(headers, peer)
        is_ours = True
        try:
            check_host(headers.get(b"host", b""), self._doors.hosts)
            if b"origin" in headers:
                is_ours = self._check_origin(headers, scheme or scope["scheme"], scope["method"])
            if is_ours:
                _check_site(headers)
        except Problem as problem:
            self._turned_away(problem.code)
            raise
        if not is_ours and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await answer_preflight(send)
            return
        scope[SCOPE_KEY] = Visitor(headers, self._refusal(headers, peer, is_ours=is_ours), address)
        await self._app(scope, receive, send)

    def _check_origin(self, headers: Headers, scheme: str, method: str) -> bool:
        """Whether the page is one of ours, and not one of an allowed origin. Raises Problem for others."""
        origin = headers[b"origin"].lower()
        is_ours = origin == scheme.encode() + b"://" + headers[b"host"].lower()
        if not is_ours and origin not in self._origins:
            raise Problem(403, "foreign_origin", "Pages of other origins may not use this gateway.")
        if method in _WITH_BODY and _JSON.fullmatch(headers.get(b"content-type", b"")) is None:
            raise Problem(415, "not_json", "A page must declare its body as Content-Type: application/json.")
        return is_ours

    def _refusal(self, headers: Headers, peer: str, *, is_ours: bool) -> str:
        """Why this is not the local operator, as a short code; `""` if nothing speaks against it."""
        if not _is_loopback_address(peer):
            return "foreign_peer"
        # One search in all names at once: a loop over them would cost every hit three microseconds.
        if not PROXY_HEADERS.isdisjoint(headers) or b"forwarded" in b"\n".join(headers):
            return "proxied"
        return "" if self._is_local else self._opened(headers[b"host"], peer, is_ours=is_ours)

    def _opened(self, host: bytes, peer: str, *, is_ours: bool) -> str:
        """Which of the doors that are open to others the request came by, `""` for none."""
        if self._proxies.trusts(peer):
            return "proxied"
        if not is_ours:
            return "foreign_page"
        if self._doors.is_public:
            return "public_address"
        return "" if is_loopback(host) else "public_name"


def _check_site(headers: Headers) -> None:
    if headers.get(b"sec-fetch-site", b"none") not in _OUR_PAGES:
        raise Problem(403, "foreign_site", "Pages of other sites may not use this gateway.")


def check_host(host: bytes, allowed: tuple[str, ...]) -> None:
    """Raise Problem unless the request names one host that is this machine's own or allowed."""
    if not is_loopback(host) and not is_allowed(host, allowed):
        if not host or b"," in host:
            raise Problem(400, "host_missing", "The request must name one Host.")
        raise Problem(
            421,
            "foreign_host",
            "AMOS does not answer to this name. On this machine use http://localhost or http://127.0.0.1; "
            "other names must be listed in AMOS_ALLOWED_HOSTS.",
        )


@lru_cache(maxsize=256)
def is_allowed(host: bytes, allowed: tuple[str, ...]) -> bool:
    """Whether a Host header is in the list. An entry without a port is good for every port."""
    found = _HOST.fullmatch(host.decode("latin-1"))
    if found is None:
        return False
    name, port = found["name"].lower(), found["port"]
    # A client leaves out the port that its scheme implies.
    ports = _DEFAULT_PORTS if port is None else (port,)
    for entry in allowed:
        wanted = _HOST.fullmatch(entry)
        if wanted is None or (wanted["port"] is not None and wanted["port"] not in ports):
            continue
        pattern = wanted["name"]
        if name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:])):
            return True
    return False


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
