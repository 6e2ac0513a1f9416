"""The HTTP client of one provider: a JSON request out, a bounded answer in, every failure one of our errors.

httpx is the interface; aiohttp carries it (`httpx-aiohttp`), because httpx's own connection pool serves a
tenth of the calls at 64 concurrent ones. Both are known to this module and upstream_faults.py only. The
transport is called without httpx's client around it: that parses the address anew for each call and looks for
cookies in each answer, a fifth of what a miss takes, for things we do not want.

On purpose nothing follows a redirect (a key would travel along), keeps a cookie (calls of different people
would share it) or reads the proxy variables of the environment; `SSL_CERT_FILE` and `SSL_CERT_DIR` are
honoured.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import cache, lru_cache
from typing import Any, TypeAlias, cast
from urllib.parse import urlencode

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport

from orchestrator import limits
from orchestrator.errors import ProviderProtocolError
from orchestrator.model import Call
from orchestrator.ports import Clock
from orchestrator.providers.upstream_faults import TRANSPORT_ERRORS, retry_after_s, transport_fault
from orchestrator.trace_context import traceparent

CONNECTIONS_MAX = 256
"""chosen: sockets of one provider in one process; more calls than that wait for one, within their own
timeout."""

KEEPALIVE_S = 15.0
"""chosen: an idle connection is kept this long. Public balancers close idle ones after 60 s and more; a
connection closed under our hands costs a failed attempt, because a paid call is not repeated silently."""

UPSTREAM_S_MAX = 60.0
"""chosen: no call lasts longer unless it says so, whoever forgot to limit it. The timeout stage normally
cancels much earlier."""

STREAM_END_S = 0.05
"""chosen: a stream that has said what we waited for is given this long to end by itself, so that its
connection can be used again; then it is cut."""

Enough: TypeAlias = Callable[[bytes], bool]
"""Is shown each piece of a stream as it comes, and says whether that was all we waited for."""

Sink: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Takes each piece of an answer as it comes."""

HEADERS = {"User-Agent": "amos", "Accept": "application/json", "Accept-Encoding": "gzip"}
"""How we introduce ourselves, and what we can read."""

STREAM_HEADERS = {**HEADERS, "Accept-Encoding": "identity"}
"""The same for a stream, which is read in the pieces it comes in."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. `headers` ignore case; `retry_after_s` is `Retry-After`, `None` if not given."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    retry_after_s: float | None = None


class Upstream:
    """One provider's client. Opens connections as needed; may be called concurrently; `aclose` ends it.

    `provider` is the name that errors carry. `connections_max` bounds the sockets open at once.
    """

    def __init__(self, provider: str, clock: Clock, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self._provider = provider
        self._clock = clock
        self._transport = transport(connections_max)

    async def post_json(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        limit_s: float | None = None,
        enough: Enough | None = None,
    ) -> Reply:
        """Send `body` as JSON and read the whole answer, whatever its status, within `limit_s` seconds.

        `None` is `UPSTREAM_S_MAX`, which only calls that may take longer than any search need not keep.

        With `enough` the answer may be a stream, which is read, uncompressed, until that says so. Raises
        ProviderTimeout, ProviderUnavailable or ProviderProtocolError (too large, not HTTP). Cancelling closes
        the connection.
        """
        content = msgspec.json.encode(body)
        sent = {**headers, "Content-Type": "application/json"}
        limit_s = limit_s or UPSTREAM_S_MAX
        return await self._send("POST", url, sent, content, limit_s=limit_s, enough=enough)

    async def post_for_stream(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        limit_s: float,
        sink: Sink,
    ) -> Reply:
        """Send `body` as JSON and hand the pieces of a good answer (200) to `sink`, as they come.

        The reply then has no body. Any other answer is read whole, as by `post_json`, and raises as that
        does.
        """
        # Unpacked, because what packs a stream keeps events back until there is enough of them.
        of_stream = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        sent = {**headers, "Content-Type": "application/json", **of_stream}
        return await self._send("POST", url, sent, msgspec.json.encode(body), limit_s=limit_s, sink=sink)

    async def get(
        self, url: str, *, headers: Mapping[str, str], params: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask and read the whole answer, otherwise like `post_json`. `params` become the query of the URL."""
        return await self._send("GET", url, headers, params=params)

    async def delete(self, url: str, *, headers: Mapping[str, str]) -> Reply:
        """Have something deleted, otherwise like `get`."""
        return await self._send("DELETE", url, headers)

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        await self._transport.aclose()

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        *,
        params: Mapping[str, str] | None = None,
        limit_s: float = UPSTREAM_S_MAX,
        sink: Sink | None = None,
        enough: Enough | None = None,
    ) -> Reply:
        ours = HEADERS if enough is None else STREAM_HEADERS
        try:
            async with asyncio.timeout(limit_s):
                address = _parsed(url)
                if params:
                    address = address.copy_with(query=urlencode(params).encode())
                request = httpx.Request(method, address, headers={**ours, **headers}, content=content)
                response = await self._transport.handle_async_request(request)
                try:
                    received = await (
                        self._read(response, sink if response.status_code == 200 else None)
                        if enough is None
                        else self._listen(response, enough)
                    )
                finally:
                    await response.aclose()
        except TRANSPORT_ERRORS as error:
            raise transport_fault(error, self._provider) from error
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=received,
            retry_after_s=retry_after_s(response.headers.get("retry-after"), self._clock.now()),
        )

    async def _read(self, response: httpx.Response, sink: Sink | None) -> bytes:
        """The decompressed body, or nothing if a sink has it; refused on the way once it grows too large."""
        received, size = bytearray(), 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            self._check_size(size)
            if sink is None:
                received += chunk
            else:
                await sink(chunk)
        return bytes(received)

    async def _listen(self, response: httpx.Response, enough: Enough) -> bytes:
        """The body up to where it is enough."""
        received = bytearray()
        # The transport's own stream: httpx's generators around it would be left to the garbage collector,
        # which ends them in a task that nobody owns.
        stream = cast("AsyncGenerator[bytes, None]", aiter(cast("httpx.AsyncByteStream", response.stream)))
        async with contextlib.aclosing(stream) as pieces:
            async for piece in pieces:
                received += piece
                self._check_size(len(received))
                if enough(piece):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(STREAM_END_S):
                            await anext(pieces, None)
                    break
        return bytes(received)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > limits.UPSTREAM_BODY_BYTES_MAX:
            raise ProviderProtocolError(
                f"{self._provider} sent more than {limits.UPSTREAM_BODY_BYTES_MAX} bytes.",
                provider=self._provider,
                reason="too_large",
            )


def trace_headers(call: Call[Any]) -> dict[str, str]:
    """The `traceparent` of the attempt that makes the call; none without one, as in a direct call."""
    return {"traceparent": traceparent(call.trail.trace_id, call.span_id)} if call.span_id else {}


def transport(connections_max: int = CONNECTIONS_MAX) -> AiohttpTransport:
    """What carries the calls of one provider, over at most so many sockets at once."""

    def session() -> aiohttp.ClientSession:
        # Made at the first call, because aiohttp wants a running event loop.
        connector = aiohttp.TCPConnector(ssl=_tls(), limit=connections_max, keepalive_timeout=KEEPALIVE_S)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    return AiohttpTransport(verify=_tls(), client=session)


@lru_cache(maxsize=16)
def _parsed(url: str) -> httpx.URL:
    """The address, parsed once: an installation calls a handful. Raises httpx.InvalidURL."""
    return httpx.URL(url)


@cache
def _tls() -> ssl.SSLContext:
    """One context for all providers: making it reads the certificate store, some tens of milliseconds."""
    return httpx.create_ssl_context()
