"""The cache in memory gives way when memory is short, down to a floor, and comes back slowly."""

from __future__ import annotations

import asyncio

import pytest

from api.memory_watch import MemoryPolicy, MemoryWatch
from orchestrator.facts import CacheResized
from orchestrator.ports import CacheEntry
from storage.memory_cache import MemoryCache
from storage.memory_pressure import Usage
from tests.support.clock import FakeClock

CONFIGURED = 1_600_000


class Machine:
    """A cache of 1.6 MB that is full, the use of memory as it is set, and what is recorded."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cache = MemoryCache(CONFIGURED)
        self.use: float | None = 0.5
        self.facts: list[CacheResized] = []
        self.has_shrunk = asyncio.Event()
        self.watch = MemoryWatch(self.cache, self._look, self, self.clock)

    def _look(self) -> Usage | None:
        return None if self.use is None else Usage(int(self.use * 1_000), 1_000, "cgroup v2")

    def record_fact(self, stream: str, event: CacheResized) -> None:
        """Keep it."""
        assert stream == "cache:l1"
        self.facts.append(event)
        if len(self.facts) == 3:
            self.has_shrunk.set()

    def count_refusal(self, reason: str) -> None:
        """Nobody is turned away here."""

    async def fill(self) -> None:
        """Fill it with answers."""
        for number in range(2_000):
            answer = CacheEntry(
                fragment=bytes(1_000), result_count=1, provider="tavily", stored_at=0.0, fresh_until=4e9
            )
            await self.cache.put(str(number), answer)

    async def step(self, use: float | None, times: int = 1) -> list[int]:
        """Look so many times, a second apart; the bounds after each."""
        self.use = use
        bounds = []
        for _ in range(times):
            await self.watch.step()
            self.clock.advance(1.0)
            bounds.append(self.cache.bytes_max)
        return bounds


@pytest.fixture
async def machine():
    """The thing under test, full."""
    machine = Machine()
    await machine.fill()
    return machine


async def test_where_memory_is_at_hand_nothing_changes(machine):
    """Below the mark the cache has its configured bound, and nothing is recorded."""
    assert await machine.step(0.89, 20) == [CONFIGURED] * 20
    assert machine.facts == []
    assert not machine.watch.is_short


async def test_where_nothing_is_limited_nothing_changes(machine):
    """Without a limit, or when it cannot be read any more, the bound stays as it is."""
    assert await machine.step(None, 3) == [CONFIGURED] * 3
    await machine.step(0.95)
    bound = machine.cache.bytes_max

    assert await machine.step(None, 3) == [bound] * 3
    assert machine.watch.usage is None


async def test_under_pressure_it_shrinks_step_by_step_to_the_floor(machine):
    """Each step takes a fifth of what is held, and never goes below a sixteenth of what is configured."""
    bounds = await machine.step(0.91, 30)

    assert bounds[0] == pytest.approx(0.8 * CONFIGURED, rel=0.01)
    assert bounds[1] == pytest.approx(0.8 * bounds[0], rel=0.01)
    assert bounds[-1] == CONFIGURED // 16
    assert machine.cache.size_bytes <= CONFIGURED // 16
    assert {fact.reason for fact in machine.facts} == {"pressure"}
    assert machine.facts[0].was_bytes_max == CONFIGURED
    for one, following in zip(machine.facts, machine.facts[1:], strict=False):
        assert following.was_bytes_max == one.bytes_max
    assert len(machine.facts) == len(set(bounds))


async def test_a_cache_that_holds_little_gives_up_of_that(machine):
    """The bound falls below what is held at once: one that is far above it would free nothing."""
    await machine.cache.clear()
    await machine.cache.put(
        "a", CacheEntry(fragment=bytes(400_000), result_count=1, provider="x", stored_at=0.0, fresh_until=4e9)
    )

    await machine.step(0.95)

    assert machine.cache.bytes_max < 400_000
    assert machine.cache.size_bytes == 0


async def test_between_the_marks_it_neither_shrinks_nor_grows(machine):
    """What was given up does not come back while memory is nearly short."""
    await machine.step(0.95, 2)
    bound = machine.cache.bytes_max

    assert await machine.step(0.8, 60) == [bound] * 60


async def test_with_relief_it_grows_back_slowly_and_no_further_than_configured(machine):
    """A tenth of the configured every ten seconds, each step recorded."""
    await machine.step(0.95, 5)
    shrunk = len(machine.facts)
    low = machine.cache.bytes_max

    first = await machine.step(0.5, 10)
    assert first == [low] * 9 + [low + CONFIGURED // 10]
    assert (await machine.step(0.5, 120))[-1] == CONFIGURED

    grown = machine.facts[shrunk:]
    assert {fact.reason for fact in grown} == {"relief"}
    assert grown[-1].bytes_max == CONFIGURED
    assert not machine.watch.is_short
    assert len(grown) == pytest.approx((CONFIGURED - low) / (CONFIGURED / 10), abs=1)


async def test_several_workers_give_up_their_shares_together(machine):
    """Four that see the same figures give up a fifth of all in one look, and none is left with nothing."""
    others = [machine, *(Machine() for _ in range(3))]
    for other in others[1:]:
        await other.fill()
    before = sum(other.cache.size_bytes for other in others)

    for other in others:
        await other.step(0.92)

    assert sum(other.cache.size_bytes for other in others) == pytest.approx(0.8 * before, rel=0.01)


async def test_a_switched_off_cache_has_nothing_to_give():
    """With a bound of no bytes nothing happens and nothing is recorded."""
    machine = Machine()
    machine.cache = MemoryCache(0)
    machine.watch = MemoryWatch(machine.cache, machine._look, machine, machine.clock)

    await machine.step(0.99, 3)

    assert machine.facts == []


async def test_it_says_since_when_memory_is_short(machine):
    """Health tells the moment it began, whatever happens within."""
    await machine.step(0.5)
    machine.clock.advance(100.0)
    began_at = machine.clock.now()

    await machine.step(0.95, 3)

    assert machine.watch.since == began_at
    assert machine.watch.is_short


async def test_a_look_that_fails_is_not_the_last(machine):
    """Where memory is so short that not even a thread can be had, the watch goes on and makes room."""
    look, failures = machine._look, [RuntimeError("can't start new thread"), MemoryError()]

    def failing_at_first() -> Usage | None:
        if failures:
            raise failures.pop()
        return look()

    machine.use = 0.95
    machine.watch = MemoryWatch(machine.cache, failing_at_first, machine, machine.clock)

    async with asyncio.timeout(10.0), machine.watch.watching():
        await machine.has_shrunk.wait()


async def test_it_looks_by_itself_until_its_context_ends(machine):
    """A task of its own looks every second, and is gone afterwards."""
    before = asyncio.all_tasks()
    machine.use = 0.95

    async with machine.watch.watching():
        await machine.has_shrunk.wait()

    assert asyncio.all_tasks() == before
    assert set(machine.clock.slept) == {MemoryPolicy().look_s}
