"""Holds our record against the providers' own counters, now and then, and records what came of it.

A counter of a provider is a total whose beginning we do not know (Tavily: of a billing cycle, whose first day
nothing tells; Jina: what is left of a balance). So the first look is a beginning, and from then on growths
are compared: what the counter has grown by since, and what the record has. They are added up from look to
look, so that what one of both counts late evens out. A counter that falls begins anew (a new cycle, a
recharge), and so does one for other keys; and a count is of one UTC month at most.

Nothing is corrected: whoever else uses the key shows up here as well, and is not ours to book.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from orchestrator.background import repeating
from orchestrator.budget_ports import UsageSource
from orchestrator.errors import EventLogUnavailable, ProviderError, RateLimitStoreUnavailable
from orchestrator.events import MILLION
from orchestrator.facts import UsageReconciled
from orchestrator.ports import Clock, FactSink, RateLimitStore, ReportStore
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.quota import Window
from orchestrator.reports.report import Need

ONCE_A_MINUTE = (Window("minute", 1, 60.0),)
"""Tavily's documentation: `/usage` may be asked 10 times in 10 minutes. All instances together keep to it."""

FIRST_S = 300.0
"""chosen: an instance that is restarted again and again asks nobody."""

AGAIN_S = 900.0
"""chosen: after a look that failed, or that another instance has just made."""

ANSWER_S_MAX = 15.0
"""chosen: a counter that is not told by then is asked for later."""

_LEDGER = Need(LedgerRollup(), ("provider", "unit"), only=("spent", "assumed"))


class ReconciliationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often providers are asked, and which differences are worth a warning.

    `every_s` seconds between two looks; chosen: four a day find a difference before it is a day's budget.
    A difference counts if |reported - recorded| is both above `ratio_max` of what is reported and above
    `units_min` of the unit; chosen: ten searches of each provider, which may be under way during a look.
    """

    every_s: float = 21_600.0
    ratio_max: float = 0.05
    units_min: Mapping[str, float] = MappingProxyType({"credits": 10.0, "tokens": 100_000.0})

    def is_off(self, seen: UsageReconciled) -> bool:
        """Whether what is reported and what is recorded differ by more than can be expected."""
        difference = abs(seen.reported - seen.recorded)
        return difference > max(self.ratio_max * seen.reported, self.units_min.get(seen.unit, 0.0))


class Look(NamedTuple):
    """What a look told, and when; epoch seconds."""

    at: float
    fact: UsageReconciled


class Reconciliation:
    """Asks each source on schedule (`running`) and on command (`reconcile`)."""

    def __init__(
        self,
        sources: Sequence[UsageSource],
        policy: ReconciliationPolicy,
        *,
        reports: ReportStore,
        facts: FactSink,
        clock: Clock,
        rate_limits: RateLimitStore,
    ) -> None:
        self.policy = policy
        self._sources = tuple(sources)
        self._reports = reports
        self._facts = facts
        self._clock = clock
        self._rate_limits = rate_limits
        self._seen: dict[str, Look] = {}

    @property
    def seen(self) -> Mapping[str, Look]:
        """The newest look at each provider that this process knows of."""
        return self._seen

    async def reconcile(self) -> dict[str, str]:
        """Ask every provider; for each that told nothing the reason why, in a sentence.

        Raises EventLogUnavailable.
        """
        return {source.provider: why for source in self._sources if (why := await self._ask(source))}

    async def refresh(self) -> None:
        """Learn of the looks that are in the record, whoever made them. Raises EventLogUnavailable."""
        for source in self._sources:
            await self._latest(source.provider)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask on schedule while the context lasts."""
        async with contextlib.AsyncExitStack() as looks:
            for source in self._sources if self.policy.every_s else ():
                name = f"comparing the usage at {source.provider}"
                step = partial(self._step, source)
                await looks.enter_async_context(repeating(step, self._clock, name, first_s=FIRST_S))
            yield

    async def _step(self, source: UsageSource) -> float:
        try:
            wait_s = await self._due_s(source.provider)
            if wait_s <= 0:
                wait_s = AGAIN_S if await self._ask(source) else self.policy.every_s
        except EventLogUnavailable:
            return AGAIN_S
        return wait_s

    async def _due_s(self, provider: str) -> float:
        """In how long the next look is due; 0 or less is now."""
        latest = await self._latest(provider)
        # A clock that was put back makes no look wait longer than the usual time.
        age_s = 0.0 if latest is None else max(0.0, self._clock.now() - latest.at)
        return 0.0 if latest is None else self.policy.every_s - age_s

    async def _ask(self, source: UsageSource) -> str:
        """Look at one provider; why nothing came of it, `""` if something did."""
        name = source.provider
        latest = await self._latest(name)
        # By the record, because a command has a limiter of its own; by the limiter, because a look that is
        # under way, or that told nothing, is not in the record.
        is_recent = latest is not None and 0 <= self._clock.now() - latest.at < ONCE_A_MINUTE[0].period_s
        try:
            if is_recent or not (await self._rate_limits.hit(f"usage:{name}", ONCE_A_MINUTE)).allowed:
                return "It was asked less than a minute ago."
        except RateLimitStoreUnavailable:
            return "It is not known when it was last asked."
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                counter = await source.counter()
        except ProviderError as error:
            return error.message
        except TimeoutError:
            return f"{name} did not answer in time."
        total = await self._recorded(name, source.unit)
        now = self._clock.now()
        fact = compared(latest, source, counter, total, now)
        self._facts.record_fact(_stream(name), fact)
        self._seen[name] = Look(now, fact)
        return ""

    async def _recorded(self, provider: str, unit: str) -> float:
        """All that the record has of the provider, what is assumed included."""
        totals = await self._reports.totals((_LEDGER,))
        spent, assumed = totals.sums[0].get((provider, unit), (0, 0))[:2]
        return float(spent + assumed) / MILLION

    async def _latest(self, provider: str) -> Look | None:
        """The newest look: of the record, or our own on its way there. Raises EventLogUnavailable."""
        frames = await self._reports.execution(_stream(provider))
        looks = [
            Look(envelope.at, envelope.event)
            for frame in frames
            for envelope in frame.events
            if isinstance(envelope.event, UsageReconciled)
        ]
        known = [*looks, *([self._seen[provider]] if provider in self._seen else [])]
        if known:
            self._seen[provider] = max(known, key=lambda look: look.at)
        return self._seen.get(provider)


def compared(
    before: Look | None, source: UsageSource, counter: float, total: float, now: float
) -> UsageReconciled:
    """What a look at a moment of epoch seconds adds to the one before; `total` is what the record has."""
    since, reported, recorded = now, 0.0, 0.0
    if before is not None and _goes_on(before.fact, source, counter):
        last = before.fact
        reported, recorded, since = counter - last.counter, total - last.total, before.at
        if _month(before.at) == _month(now):
            reported, recorded, since = reported + last.reported, recorded + last.recorded, last.since
    return UsageReconciled(
        provider=source.provider,
        unit=source.unit,
        keys=source.keys,
        since=since,
        reported=reported,
        recorded=recorded,
        counter=counter,
        total=total,
    )


def _goes_on(last: UsageReconciled, source: UsageSource, counter: float) -> bool:
    """Whether it is still the same count."""
    return (last.unit, last.keys) == (source.unit, source.keys) and counter >= last.counter


def _month(at: float) -> tuple[int, int]:
    moment = datetime.fromtimestamp(at, UTC)
    return moment.year, moment.month


def _stream(provider: str) -> str:
    return f"budget:provider:{provider}"
