"""A provider whose answers are written in advance: a real, small implementation of the port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from orchestrator.events import Cost
from orchestrator.model import (
    Call,
    ExtractAnswer,
    ExtractRequest,
    Found,
    Page,
    PageFailure,
    SearchAnswer,
    SearchRequest,
    SearchResult,
)
from orchestrator.ports import WEB_SCHEMES, ProviderTiming

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
"""What one search costs at a scripted provider, unless it is told otherwise."""

Line: TypeAlias = "int | Exception | SearchAnswer | ExtractAnswer | Callable[[Call[Any]], Any]"
"""One answer of a script: so many results, an error, an answer, or a function of the call (may be async)."""


class ScriptedProvider:
    """Follows its script line by line and repeats the last one; `delay_s` passes before each answer.

    `local` has files, every other one web pages, unless it is told its `schemes`. `calls` counts what reached
    it; `urls` and `queries` keep what it was asked.
    """

    def __init__(
        self,
        name: str = "tavily",
        script: Iterable[Line] = (3,),
        *,
        operations: Iterable[str] = ("search", "extract"),
        cost: Cost = CREDIT,
        delay_s: float = 0.0,
        schemes: frozenset[str] | None = None,
        timing: ProviderTiming | None = None,
    ) -> None:
        self.name = name
        self.operations = frozenset(operations)
        self.schemes = schemes or (frozenset({"file"}) if name == "local" else WEB_SCHEMES)
        self.timing = timing
        self.calls = 0
        self.queries: list[str] = []
        self.urls: list[tuple[str, ...]] = []
        self.delay_s = delay_s
        self.script = list(script)
        self._cost = cost

    def search_estimate(self, request: SearchRequest) -> Cost:
        """The price of any search."""
        return self._cost

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """The price of any extract."""
        return self._cost

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """The next line of the script, as a search."""
        self.queries.append(call.request.query)
        line = await self._next(call)
        answer = found(line, self.name) if isinstance(line, int) else line
        return Found(answer=answer, provider=self.name, cost=self._cost)

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """The next line of the script, as an extract; a number of pages is read, the other URLs fail."""
        self.urls.append(call.request.urls)
        line = await self._next(call)
        answer = read(call.request.urls, line, self.name) if isinstance(line, int) else line
        return Found(answer=answer, provider=self.name, cost=self._cost)

    async def aclose(self) -> None:
        """Nothing to release."""

    async def _next(self, call: Call[Any]) -> Any:
        line = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        await asyncio.sleep(self.delay_s)
        if callable(line):
            line = line(call)
            if asyncio.iscoroutine(line):
                line = await line
        if isinstance(line, Exception):
            # A new one each time: an exception that is raised twice would carry two tracebacks.
            raise _again(line)
        return line


def found(count: int, source: str = "web") -> SearchAnswer:
    """An answer with `count` results; those of `local` are files."""
    folder = "file:///local" if source == "local" else f"https://{source}.example"
    return SearchAnswer(
        results=tuple(result(f"{folder}/{n}", score=1.0 / (n + 1)) for n in range(count)),
        answer=None,
        images=(),
    )


def result(url: str, *, title: str = "A page", score: float = 0.5, **fields: Any) -> SearchResult:
    """One search result."""
    return SearchResult(
        **{"url": url, "title": title, "content": "Some text.", "score": score, "raw_content": None, **fields}
    )


def read(urls: tuple[str, ...], count: int, source: str = "web") -> ExtractAnswer:
    """The first `count` pages, read by `source`; the others failed."""
    return ExtractAnswer(
        pages=tuple(Page(url=url, raw_content=f"{url} as read by {source}") for url in urls[:count]),
        failures=tuple(PageFailure(url=url, error=f"{source} could not.") for url in urls[count:]),
    )


def results_of(fragment: bytes) -> list[dict[str, Any]]:
    """The results in an encoded fragment."""
    results: list[dict[str, Any]] = msgspec.json.decode(b"{" + fragment + b"}")["results"]
    return results


def _again(error: Exception) -> Exception:
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    twin.args = error.args
    return twin
