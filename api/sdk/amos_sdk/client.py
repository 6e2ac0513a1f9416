"""The client that blocks, and in its docstrings what both clients do; `AsyncClient` is its twin.

with Client("https://amos.example.org", api_key=key) as amos:
    for result in amos.search("tide tables", max_results=3).results:
        print(result.title, result.url)
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from amos_sdk import wire
from amos_sdk.configuration import BASE_URL, TIMEOUT_S, checked_timeout_s, configuration, environment
from amos_sdk.driver import drive
from amos_sdk.exchange import RetryPolicy, Send, as_it_came, exchange, of_object
from amos_sdk.lines import lines_of
from amos_sdk.models import extract_answer, search_answer
from amos_sdk.record import account, executions, report, usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from amos_sdk.models import ExtractAnswer, SearchAnswer
    from amos_sdk.record import Account, Executions, Report, Usage
    from amos_sdk.wire import ExecutionOptions, ExtractOptions, ReportOptions, SearchOptions

T = TypeVar("T")

DEFAULT_RETRIES = RetryPolicy()

NO_RETRIES = RetryPolicy(attempts_max=1)

NOT_YET_S = 5.0
"""chosen: an execution is in the record within a second of its answer; this is a busy server's."""


class Client:
    """AMOS for code that blocks. Safe to use from several threads; close it, or use it in a `with`.

    `base_url` may have a path. `api_key` is sent as a bearer token and to this address only; `None` sends
    none, which suffices for the local operator. `timeout_s` bounds each call in seconds, with all its
    attempts and the waits between them; 40 by default. `retries` says when to try again. Connections are
    kept and used again. `transport` replaces the network, for tests.

    Every method raises AmosError (see amos_sdk.errors); what cannot be sent at all, such as half a character
    or a value that JSON has no word for, is a ValueError or TypeError before anything is sent. Ctrl-C passes
    through and leaves the client usable.
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
        self._timeout_s = checked_timeout_s(timeout_s)
        self._http = httpx.Client(transport=transport, **configuration(base_url, api_key))

    @classmethod
    def from_environment(cls, **options: Any) -> Self:
        """The client that `AMOS_URL` and `AMOS_KEY` describe; the options are those of `Client`.

        Nothing else reads the environment: a key there never goes to an address that stands in a program.
        """
        told = environment()
        return cls(told.base_url, **{"api_key": told.api_key, **options})

    def with_options(self, *, timeout_s: float | None = None, retries: RetryPolicy | None = None) -> Self:
        """The same client, on the same connections, with another time or other retries; `None` keeps them.

        Closing one closes both.
        """
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

    def search(self, query: str, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """Search the web; an answer without results is an answer."""
        return self._ask(wire.search(query, options), of_object(search_answer))

    def extract(self, urls: str | Sequence[str], **options: Unpack[ExtractOptions]) -> ExtractAnswer:
        """Read up to 20 pages; a page that cannot be read is in `failures`, not an error."""
        return self._ask(wire.extract(urls, options), of_object(extract_answer))

    def usage(self) -> Usage:
        """What this key's client has used this month, and what it may."""
        return self._ask(wire.usage(), of_object(usage))

    def report(self, name: str, **options: Unpack[ReportOptions]) -> Report:
        """The report `name`; needs the scope `reports`.

        There are `health`, `hit-rate`, `latency`, `queries`, `cost`, `clients` and `providers`.
        """
        return self._ask(wire.report(name, options), of_object(report))

    def executions(self, **options: Unpack[ExecutionOptions]) -> Executions:
        """Past executions that fit, newest first, a page; others' need the scope `reports`.

        A page may not be full although another follows: the server looks at a bounded number for each.
        """
        return self._ask(wire.executions(options), of_object(executions))

    def execution(self, execution_id: str, *, wait_s: float = NOT_YET_S) -> Account:
        """One call as its events and their explanation; others' calls need the scope `reports`.

        It appears within about a second of its answer. `wait_s` is how long to wait for it in seconds, 0 not
        at all; never longer than the client's `timeout_s`. Raises NotFound if it is still not there.
        """
        return self._ask(wire.execution(execution_id, wait_s), of_object(account))

    def health(self) -> dict[str, Any]:
        """Every component of the server with its status, also when the server is down."""
        return self._ask(wire.health(), of_object(dict))

    def request(
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
        """Any other route, such as `("POST", "keys")`: the JSON object it answers with, as it came.

        `path` is below `base_url`; /openapi.json has all routes. Retried like every call: what RetryPolicy
        says is safe to repeat. `wait_s` as in `execution`. Without `is_json` any answer is taken, such as the
        text of `metrics`. Raises ValueError for a path with an address of its own.
        """
        return self._ask(
            wire.request(method, path, body=body, params=params, headers=headers, wait_s=wait_s),
            as_it_came if is_json else bytes,
        )

    def lines(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """A route that tells its progress, such as `("POST", "cache/warm")`: each line as it comes.

        Not retried. The server has the client's `timeout_s` for each line. To leave early, close the
        iterator: that ends the work at the server too.
        """
        return lines_of(self._http, wire.request(method, path, body=body), self._timeout_s)

    def close(self) -> None:
        """Let go of the connections. Safe to call twice."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, send: Send, parse: Callable[[bytes], T]) -> T:
        return drive(self._http, exchange(send, parse, self._retries, self._timeout_s))
