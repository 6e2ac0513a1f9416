"""The two clients: one that blocks, one that awaits; both drive the same exchange.

with Client("https://amos.example.org", api_key=key) as amos:
    for result in amos.search("tide tables", max_results=3).results:
        print(result.title, result.url)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from amos_sdk import wire
from amos_sdk.exchange import RetryPolicy, Send, Wait, exchange
from amos_sdk.models import ExtractAnswer, SearchAnswer, extract_answer, search_answer
from amos_sdk.wire import ExtractOptions, ReportOptions, SearchOptions

T = TypeVar("T")

BASE_URL = "http://127.0.0.1:8000"
"""Where `amos serve` listens when it is told nothing else."""

TIMEOUT_S = 40.0
"""Seconds: an extract may take its server 30; the rest is the way there and back."""

CONNECT_S = 5.0
"""chosen: seconds until a connection must stand; a gateway is near."""

DEFAULT_RETRIES = RetryPolicy()
NO_RETRIES = RetryPolicy(attempts_max=1)


class Client:
    """AMOS for code that blocks. Safe to use from several threads; close it, or use it in a `with`.

    `base_url` may have a path. `api_key` is sent as a bearer token and to this address only; `None` sends
    none, which suffices for the local operator. `timeout_s` bounds each attempt, in seconds. `retries` says
    when to try again. `transport` replaces the network, for tests.

    Every method raises AmosError (see amos_sdk.errors).
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: RetryPolicy = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retries = retries
        self._http = httpx.Client(transport=transport, **_configuration(base_url, api_key, timeout_s))

    def search(self, query: str, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """Search the web; an answer without results is an answer."""
        return self._ask(wire.search(query, options), search_answer)

    def extract(self, urls: str | Sequence[str], **options: Unpack[ExtractOptions]) -> ExtractAnswer:
        """Read up to 20 pages; a page that cannot be read is in `failures`, not an error."""
        return self._ask(wire.extract(urls, options), extract_answer)

    def report(self, name: str, **options: Unpack[ReportOptions]) -> dict[str, Any]:
        """The report `name`; needs the scope `reports`.

        There are `health`, `hit-rate`, `latency`, `queries`, `cost`, `clients` and `providers`.
        """
        return self._ask(wire.report(name, options), dict)

    def execution(self, execution_id: str) -> dict[str, Any]:
        """One call as its events and their explanation. NotFound until about a second after its answer."""
        return self._ask(wire.execution(execution_id), dict)

    def health(self) -> dict[str, Any]:
        """Every component of the server with its status, also when the server is down."""
        return self._ask(wire.health(), dict)

    def close(self) -> None:
        """Let go of the connections. Safe to call twice."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, send: Send, parse: Callable[[Any], T]) -> T:
        steps = exchange(send, parse, self._retries)
        step = next(steps)
        try:
            while True:
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                    step = steps.send(None)
                else:
                    step = steps.send(self._outcome(step))
        except StopIteration as done:
            answer: T = done.value
            return answer

    def _outcome(self, send: Send) -> httpx.Response | httpx.HTTPError:
        try:
            return self._http.request(send.method, send.path, **send.options)
        except httpx.HTTPError as error:
            return error


class AsyncClient:
    """AMOS for code that awaits. One event loop; safe for concurrent calls, and to cancel.

    Its arguments and errors are those of `Client`. Close it, or use it in an `async with`.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: RetryPolicy = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = retries
        self._http = httpx.AsyncClient(transport=transport, **_configuration(base_url, api_key, timeout_s))

    async def search(self, query: str, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """See `Client.search`."""
        return await self._ask(wire.search(query, options), search_answer)

    async def extract(self, urls: str | Sequence[str], **options: Unpack[ExtractOptions]) -> ExtractAnswer:
        """See `Client.extract`."""
        return await self._ask(wire.extract(urls, options), extract_answer)

    async def report(self, name: str, **options: Unpack[ReportOptions]) -> dict[str, Any]:
        """See `Client.report`."""
        return await self._ask(wire.report(name, options), dict)

    async def execution(self, execution_id: str) -> dict[str, Any]:
        """See `Client.execution`."""
        return await self._ask(wire.execution(execution_id), dict)

    async def health(self) -> dict[str, Any]:
        """See `Client.health`."""
        return await self._ask(wire.health(), dict)

    async def aclose(self) -> None:
        """Let go of the connections. Safe to call twice."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, send: Send, parse: Callable[[Any], T]) -> T:
        steps = exchange(send, parse, self._retries)
        step = next(steps)
        try:
            while True:
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                    step = steps.send(None)
                else:
                    step = steps.send(await self._outcome(step))
        except StopIteration as done:
            answer: T = done.value
            return answer

    async def _outcome(self, send: Send) -> httpx.Response | httpx.HTTPError:
        try:
            return await self._http.request(send.method, send.path, **send.options)
        except httpx.HTTPError as error:
            return error


def _configuration(base_url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """What both clients give to httpx. Raises ValueError for an address or a key that cannot be one."""
    try:
        address = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url is not an address: {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise ValueError("base_url must be an http or https address")
    headers = {"User-Agent": "amos-sdk"}
    if api_key is not None:
        if not (api_key.isascii() and api_key.isprintable()) or " " in api_key or not api_key:
            raise ValueError("api_key holds characters that no key has; was more than the key copied?")
        headers["Authorization"] = f"Bearer {api_key}"
    return {
        "base_url": address,
        "headers": headers,
        "timeout": httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
    }
