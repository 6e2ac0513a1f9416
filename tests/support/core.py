"""The whole core on parts in memory: real pipeline, recorder, cache and limiter; providers with a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import AllProvidersFailed, ProviderUnavailable
from orchestrator.filters.retry import RetryPolicy
from orchestrator.gateway import Gateway, Probe
from orchestrator.model import (
    CacheControl,
    Call,
    Caller,
    ExtractRequest,
    RequestT,
    Response,
    SearchRequest,
)
from orchestrator.parts import Parts, Policies
from orchestrator.pipeline import Pipeline
from orchestrator.ports import FlightStore
from orchestrator.recorder import Recorder
from storage.memory_budget import MemoryBudget
from storage.memory_cache import MemoryCache
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.clock import LoopClock
from tests.support.memory_journal import MemoryJournal
from tests.support.scripted_provider import Line, ScriptedProvider

URL = "https://almanac.example/tides"

POLICIES = Policies(cache=CachePolicy(jitter_ratio=0.0), retry=RetryPolicy(attempts_max=1))
"""No chance: what is cached expires together, and nobody is asked twice."""


def down(provider: str = "tavily", why: str = "http_500") -> ProviderUnavailable:
    """A passing fault of a provider."""
    return ProviderUnavailable("Down.", provider=provider, reason=why)


def both(
    tavily: Iterable[Line] = (3,), jina: Iterable[Line] = (3,), **options: Any
) -> tuple[ScriptedProvider, ScriptedProvider]:
    """The usual chain of two, with a script each."""
    return ScriptedProvider("tavily", tavily, **options), ScriptedProvider("jina", jina, **options)


def tried(outcome: Response | AllProvidersFailed) -> list[tuple[str, str, str]]:
    """Provider, outcome and reason of every attempt of an answer or a failure, in order."""
    return [(one.provider, one.outcome, one.reason) for one in outcome.attempts]


class Core:
    """A gateway with everything in memory, and its parts to look at. Must be made on a running event loop."""

    def __init__(
        self,
        *providers: ScriptedProvider,
        l2: Sequence[Any] = (),
        policies: Policies = POLICIES,
        probes: tuple[Probe, ...] = (),
        unconfigured: dict[str, str] | None = None,
        flights: FlightStore | None = None,
    ) -> None:
        self.clock = LoopClock()
        self.journal = MemoryJournal()
        self.recorder = Recorder(self.journal, self.clock)
        self.cache = MemoryCache(1_000_000)
        self.pipeline = Pipeline(
            Parts(
                clock=self.clock,
                facts=self.recorder,
                caches=(self.cache, *l2),
                rate_limits=MemoryRateLimit(self.clock),
                providers=providers,
                flights=flights,
                budget=MemoryBudget(self.clock),
            ),
            policies,
        )
        self.gateway = Gateway(
            self.pipeline,
            self.recorder,
            None,  # type: ignore[arg-type]  # reports are read from SQL; nothing here does
            self.clock,
            unconfigured=lambda: unconfigured or {},
            probes=probes,
        )

    def open(
        self, request: RequestT, *, control: CacheControl | None = None, **caller: Any
    ) -> Call[RequestT]:
        """A call of the local operator."""
        fields = {"door": "test", "is_local_operator": True, **caller}
        if control is not None:
            fields["cache_control"] = control
        return self.gateway.open(request, Caller(**fields))

    async def search(self, query: str = "tide tables", **fields: Any) -> Response:
        """Search as the local operator; `control` and the fields of a request may be given."""
        control = fields.pop("control", None)
        return await self.gateway.search(self.open(SearchRequest(query=query, **fields), control=control))

    async def extract(self, *urls: str, **fields: Any) -> Response:
        """Extract as the local operator."""
        control = fields.pop("control", None)
        request = ExtractRequest(urls=urls or (URL,), **fields)
        return await self.gateway.extract(self.open(request, control=control))

    async def settle(self) -> None:
        """Wait for everything that runs on after its caller."""
        await self.pipeline.aclose()
        await self.recorder.aclose()

    def events(self, call: Call[Any]) -> list[Any]:
        """What the journal has of the call."""
        return self.journal.events(call.trail.execution_id)

    def kinds(self, call: Call[Any]) -> list[list[str]]:
        """The class names of the same, frame by frame."""
        return self.journal.kinds(call.trail.execution_id)
