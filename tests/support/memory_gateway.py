"""The real gateway and pipeline on parts in memory: a journal that is a list, a provider with a script."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from api.app import create_app
from api.settings import Settings
from orchestrator.cache_admin import CacheAdmin
from orchestrator.clock import SystemClock
from orchestrator.errors import EventLogUnavailable, ProviderUnavailable
from orchestrator.events import (
    FREE,
    Cost,
    Envelope,
    Frame,
)
from orchestrator.executions import ExecutionQuery, FoundExecutions
from orchestrator.filters.authenticate import Doorkeeper
from orchestrator.gateway import Gateway
from orchestrator.health import ComponentHealth
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
from orchestrator.parts import Parts, Policies
from orchestrator.pipeline import Pipeline
from orchestrator.ports import WEB_SCHEMES
from orchestrator.recorder import Recorder
from orchestrator.reports.catalogue import report_for
from orchestrator.reports.report import Need, Question, Sums
from orchestrator.reports.totals import Standing, Totals
from storage.memory_cache import MemoryCache
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.naive_executions import executions_in
from tests.support.reported import sums_of
from tests.support.shared_tier import MemoryShared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.keys import Keys
    from tests.support.providers import Instance

ONE_CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
BASE = "http://127.0.0.1:8000"


class ListJournal:
    """Keeps frames in a list; `is_full` makes every append fail."""

    instance = "test"

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.is_full = False

    def append(
        self,
        stream: str,
        recorded_at: float,
        events: Sequence[Envelope],
        texts: Mapping[str, str],
        requests: Mapping[str, str] | None = None,
    ) -> Awaitable[None]:
        """Take the frame at once."""
        done = asyncio.get_running_loop().create_future()
        if self.is_full:
            done.set_exception(EventLogUnavailable("The journal is full."))
            return done
        frame = Frame(
            instance=self.instance,
            instance_seq=len(self.frames) + 1,
            stream=stream,
            recorded_at=recorded_at,
            events=tuple(events),
            texts=dict(texts),
            requests=dict(requests or {}),
        )
        self.frames.append(frame)
        done.set_result(None)
        return done


class JournalReports:
    """Answers executions from the journal, and every report with the window it was asked for."""

    def __init__(self, journal: ListJournal) -> None:
        self._journal = journal

    async def report(self, name: str, question: Question) -> dict[str, Any]:
        """The question, if the report could answer it."""
        report_for(name, question)
        return {"since": question.since, "until": question.until, "by": question.by, "rows": []}

    async def sums(self, need: Need, since: float, until: float) -> Sums:
        """What the frames in the journal add up to, whenever they were written."""
        return sums_of(need, [envelope for frame in self._journal.frames for envelope in frame.events])

    async def execution(self, execution_id: str) -> list[Frame]:
        """The frames of one execution."""
        return [frame for frame in self._journal.frames if frame.stream == execution_id]

    async def executions(self, query: ExecutionQuery) -> FoundExecutions:
        """The executions in the journal that fit."""
        return executions_in(self._journal.frames, query)

    async def texts(self, keys: Collection[str]) -> dict[str, str]:
        """The texts that frames brought."""
        return {
            key: text for frame in self._journal.frames for key, text in frame.texts.items() if key in keys
        }

    async def totals(self, needs: Sequence[Need]) -> Totals:
        """What the frames in the journal add up to."""
        events = [envelope for frame in self._journal.frames for envelope in frame.events]
        return Totals(sums=[sums_of(need, events) for need in needs], standing=await self.standing())

    async def standing(self) -> Standing:
        """Everything is counted at once."""
        count = len(self._journal.frames)
        return Standing(position=count, counted_position=count)


class ScriptedProvider:
    """Finds one result whose title is the query, or `finds` if it is set, or raises `failure` if that is.

    `calls` holds the requests; `called` is set by the first.
    """

    name = "scripted"
    operations = frozenset({"search", "extract"})
    schemes = WEB_SCHEMES
    timing = None

    def __init__(self) -> None:
        self.calls: list[SearchRequest | ExtractRequest] = []
        self.called = asyncio.Event()
        self.failure: Exception | None = None
        self.finds: SearchAnswer | None = None

    def search_estimate(self, request: SearchRequest) -> Cost:
        """One credit."""
        return ONE_CREDIT

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """Free."""
        return FREE

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """One result, about the query."""
        self.calls.append(call.request)
        self.called.set()
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        result = SearchResult(
            title=call.request.query,
            url="https://almanac.example/tides",
            content="High water 06:40.",
            score=0.9,
            raw_content=None,
        )
        answer = self.finds or SearchAnswer(results=(result,), answer=None, images=())
        return Found(answer=answer, provider=self.name, cost=ONE_CREDIT)

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """The text of every page but those with `gone` in their URL."""
        self.calls.append(call.request)
        if self.failure is not None:
            raise self.failure
        pages = tuple(Page(url=url, raw_content="# Tides") for url in call.request.urls if "gone" not in url)
        failures = tuple(
            PageFailure(url=url, error="Not found.") for url in call.request.urls if "gone" in url
        )
        return Found(answer=ExtractAnswer(pages=pages, failures=failures), provider=self.name)

    async def aclose(self) -> None:
        """Nothing to release."""


class MemoryGateway:
    """The gateway with its parts at hand. `sick` makes its journal's probe say down.

    With `keys` it knows callers by them; without, only the local operator. If it `shares`, there is a tier
    that other instances share, with three answers in it, for whoever administers the cache. The list of
    providers is that of `listed`, if it is given; who is asked is the scripted one all the same.
    """

    def __init__(
        self, keys: Keys | None = None, *, shares: bool = False, listed: Instance | None = None
    ) -> None:
        self.clock = SystemClock()
        self.journal = ListJournal()
        self.provider = ScriptedProvider()
        self.recorder = Recorder(self.journal, self.clock)
        self.sick = False
        self.cache = MemoryCache(10_000_000)
        self.shared = MemoryShared("a", "b", "c") if shares else None
        self.pipeline = Pipeline(
            Parts(
                clock=self.clock,
                facts=self.recorder,
                caches=(self.cache,),
                rate_limits=MemoryRateLimit(self.clock),
                providers=(self.provider,),
                doorkeeper=Doorkeeper(keys.ring if keys else None),
            ),
            Policies(),
        )
        self.gateway = Gateway(
            self.pipeline,
            self.recorder,
            JournalReports(self.journal),
            self.clock,
            unconfigured=lambda: {"tavily": "AMOS_TAVILY_API_KEY is not set."},
            probes=(self._journal_health,),
            keys=keys.admin if keys else None,
            providers=listed.admin if listed else None,
            cache=CacheAdmin(self.cache, self.shared, self.recorder, self.clock),
        )

    def _journal_health(self) -> ComponentHealth:
        status, detail = ("down", "The journal is full.") if self.sick else ("ok", "")
        return ComponentHealth(name="journal", status=status, since=0.0, detail=detail)

    async def aclose(self) -> None:
        """Wait for what is under way."""
        await self.pipeline.aclose()
        await self.recorder.aclose()


Client = Callable[..., httpx.AsyncClient]


@asynccontextmanager
async def served(
    *, keys: Keys | None = None, shares: bool = False, listed: Instance | None = None, **settings: Any
) -> AsyncIterator[tuple[MemoryGateway, httpx.AsyncClient]]:
    """A gateway in memory and a client of its application, as from this machine."""
    memory = MemoryGateway(keys, shares=shares, listed=listed)
    app = create_app(memory.gateway, Settings(**settings))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield memory, client
    await memory.aclose()


def unreachable() -> ProviderUnavailable:
    """The failure of a provider that cannot be reached."""
    return ProviderUnavailable("The provider cannot be reached.", provider="scripted", reason="connect")
