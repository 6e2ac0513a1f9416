"""Clearing the cache empties it everywhere and says what it did; a mark reaches whoever missed the moment."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from orchestrator.cache_admin import ELSEWHERE_S, LOOK_S, CacheAdmin
from orchestrator.errors import CacheUnavailable, InvalidRequest
from orchestrator.facts import CacheCleared
from orchestrator.ports import CacheEntry
from storage.memory_cache import MemoryCache
from tests.support.clock import LoopClock
from tests.support.shared_tier import MemoryShared


class Facts:
    """What is recorded."""

    def __init__(self) -> None:
        self.facts: list[CacheCleared] = []

    def record_fact(self, stream: str, event: CacheCleared) -> None:
        """Keep it."""
        assert stream == "cache:all"
        self.facts.append(event)

    def count_refusal(self, reason: str) -> None:
        """Nobody is turned away here."""


class Instance:
    """One process with its memory, on what all share."""

    def __init__(self, shared: MemoryShared | None) -> None:
        self.own = MemoryCache(1_000_000)
        self.facts = Facts()
        self.admin = CacheAdmin(self.own, shared, self.facts, LoopClock())

    async def keep(self, *keys: str) -> None:
        """Put answers into its memory."""
        for key in keys:
            entry = CacheEntry(
                fragment=b"x", result_count=1, provider="tavily", stored_at=0.0, fresh_until=4e9
            )
            await self.own.put(key, entry)


@pytest.fixture
def shared():
    """What the instances share: five answers."""
    return MemoryShared("a", "b", "c", "d", "e")


@pytest.fixture
async def two(shared):
    """Two instances with two answers each, both of which listen and have looked once."""
    instances = Instance(shared), Instance(shared)
    async with AsyncExitStack() as listening:
        for instance in instances:
            await listening.enter_async_context(instance.admin.listening())
        await asyncio.sleep(0.1)
        for instance in instances:
            await instance.keep("a", "b")
        yield instances


async def test_all_tiers_of_all_instances_are_emptied(two, shared):
    """The shared tier and the own memory at once, that of the others within the time that is told."""
    one, other = two

    cleared = await one.admin.clear(by="acme")

    assert (shared.entries, len(one.own)) == ([], 0)
    assert cleared.entries == {"l2": 5, "l1": 2}
    assert cleared.tiers == ("l1", "l2")
    assert cleared.elsewhere_within_s == ELSEWHERE_S
    await asyncio.sleep(LOOK_S)
    assert len(other.own) == 0
    assert one.facts.facts == [CacheCleared(tiers=("l1", "l2"), entries=7, by="acme")]
    assert other.facts.facts == []


async def test_what_is_stored_afterwards_stays(two):
    """A clearing is over when an instance has heard of it: later answers are kept."""
    one, other = two
    await one.admin.clear(by="acme")
    await one.keep("new")
    await asyncio.sleep(LOOK_S)
    await other.keep("new")

    await asyncio.sleep(10 * LOOK_S)

    assert [len(instance.own) for instance in two] == [1, 1]


async def test_one_tier_alone_can_be_cleared(two, shared):
    """`l2` leaves every memory as it is; `l1` is the memory of all, and leaves what they share."""
    one, other = two

    cleared = await one.admin.clear("l2", by="acme")
    await asyncio.sleep(2 * LOOK_S)
    assert (shared.entries, len(one.own), len(other.own)) == ([], 2, 2)
    assert cleared.elsewhere_within_s is None

    shared.entries = ["f"]
    await one.admin.clear("l1", by="acme")
    await asyncio.sleep(LOOK_S)
    assert (shared.entries, len(one.own), len(other.own)) == (["f"], 0, 0)


async def test_who_was_cut_off_hears_of_it_later(two, shared):
    """The mark stays until an instance can look at it."""
    one, other = two
    await one.admin.clear(by="acme")
    shared.is_down = True
    await asyncio.sleep(60.0)
    assert len(other.own) == 2

    shared.is_down = False
    await asyncio.sleep(LOOK_S)

    assert len(other.own) == 0


async def test_a_mark_that_was_lost_is_put_back(two, shared):
    """A server that comes back empty learns the mark from whoever knows it, and others from the server."""
    one, _ = two
    await one.admin.clear(by="acme")
    mark = shared.kept_mark
    shared.kept_mark = 0

    await asyncio.sleep(2 * LOOK_S)

    assert shared.kept_mark == mark
    await one.admin.clear(by="acme")
    assert shared.kept_mark > mark


async def test_a_memory_takes_nothing_old_from_the_shared_tier_again(shared):
    """The mark is raised when the shared tier is empty, not before: what was lifted until then goes too."""
    instance = Instance(shared)
    order = []
    raise_mark = shared.raise_mark

    async def watched():
        order.append(len(shared.entries))
        return await raise_mark()

    shared.raise_mark = watched

    await instance.admin.clear(by="acme")

    assert order == [0]


async def test_without_a_shared_tier_the_own_memory_is_cleared():
    """On one machine there is one tier, and nobody else to be told."""
    alone = Instance(None)
    await alone.keep("a")

    cleared = await alone.admin.clear(by="local")

    assert (cleared.tiers, cleared.entries, cleared.elsewhere_within_s) == (("l1",), {"l1": 1}, None)
    with pytest.raises(InvalidRequest, match="l1"):
        await alone.admin.clear("l2", by="local")


async def test_without_a_memory_of_its_own_the_others_are_told(shared):
    """The command line has none; whoever serves hears of it."""
    facts = Facts()
    admin = CacheAdmin(None, shared, facts, LoopClock())

    cleared = await admin.clear("l1", by="local")

    assert cleared.entries == {}
    assert cleared.elsewhere_within_s == ELSEWHERE_S
    assert shared.kept_mark == 1
    assert facts.facts == [CacheCleared(tiers=("l1",), entries=0, by="local")]


async def test_a_shared_tier_out_of_reach_is_said_and_the_own_memory_is_empty(two, shared):
    """Whoever asks learns that others were not told; what could be done is done and recorded."""
    one, _ = two
    shared.is_down = True

    with pytest.raises(CacheUnavailable):
        await one.admin.clear(by="acme")

    assert len(one.own) == 0
    assert [(fact.tiers, fact.entries) for fact in one.facts.facts] == [(("l1",), 2)]


async def test_a_shared_tier_that_goes_away_meanwhile_leaves_a_record_of_what_is_gone(two, shared):
    """Two answers were thrown away before it failed: they are counted."""
    one, _ = two
    shared.fails_after = 1

    with pytest.raises(CacheUnavailable):
        await one.admin.clear("l2", by="acme")

    assert one.facts.facts == [CacheCleared(tiers=("l2",), entries=2, by="acme")]


async def test_an_unknown_tier_is_refused(two, shared):
    """Nothing is cleared by a name that is misspelt."""
    with pytest.raises(InvalidRequest, match="l1, l2"):
        await two[0].admin.clear("L1", by="acme")

    assert len(shared.entries) == 5
    assert two[0].facts.facts == []


async def test_the_view_has_each_tier(two):
    """Nearest first; where nothing limits memory nothing is said of it."""
    view = await two[0].admin.view()

    assert [(tier.tier, tier.entries) for tier in view.tiers] == [("l1", 2), ("l2", 5)]
    assert view.memory is None
