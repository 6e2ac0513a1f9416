"""The client that awaits; the docstrings of `Client` tell what each method does.

async with AsyncClient("https://amos.example.org", api_key=key) as amos:
    answer = await amos.search("tide tables", max_results=3)
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from amos_sdk import wire
from amos_sdk.client import DEFAULT_RETRIES, NOT_YET_S
from amos_sdk.configuration import BASE_URL, TIMEOUT_S, checked_timeout_s, configuration, environment
from amos_sdk.driver import drive_async
from amos_sdk.exchange import RetryPolicy, Send, as_it_came, exchange, of_object
from amos_sdk.lines import lines_of_async
from amos_sdk.models import extract_answer, search_answer
from amos_sdk.record import account, executions, report, usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from amos_sdk.models import ExtractAnswer, SearchAnswer
    from amos_sdk.record import Account, Executions, Report, Usage
    from amos_sdk.wire import ExecutionOptions, ExtractOptions, ReportOptions, SearchOptions

T = TypeVar("T")


class AsyncClient:
    """AMOS for code that awaits. One event loop; safe for concurrent calls, and to cancel.

    Its arguments and errors are those of `Client`. Close it, or use it in an `async with`. A cancelled call
    closes its connection; the server may have made the call all the same.
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
        self._timeout_s = checked_timeout_s(timeout_s)
        self._http = httpx.AsyncClient(transport=transport, **configuration(base_url, api_key))

    @classmethod
    def from_environment(cls, **options: Any) -> Self:
        """See `Client.from_environment`."""
        told = environment()
        return cls(told.base_url, **{"api_key": told.api_key, **options})

    def with_options(self, *, timeout_s: float | None = None, retries: RetryPolicy | None = None) -> Self:
        """See `Client.with_options`."""
        other = copy.copy(self)
        if timeout_s is not None:
            vars(other)["_timeout_s"] = checked_timeout_s(timeout_s)
        if retries is not None:
            vars(other)["_retries"] = retries
        return other

    @property
    def base_url(self) -> str:
        """The address that is asked."""
        return str(self._http.base_url).rstrip("/")

    async def search(self, query: str, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """See `Client.search`."""
        return await self._ask(wire.search(query, options), of_object(search_answer))

    async def extract(self, urls: str | Sequence[str], **options: Unpack[ExtractOptions]) -> ExtractAnswer:
        """See `Client.extract`."""
        return await self._ask(wire.extract(urls, options), of_object(extract_answer))

    async def usage(self) -> Usage:
        """See `Client.usage`."""
        return await self._ask(wire.usage(), of_object(usage))

    async def report(self, name: str, **options: Unpack[ReportOptions]) -> Report:
        """See `Client.report`."""
        return await self._ask(wire.report(name, options), of_object(report))

    async def executions(self, **options: Unpack[ExecutionOptions]) -> Executions:
        """See `Client.executions`."""
        return await self._ask(wire.executions(options), of_object(executions))

    async def execution(self, execution_id: str, *, wait_s: float = NOT_YET_S) -> Account:
        """See `Client.execution`."""
        return await self._ask(wire.execution(execution_id, wait_s), of_object(account))

    async def health(self) -> dict[str, Any]:
        """See `Client.health`."""
        return await self._ask(wire.health(), of_object(dict))

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
        is_json: bool = True,
    ) -> bytes:
        """See `Client.request`."""
        return await self._ask(
            wire.request(method, path, body=body, params=params, headers=headers, wait_s=wait_s),
            as_it_came if is_json else bytes,
        )

    def lines(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[dict[str, Any]]:
        """See `Client.lines`."""
        return lines_of_async(self._http, wire.request(method, path, body=body), self._timeout_s)

    async def aclose(self) -> None:
        """Let go of the connections. Safe to call twice."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, send: Send, parse: Callable[[bytes], T]) -> T:
        return await drive_async(self._http, exchange(send, parse, self._retries, self._timeout_s))
