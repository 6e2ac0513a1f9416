"""A core with a past: questions that were asked, more or less often, and whose answers have expired."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from orchestrator.cache_policy import CachePolicy
from orchestrator.events import Envelope
from orchestrator.facts import WarmingFinished
from orchestrator.filters.retry import RetryPolicy
from orchestrator.history import has_no_caller
from orchestrator.parts import Policies
from orchestrator.warming import Warmed, Warming
from orchestrator.warming_plan import WarmingPolicy
from tests.support.core import Core
from tests.support.memory_asked import MemoryAsked
from tests.support.scripted_provider import ScriptedProvider
from tests.support.shared_memory import MemoryFlights

POLICIES = Policies(
    cache=CachePolicy(jitter_ratio=0.0, stale_while_revalidate_s=0.0), retry=RetryPolicy(attempts_max=1)
)
"""No chance, and nobody is given an old answer."""

TTL_S = 3_600.0
"""How long answers of a `Core` are fresh."""

QUERIES = [f"question {number}" for number in range(8)]


class WarmCore:
    """A core that was asked question n n + 1 times, the last of them most.

    `told` is what its runs have told of the candidates.
    """

    def __init__(
        self,
        *providers: ScriptedProvider,
        policies: Policies = POLICIES,
        queries: Sequence[str] = QUERIES,
        flights: MemoryFlights | None = None,
    ) -> None:
        self.core = Core(*providers, policies=policies, flights=flights)
        self.asked = MemoryAsked(self.core.journal.frames)
        self.queries = queries
        self.told: list[Warmed] = []
        self.warming = self.instance()

    def instance(self, flights: MemoryFlights | None = None) -> Warming:
        """The warming of a process that shares everything with this one."""
        return Warming(
            self.core.pipeline,
            self.core.recorder,
            [self.core.cache],
            self.asked,
            WarmingPolicy(),
            flights=flights,
            chance=lambda: 0.5,
        )

    async def expire(self, wait_s: float = TTL_S + 1.0) -> WarmCore:
        """Ask as callers do, and wait until the answers are old."""
        for number, query in enumerate(self.queries):
            for _ in range(number + 1):
                await self.core.search(query)
        await asyncio.sleep(wait_s)
        return self

    async def run(self, *, until: float = math.inf, **policy: Any) -> WarmingFinished:
        """One run."""
        return await self.warming.run(
            WarmingPolicy(**policy),
            cause="command",
            until=until,
            tell=lambda one, _total: self.told.append(one),
        )

    def executions(self) -> dict[str, list[Envelope]]:
        """All envelopes of each execution without a caller."""
        found: dict[str, list[Envelope]] = {}
        for frame in self.core.journal.frames:
            found.setdefault(frame.stream, []).extend(frame.events)
        return {stream: events for stream, events in found.items() if has_no_caller(events)}

    def finished(self) -> list[Any]:
        """The facts about runs."""
        return [
            fact for cause in ("schedule", "command") for fact in self.core.journal.events(f"warming:{cause}")
        ]
