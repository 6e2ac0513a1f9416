"""Faults that fall on simulated providers at drawn moments, a few calls each: a bad day without a plan."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec

from tests.support.fault_schedule import KINDS, QUOTA, THROTTLED
from tests.support.faults import NO_FAULT, Fault
from tests.support.processes import UpstreamProcess

CALM_S = 0.15
"""chosen: from one fault to the next, on average; most calls are then answered in good order."""

CALLS_MAX = 3
"""chosen: so many calls in a row meet the same fault, fewer than open a circuit by themselves."""

DRY = (QUOTA, THROTTLED)
"""What does not fall: both cost nothing, and would keep the others from falling for most of the day. Nor do
the variants of good answers: an extract's would be billed by the simulator as if they were none."""


class FaultRain:
    """Rains on the providers until it is told to stop; what falls follows from the seed, when does not."""

    def __init__(self, tavily: UpstreamProcess, jina: UpstreamProcess, seed: int) -> None:
        self._upstreams = {"tavily": tavily, "jina": jina}
        self._chance = random.Random(seed)

    async def fall(self, until: asyncio.Event) -> None:
        """Fall; at the end the providers are well again."""
        while not until.is_set():
            await asyncio.sleep(self._chance.expovariate(1 / CALM_S))
            provider = self._chance.choice(list(self._upstreams))
            kinds = KINDS[provider].items()
            fault = self._chance.choice([f for kind, f in kinds if kind not in DRY and f.kind != "variant"])
            await self._order(provider, [fault] * self._chance.randint(1, CALLS_MAX))
        for provider in self._upstreams:
            await self._order(provider, [])

    async def _order(self, provider: str, script: Sequence[Fault]) -> None:
        orders = {
            "always": msgspec.to_builtins(NO_FAULT),
            "script": [msgspec.to_builtins(fault) for fault in script],
        }
        await asyncio.to_thread(self._upstreams[provider].obey, orders)
