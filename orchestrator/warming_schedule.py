"""When the cache is warmed: in a stretch of every day, or again and again, once over all instances.

An *occasion* is one such stretch. The record says whether the warming of an occasion has come to its end, so
neither a second instance nor one that was started again does it twice, and one that was killed in it is made
up for. Nothing is warmed right after the start, when callers need everything themselves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from orchestrator.errors import CannotWarm, EventLogUnavailable
from orchestrator.ports import Clock
from orchestrator.projections.fold import DAY_S
from orchestrator.warming import Warming

START_S = 120.0
"""chosen: the first look follows this long after the start, times 0.5 to 1.5 by chance, so that instances
started together do not look together."""

LOOK_S = 30.0
"""chosen: between two looks whether it is time, likewise; an occasion lasts for minutes at least."""


class Occasion(NamedTuple):
    """A stretch of time in which is warmed once; both in epoch seconds, the second is not part of it."""

    begins_at: float
    ends_at: float


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When to warm.

    `opens_s` and `closes_s` are seconds since midnight UTC; a stretch that closes before it opens goes over
    midnight, and one that closes as it opens is the whole day. `every_s` divides it, or all time where there
    is none: occasions begin at whole multiples of it since 1970, the same for all instances.
    """

    opens_s: int | None = None
    closes_s: int = 0
    every_s: float | None = None

    def occasion(self, now: float) -> Occasion | None:
        """The occasion that a moment lies in, `None` if it lies in none."""
        opens_s = self.opens_s
        if opens_s is None:
            return None if self.every_s is None else self._part(now, Occasion(0.0, math.inf))
        begins_at = (now - opens_s) // DAY_S * DAY_S + opens_s
        day = Occasion(begins_at, begins_at + ((self.closes_s - opens_s) % DAY_S or DAY_S))
        return self._part(now, day) if now < day.ends_at else None

    def _part(self, now: float, day: Occasion) -> Occasion:
        if self.every_s is None:
            return day
        begins_at = now // self.every_s * self.every_s
        return Occasion(max(begins_at, day.begins_at), min(begins_at + self.every_s, day.ends_at))


class WarmingSchedule:
    """Warms when it is time, for as long as `run` runs."""

    def __init__(
        self,
        warming: Warming,
        schedule: Schedule,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._warming = warming
        self._schedule = schedule
        self._clock = clock
        self._chance = chance
        self._done_at = 0.0
        """The beginning of the occasion that is known to be over."""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        await self._pause(START_S)
        while True:
            await self._look()
            await self._pause(LOOK_S)

    async def _look(self) -> None:
        """Warm if it is time and nobody has done it. What hinders it now may be over at the next look."""
        occasion = self._schedule.occasion(self._clock.now())
        if occasion is None or occasion.begins_at <= self._done_at:
            return
        try:
            if await self._warming.asked.warmed_at() < occasion.begins_at:
                await self._warming.run(self._warming.policy, cause="schedule", until=occasion.ends_at)
        except (CannotWarm, EventLogUnavailable):
            return
        self._done_at = occasion.begins_at

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep(seconds * (0.5 + self._chance()))
