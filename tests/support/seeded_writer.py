"""A worker as the record sees one: a journal, and calls drawn from a seed whose facts are written to it.

Only what it was told is durable counts as `answered` or `intended`; what a full disk refused it is `refused`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    Event,
    ProviderSkipped,
)
from orchestrator.facts import CircuitClosed, CircuitOpened
from orchestrator.recorder import ExecutionTrail, Recorder
from storage.file_journal import FileJournal
from tests.support.clock import FakeClock
from tests.support.histories import CREDIT, answered, known, received, refused, whose

SEGMENT_BYTES = 12_000
"""Some ten frames: a test has segments of dead and live writers by the dozen."""

AT_ONCE = 8
"""So many calls are under way together, and share a write."""

PAUSES_S = (0.001, 0.5, 20.0, 700.0, 20_000.0)
"""Between two calls: frames fall into different minutes, hours and days."""


class SeededWriter:
    """Write with `calls`, end with `aclose`. The same seed draws the same calls at the same moments.

    `tell` hears of each acknowledgement: `answered <execution>` or `intended <span>`.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        seed: int,
        *,
        tell: Callable[[str], object] | None = None,
        write: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        self.clock = FakeClock()
        self.journal = FileJournal(
            folder / "journal", instance=name, segment_bytes_max=SEGMENT_BYTES, write=write
        )
        self.answered: set[str] = set()
        self.intended: set[str] = set()
        self.refused = 0
        self._recorder = Recorder(self.journal, self.clock)
        self._chance = random.Random(f"{seed} {name}")
        self._tell = tell or (lambda _: None)

    async def calls(self, count: int) -> None:
        """So many calls, and a fact of the instance's own now and then."""
        for begun in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._call() for _ in range(min(AT_ONCE, count - begun))))

    async def record(self, *events: Event) -> None:
        """One call with exactly these facts, answered when this returns. Raises EventLogUnavailable."""
        trail = self._open(*events)
        await trail.commit()
        self._answered(trail)

    async def aclose(self) -> None:
        """Let go of the journal. Safe to call twice."""
        await self._recorder.aclose()
        await self.journal.aclose()

    async def _call(self) -> None:
        self.clock.advance(self._chance.choice(PAUSES_S))
        draws: tuple[Callable[[], Awaitable[None]], ...] = (
            *(self._hit, self._hit, self._miss, self._miss),
            *(self._failed, self._unsettled, self._circuit),
        )
        try:
            await self._chance.choice(draws)()
        except EventLogUnavailable:
            self.refused += 1

    async def _hit(self) -> None:
        key, tier = self._key(), self._chance.choice(("l1", "l2"))
        trail = self._open(received(), known(), CacheHit(key=key, tier=tier, age_s=3.0, saved=CREDIT))
        trail.note_text(key, f"text of {key}")
        trail.record(answered(key=key, cache=tier, duration_s=self._stay(), cost=FREE, saved=CREDIT))
        await trail.commit()
        self._answered(trail)

    async def _miss(self) -> None:
        trail, key, intended_at = await self._intend()
        stay = self._stay()
        trail.record(
            AttemptSucceeded(
                **whose(),
                provider="tavily", number=1, estimate=CREDIT, intended_at=intended_at,
                duration_s=stay, results=self._chance.randrange(6), cost=CREDIT,
            )
        )  # fmt: skip
        trail.record(answered(key=key, duration_s=stay + 0.001, upstream_s=stay))
        await trail.commit()
        self._answered(trail)

    async def _failed(self) -> None:
        trail, _, intended_at = await self._intend()
        trail.record(
            AttemptFailed(
                **whose(),
                provider="tavily", number=1, estimate=CREDIT, intended_at=intended_at,
                duration_s=self._stay(), outcome="retryable", reason="http_500", assumed=CREDIT,
            )
        )  # fmt: skip
        trail.record(ProviderSkipped(provider="jina", reason="circuit_open"))
        trail.record(refused("providers_failed", self._stay()))
        await trail.commit()

    async def _unsettled(self) -> None:
        await self._intend()

    async def _circuit(self) -> None:
        opened = CircuitOpened(provider="jina", reason="errors", cooldown_s=30.0)
        self._recorder.record_fact("circuit:jina", opened)
        self._recorder.record_fact("circuit:jina", CircuitClosed(provider="jina"))

    async def _intend(self) -> tuple[ExecutionTrail, str, float]:
        key, span = self._key(), f"{self._chance.getrandbits(64):016x}"
        trail = self._open(
            received(),
            known(),
            CacheMissed(key=key, reason="absent"),
            AttemptStarted(**whose(), provider="tavily", number=1, span_id=span, estimate=CREDIT),
        )
        await trail.commit()
        self.intended.add(span)
        self._tell(f"intended {span}")
        return trail, key, trail.events[-1].at

    def _open(self, *events: Event) -> ExecutionTrail:
        trail = self._recorder.open()
        for event in events:
            trail.record(event)
        return trail

    def _answered(self, trail: ExecutionTrail) -> None:
        self.answered.add(trail.execution_id)
        self._tell(f"answered {trail.execution_id}")

    def _key(self) -> str:
        return f"k{self._chance.randrange(5)}"

    def _stay(self) -> float:
        return self._chance.choice((0.0004, 0.012, 0.3, 2.5, 11.0)) * self._chance.uniform(0.9, 1.1)
