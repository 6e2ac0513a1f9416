"""Providers that do what no provider may, one each; made of one that does nothing wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import msgspec

from orchestrator.errors import ProviderUnavailable
from orchestrator.model import Call, ExtractAnswer, ExtractRequest, Found, SearchAnswer, SearchRequest
from orchestrator.plugin import FREE, WEB_SCHEMES, Cost, ProviderRejected, result
from orchestrator.ports import ProviderTiming

BLOCKS_S = 0.3


class Honest:
    """A provider as it should be, without any upstream: it finds the query, or nothing for `nothing`."""

    def __init__(self, name: str = "rogue") -> None:
        self.name = name
        self.operations = frozenset({"search"})
        self.schemes = WEB_SCHEMES
        self.timing: ProviderTiming | None = None
        self.calls = 0

    def search_estimate(self, request: SearchRequest) -> Cost:
        """Free."""
        return FREE

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """Free."""
        return FREE

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Two results, after a moment."""
        self.calls += 1
        await asyncio.sleep(0.005)
        return self.answer(call.request)

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Not offered."""
        raise ProviderRejected("no", provider=self.name, reason="not_offered")

    async def aclose(self) -> None:
        """Nothing to release."""

    def answer(self, request: SearchRequest) -> Found[SearchAnswer]:
        """What it finds."""
        results = tuple(
            result(f"Page {n}", f"https://{self.name}.example/{n}", "Some text.", score=1 / n) for n in (1, 2)
        )
        return Found(
            answer=SearchAnswer(results=results, answer=None, images=()), provider=self.name, cost=FREE
        )


class Hanging(Honest):
    """Never answers."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Wait for ever."""
        self.calls += 1
        await asyncio.Event().wait()


class Swallowing(Honest):
    """Never answers, and goes on when it is cancelled."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Wait for ever and a day."""
        self.calls += 1
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


class Immortal(Honest):
    """Waits for a task that swallows its cancellation, so that not even closing it helps, until `release`."""

    def __init__(self, name: str = "rogue") -> None:
        super().__init__(name)
        self.release = asyncio.Event()

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Wait until released."""
        self.calls += 1
        await asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        while not self.release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.release.wait()


class Raising(Honest):
    """Raises what it is told to."""

    def __init__(self, error: BaseException, name: str = "rogue") -> None:
        super().__init__(name)
        self.error = error

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Raise."""
        self.calls += 1
        await asyncio.sleep(0)
        raise self.error


class Answering(Honest):
    """Answers with whatever it is told to."""

    def __init__(self, answer: Any, name: str = "rogue") -> None:
        super().__init__(name)
        self.given = answer

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Give it."""
        self.calls += 1
        return self.given


class Blocking(Honest):
    """Holds the event loop before it answers."""

    async def search(self, call: Call[SearchRequest]) -> Any:
        """Block, as a client that is not asynchronous does."""
        self.calls += 1
        _block()
        return self.answer(call.request)


def _block(seconds: float = BLOCKS_S) -> None:
    time.sleep(seconds)


def garbage(name: str = "rogue") -> dict[str, Any]:
    """Answers that are none, by what is wrong with them."""
    good = Honest(name).answer(SearchRequest(query="x"))
    first = good.answer.results[0]

    def with_result(**fields: Any) -> Found[SearchAnswer]:
        results = (msgspec.structs.replace(first, **fields),)
        return msgspec.structs.replace(good, answer=msgspec.structs.replace(good.answer, results=results))

    def with_results(results: Any) -> Found[SearchAnswer]:
        return msgspec.structs.replace(good, answer=msgspec.structs.replace(good.answer, results=results))

    return {
        "nothing": None,
        "a list": [first],
        "an answer alone": good.answer,
        "no answer": msgspec.structs.replace(good, answer=None),
        "an extract": msgspec.structs.replace(good, answer=ExtractAnswer(pages=())),
        "another name": msgspec.structs.replace(good, provider="tavily"),
        "results are dicts": with_results(({"title": "a", "url": "b", "content": "c", "score": 1},)),
        "results are a number": with_results(7),
        "results are nothing": with_results(None),
        "a million results": with_results((first,) * 1_000_000),
        "a title that is a number": with_result(title=7),
        "no title": with_result(title=None),
        "no URL": with_result(url=None),
        "a score that is no number": with_result(score=float("nan")),
        "an endless score": with_result(score=float("inf")),
        "a score of 7": with_result(score=7.0),
        "a negative score": with_result(score=-0.1),
        "a score that is text": with_result(score="high"),
        "a title of 20 MB": with_result(title="x" * 20_000_000),
        "half a character": with_result(content="\ud800"),
        "an object": with_result(images=(object(),)),
        "a cost that is a number": msgspec.structs.replace(good, cost=1),
        "a negative cost": msgspec.structs.replace(good, cost=Cost(amount=-1.0, unit="credits")),
        "an endless cost": msgspec.structs.replace(good, cost=Cost(amount=float("inf"), unit="credits")),
        "a cost of half a micro": msgspec.structs.replace(good, cost=Cost(usd_micros=0.5)),  # type: ignore[arg-type]
        "unsupported is a number": msgspec.structs.replace(good, unsupported=7),
    }


def unsound_errors() -> dict[str, BaseException]:
    """Errors that no provider may raise, by what is wrong with them."""
    return {
        "a bug": KeyError("results"),
        "a system error": OSError("gone"),
        "a deep one": RecursionError(),
        "the end": SystemExit(3),
        "no exception of anybody": BaseException("bare"),
        "another name": ProviderUnavailable("no", provider="tavily", reason="connect"),
        "a reason that is a sentence": ProviderUnavailable("no", provider="rogue", reason="It is gone."),
        "no reason": ProviderUnavailable("no", provider="rogue", reason=None),  # type: ignore[arg-type]
        "an endless wait": ProviderUnavailable(
            "no", provider="rogue", reason="x", retry_after_s=float("inf")
        ),
        "a negative bill": ProviderUnavailable(
            "no", provider="rogue", reason="x", cost=Cost(amount=-1.0, unit="credits")
        ),
    }
