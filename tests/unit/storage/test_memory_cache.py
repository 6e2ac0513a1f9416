"""The cache in memory is bounded in bytes. What every cache does is in tests/contract/test_cache.py."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.events import Cost
from orchestrator.ports import CacheEntry
from storage.memory_cache import BATCH, LOOKS_MAX, OVERHEAD_BYTES, USES_MAX, MemoryCache
from tests.support.clock import EPOCH


def entry(size_bytes):
    """An entry like any other, of use for the rest of the century."""
    return CacheEntry(
        fragment=b"x" * size_bytes, result_count=1, provider="tavily", stored_at=0.0, fresh_until=4e9
    )


def useful(**fields):
    """An entry with moments of its own."""
    return CacheEntry(fragment=b"x" * 1_000, result_count=1, provider="tavily", stored_at=EPOCH, **fields)


def room(count, size_bytes=1_000):
    """The bytes that so many entries need."""
    return count * (size_bytes + OVERHEAD_BYTES)


async def kept(cache, keys):
    """Which of the keys are there."""
    return [key for key in keys if await cache.get(key) is not None]


async def test_what_nobody_asked_for_again_goes_first():
    """When the bytes are used up, an entry that was only stored makes room, whatever its age."""
    cache = MemoryCache(room(3))
    for key in ("a", "b", "c"):
        await cache.put(key, entry(1_000))
    await cache.get("a")
    await cache.get("c")

    await cache.put("d", entry(1_000))

    assert await kept(cache, "abcd") == ["a", "c", "d"]
    assert cache.evictions == 1


async def test_a_scan_does_not_push_out_what_is_asked_for():
    """A thousand questions that come once leave those that come again where they are."""
    cache = MemoryCache(room(10))
    for key in ("a", "b"):
        await cache.put(key, entry(1_000))
        await cache.get(key)

    for number in range(1_000):
        await cache.put(f"once {number}", entry(1_000))
        if number % 20 == 0:
            await kept(cache, "ab")

    assert await kept(cache, "ab") == ["a", "b"]


async def test_a_favourite_of_yesterday_is_overtaken():
    """However often it was asked for, an entry that nobody wants any more goes."""
    cache = MemoryCache(room(10))
    await cache.put("yesterday", entry(1_000))
    for _ in range(1_000):
        await cache.get("yesterday")

    for number in range(200):
        await cache.put(f"today {number}", entry(1_000))
        await cache.get(f"today {number}")

    assert await cache.get("yesterday") is None


async def test_a_large_answer_must_earn_its_room():
    """Of two that are asked for as often, the larger one goes."""
    cache = MemoryCache(room(1, 20_000) + room(2))
    await cache.put("small", entry(1_000))
    await cache.put("large", entry(20_000))
    for _ in range(3):
        await kept(cache, ("small", "large"))

    await cache.put("next", entry(10_000))

    assert await kept(cache, ("large", "small", "next")) == ["small", "next"]


async def test_one_that_comes_back_has_its_uses_again():
    """An answer that was pushed out and is fetched again is worth more than one that is new."""
    cache = MemoryCache(room(3))
    for key in ("a", "b", "c", "d"):
        await cache.put(key, entry(1_000))
    assert await cache.get("a") is None

    await cache.put("a", entry(1_000))
    for key in "efgh":
        await cache.put(key, entry(1_000))

    assert await cache.get("a") is not None


async def test_what_is_of_no_use_any_more_goes_first():
    """However often it was asked for: past its time, stale use included, nobody is served from it."""
    now = EPOCH
    cache = MemoryCache(room(3), now=lambda: now)
    for key, stale_until in (("old", EPOCH + 10.0), ("stale", EPOCH + 100.0)):
        await cache.put(key, useful(fresh_until=EPOCH + 5.0, stale_until=stale_until))
    await cache.put("fresh", useful(fresh_until=EPOCH + 100.0))
    for _ in range(USES_MAX):
        await kept(cache, ("old", "stale"))
    await cache.get("fresh")
    now = EPOCH + 20.0

    await cache.put("new", useful(fresh_until=EPOCH + 100.0))

    assert await kept(cache, ("old", "stale", "fresh", "new")) == ["stale", "fresh", "new"]


async def test_an_entry_weighs_its_bytes_and_its_overhead():
    """The size that is told counts what an entry costs beside its fragment."""
    cache = MemoryCache(100_000)

    await cache.put("a", entry(1_000))
    await cache.put("b", entry(0))

    assert cache.size_bytes == 1_000 + 2 * OVERHEAD_BYTES
    assert len(cache) == 2


async def test_names_of_the_callers_own_making_weigh_too():
    """A field that no provider knows may have a name of kilobytes; it counts like the answer itself."""
    cache = MemoryCache(room(8))
    for number in range(8):
        await cache.put(str(number), useful(fresh_until=4e9, unsupported=(str(number) * 8_000,)))

    assert len(cache) == 1
    assert 8_000 + 1_000 + OVERHEAD_BYTES < cache.size_bytes < 8_200 + 1_000 + OVERHEAD_BYTES


async def test_the_overhead_is_what_python_allocates():
    """What a full cache says it holds is what it takes, by the interpreter's own count, to a tenth."""
    count, gone = 3_000, 6_000
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        cache = MemoryCache(room(count))
        for number in range(count + gone):
            now = time.time()
            cost = Cost(amount=1.0, unit="credits", usd_micros=8_000 + number)
            full = CacheEntry(
                fragment=bytes(1_000),
                result_count=5,
                provider="tavily",
                stored_at=now,
                fresh_until=now + 3_600.5,
                cost=cost,
            )
            await cache.put(f"{number:032x}", full)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert 0.9 <= taken / cache.size_bytes <= 1.1


async def test_a_cache_of_no_bytes_stores_nothing():
    """A bound of 0 switches the tier off."""
    cache = MemoryCache(0)

    await cache.put("a", entry(0))

    assert await cache.get("a") is None
    assert len(cache) == 0


async def test_an_entry_is_given_as_it_is():
    """Nothing is copied or encoded on the way."""
    cache, stored = MemoryCache(100_000), entry(10)

    await cache.put("a", stored)

    assert await cache.get("a") is stored


def test_it_knows_since_when_it_is_there():
    """Health can say how old the tier is."""
    assert MemoryCache(0, now=lambda: EPOCH).since == EPOCH


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 6_000), st.sampled_from(["", *"abcdef"])),
        max_size=60,
    )
)
async def test_the_bound_always_holds(steps):
    """Whatever is stored, replaced and found, the tier is never larger than its bound and adds up."""
    cache = MemoryCache(10_000)

    for key, size_bytes, asked in steps:
        await cache.put(key, entry(size_bytes))
        await cache.get(asked)
        assert cache.size_bytes <= 10_000
    sizes = [len((await cache.get(key)).fragment) for key in await kept(cache, "abcdef")]
    assert cache.size_bytes == sum(sizes) + len(sizes) * OVERHEAD_BYTES
    assert len(cache) == len(sizes)


# --- another bound


async def test_a_lower_bound_is_reached_in_steps():
    """What is beyond a lowered bound goes, and others have their turn of the loop meanwhile."""
    count = 4 * BATCH
    cache = MemoryCache(room(count))
    for number in range(count):
        await cache.put(str(number), entry(1_000))
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    await cache.resize(room(BATCH))
    other.cancel()

    assert len(cache) == BATCH
    assert cache.size_bytes <= cache.bytes_max == room(BATCH)
    assert turns >= 3


async def test_it_does_not_grow_while_it_shrinks():
    """An answer stored between two steps pushes out its own size at least."""
    cache = MemoryCache(room(10 * BATCH))
    for number in range(10 * BATCH):
        await cache.put(str(number), entry(1_000))
    shrinking = asyncio.create_task(cache.resize(0))
    await asyncio.sleep(0)
    before_bytes = cache.size_bytes

    await cache.put("new", entry(1_000))

    assert 0 < cache.size_bytes <= before_bytes
    await shrinking
    assert cache.size_bytes == len(cache) == 0


async def test_the_configured_bound_is_the_most():
    """Nobody can make it larger than its owner wanted."""
    cache = MemoryCache(10_000)

    await cache.resize(20_000)
    assert cache.bytes_max == 10_000
    await cache.resize(5_000)
    await cache.resize(7_000)
    assert (cache.bytes_max, cache.bytes_configured) == (7_000, 10_000)


async def test_clearing_forgets_at_once_and_frees_in_steps():
    """From the first moment nothing is found, and what is stored meanwhile stays."""
    cache = MemoryCache(room(4 * BATCH))
    for number in range(3 * BATCH):
        await cache.put(str(number), entry(1_000))
    clearing = asyncio.create_task(cache.clear())
    await asyncio.sleep(0)

    assert not clearing.done()
    assert await cache.get("1") is None
    await cache.put("new", entry(1_000))

    assert await clearing == 3 * BATCH
    assert await kept(cache, ("new", "1")) == ["new"]
    assert cache.size_bytes == room(1)


async def test_a_store_after_many_hits_looks_at_few():
    """When every rank is out of date one store does not bring all of them up to date."""
    count = 50 * LOOKS_MAX
    cache = MemoryCache(room(count))
    for number in range(count):
        await cache.put(str(number), entry(1_000))
    for _ in range(USES_MAX):
        await kept(cache, map(str, range(count)))
    known = {item.key: rank for rank, item in cache._heap}

    await cache.put("new", entry(1_000))

    raised = sum(known.get(item.key) != rank for rank, item in cache._heap)
    assert raised <= LOOKS_MAX + 1
    assert len(cache) == count
