"""Plays a plan of faults on simulated providers and on a real Valkey, faster than it is meant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from tests.support.fault_schedule import Outage, Plan, fault_of
from tests.support.faults import NO_FAULT, Fault
from tests.support.processes import UpstreamProcess
from tests.support.valkey import Valkey

HEALTHY = "healthy"
BOTH = "both down"


class Played(NamedTuple):
    """An outage as it was: from when to when, in monotonic seconds."""

    outage: Outage
    begun_at: float
    ended_at: float


class FaultPlayer:
    """The hand on the switches. A nominal second takes `1 / factor`.

    `phase` says what is down now, `played` has every outage of a provider that is over.
    """

    def __init__(self, upstreams: Mapping[str, UpstreamProcess], valkey: Valkey, factor: float) -> None:
        self.played: list[Played] = []
        self._upstreams = upstreams
        self._valkey = valkey
        self._factor = factor
        self._down: dict[str, tuple[Outage, float]] = {}
        self._redis = ""

    def phase(self) -> str:
        """`healthy`, which provider is down, or that both are."""
        if len(self._down) > 1:
            return BOTH
        return next((f"{target} down" for target in self._down), HEALTHY)

    def trouble(self) -> str:
        """The same with the kinds, and with what is the matter with Redis."""
        down = [f"{target} {outage.kind}" for target, (outage, _) in self._down.items()]
        return ", ".join([*down, *([f"redis {self._redis}"] if self._redis else [])]) or HEALTHY

    async def play(self, plan: Plan) -> None:
        """Play all of it; everything is up again at the end."""
        begun = time.monotonic()
        steps: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        for outage in plan.outages:
            steps.append((outage.begins_s, partial(self.break_, outage)))
            steps.append((outage.ends_s, partial(self.mend, outage.target)))
        for outage in plan.redis:
            steps.append((outage.begins_s, partial(self._redis_goes, outage.kind)))
            steps.append((outage.ends_s, partial(self._redis_comes, outage.kind)))
        # Stable: of two steps at one moment the first to be written comes first.
        for at_s, step in sorted([*steps, (plan.total_s, self._nothing)], key=lambda timed: timed[0]):
            await asyncio.sleep(max(0.0, begun + at_s / self._factor - time.monotonic()))
            await step()

    async def break_(self, outage: Outage) -> None:
        """Begin the outage of a provider."""
        self._down[outage.target] = outage, time.monotonic()
        ends_at = time.monotonic() + outage.length_s / self._factor
        await self._order(outage.target, fault_of(outage, ends_at))

    async def mend(self, target: str) -> None:
        """The provider is well again."""
        await self._order(target, NO_FAULT)
        outage, begun_at = self._down.pop(target)
        self.played.append(Played(outage, begun_at, time.monotonic()))

    async def _order(self, target: str, fault: Fault) -> None:
        orders = {"always": msgspec.to_builtins(fault)}
        await asyncio.to_thread(self._upstreams[target].obey, orders)

    async def _redis_goes(self, kind: str) -> None:
        self._redis = kind
        if kind == "stopped":
            self._valkey.pause()
        else:
            self._valkey.kill()

    async def _redis_comes(self, kind: str) -> None:
        if kind == "stopped":
            self._valkey.resume()
        else:
            await asyncio.to_thread(self._valkey.launch)
        self._redis = ""

    async def _nothing(self) -> None:
        """The end of the plan is a moment too."""
