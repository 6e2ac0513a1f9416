"""Random histories over several processes: what must hold whatever happens, and in whatever order."""

from __future__ import annotations

import asyncio
import random

import pytest

from orchestrator.circuit_sharing import REFRESH_S, CircuitSharing
from orchestrator.cooldown import THROTTLE_S_MAX, CircuitPolicy
from orchestrator.errors import (
    CircuitOpen,
    GatewayError,
    ProviderQuotaExceeded,
    ProviderThrottled,
    ProviderUnavailable,
)
from orchestrator.facts import CircuitClosed, CircuitHalfOpened, CircuitOpened
from orchestrator.filters.circuit_breaker import Circuit, CircuitBreakerFilter
from orchestrator.model import SearchRequest
from tests.support.calls import make_call
from tests.support.circuits import Facts, error
from tests.support.clock import LoopClock
from tests.support.shared_memory import MemoryCircuitBoard

SEEDS = range(25)
PROCESSES = 3
CALLS = 300

LIMIT_S = 1.0
POLICY = CircuitPolicy(failures_max=3, cooldowns_s=(2.0, 5.0, 9.0), slow_ratio=0.8)

KNOWN_S = REFRESH_S * 1.2
"""By now every process has heard of what any of them has told."""


class Provider:
    """Is well, ill or slow as chance has it, and knows how many calls are with it."""

    def __init__(self, chance: random.Random) -> None:
        self.is_well = True
        self.begun_at: list[float] = []
        self._chance = chance

    async def __call__(self, call: object) -> str:
        """Take some time, then answer or fail."""
        self.begun_at.append(LoopClock().monotonic())
        await asyncio.sleep(self._chance.choice((0.01, 0.1, 0.3, 0.9)))
        draw = self._chance.random()
        if draw < 0.03:
            raise error(ProviderThrottled, self._chance.choice((None, 0.0, 3.0)))
        if draw < 0.04:
            raise error(ProviderQuotaExceeded, 6.0)
        if not self.is_well or draw > 0.97:
            raise error(ProviderUnavailable)
        return "answer"


class Process:
    """One process: its circuit, what shares it, and calls that may be cancelled."""

    def __init__(self, board: MemoryCircuitBoard, facts: Facts, chance: random.Random) -> None:
        self.circuit = Circuit("tavily", LoopClock(), facts, POLICY, chance=chance.random)
        self.breaker = CircuitBreakerFilter(self.circuit, LoopClock(), lambda _request: LIMIT_S)
        self.sharing = CircuitSharing(board, {"tavily": self.circuit})

    async def call(self, provider: Provider) -> object:
        """A call; its outcome."""
        try:
            return await self.breaker(make_call(SearchRequest(query="tides"), clock=LoopClock()), provider)
        except GatewayError as failure:
            return failure


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_holds_whatever_happens(seed: int):
    """No cooldown is broken, one probe at a time, every opening on record once; in the end all agree."""
    chance, facts = random.Random(seed), Facts()
    board = MemoryCircuitBoard(LoopClock())
    provider = Provider(chance)
    processes = [Process(board, facts, chance) for _ in range(PROCESSES)]
    calls: list[asyncio.Task[object]] = []
    for _ in range(CALLS):
        if chance.random() < 0.05:
            provider.is_well = not provider.is_well
        calls.append(asyncio.ensure_future(chance.choice(processes).call(provider)))
        if chance.random() < 0.05:
            chance.choice(calls).cancel()
        await asyncio.sleep(chance.choice((0.0, 0.0, 0.05, 0.5, 3.0)))
    await asyncio.wait(calls)
    await asyncio.sleep(KNOWN_S)

    check_story(facts.events)
    assert len({process.circuit.state == "closed" for process in processes}) == 1
    assert len({process.circuit.openings for process in processes}) == 1
    # A provider that is well again is found so by everybody.
    provider.is_well, provider._chance = True, _Certain()
    await asyncio.sleep(THROTTLE_S_MAX)
    await processes[0].call(provider)
    await asyncio.sleep(KNOWN_S)
    outcomes = await asyncio.gather(*(process.call(provider) for process in processes))
    assert outcomes == ["answer"] * PROCESSES
    for process in processes:
        await process.sharing.aclose()


class _Certain(random.Random):
    """Chance that always says: answer, at once."""

    def random(self) -> float:
        """Neither throttled nor failing."""
        return 0.5

    def choice(self, seq):
        """The first."""
        return seq[0]


def check_story(events: list[object]) -> None:
    """Openings are counted without a gap, and between two of them somebody has probed or closed it."""
    openings, last = 0, None
    for event in events:
        if isinstance(event, CircuitOpened):
            is_longer = isinstance(last, CircuitOpened) and event.openings == openings
            assert is_longer or event.openings in (openings + 1, 1)
            openings = event.openings
        else:
            assert isinstance(event, CircuitHalfOpened | CircuitClosed)
        last = event
    assert openings > 0


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_dead_provider_costs_its_probes(seed: int):
    """However the calls fall on the processes: those under way when it opens, then one for each cooldown."""
    chance, facts = random.Random(seed), Facts()
    board = MemoryCircuitBoard(LoopClock())
    provider = Provider(_Certain())
    provider.is_well = False
    processes = [Process(board, facts, chance) for _ in range(PROCESSES)]
    outcomes = []
    for _ in range(40):
        batch = [chance.choice(processes).call(provider) for _ in range(chance.randint(1, 8))]
        outcomes += await asyncio.gather(*batch)
        await asyncio.sleep(chance.uniform(0.02, 1.0))
    await asyncio.sleep(KNOWN_S)
    for process in processes:
        await process.sharing.aclose()

    opened = [event for event in facts.events if isinstance(event, CircuitOpened)]
    assert [event.openings for event in opened] == list(range(1, len(opened) + 1))
    probes = sum(isinstance(event, CircuitHalfOpened) for event in facts.events)
    assert len(provider.begun_at) - probes <= 3 * 8
    later = provider.begun_at[-probes:] if probes else []
    for begin, end, event in zip(later, later[1:], opened[1:], strict=False):
        assert end - begin >= event.cooldown_s
    assert sum(isinstance(one, CircuitOpen) for one in outcomes) == len(outcomes) - len(provider.begun_at)
