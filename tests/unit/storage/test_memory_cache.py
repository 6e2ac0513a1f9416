"""The cache in memory is bounded in bytes. What every cache does is in tests/contract/test_cache.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.ports import CacheEntry
from storage.memory_cache import OVERHEAD_BYTES, MemoryCache
from tests.support.clock import EPOCH


def entry(size_bytes):
    """An entry like any other."""
    return CacheEntry(
        fragment=b"x" * size_bytes, result_count=1, provider="tavily", stored_at=0.0, fresh_until=1.0
    )


async def test_the_least_recently_used_entry_goes_first():
    """When the bytes are used up, what nobody asked for the longest makes room."""
    cache = MemoryCache(3 * (1_000 + OVERHEAD_BYTES))
    for key in ("a", "b", "c"):
        await cache.put(key, entry(1_000))
    await cache.get("a")

    await cache.put("d", entry(1_000))

    assert [key for key in "abcd" if await cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.evictions == 1


async def test_an_entry_weighs_its_bytes_and_its_overhead():
    """The size that is told counts what an entry costs beside its fragment."""
    cache = MemoryCache(100_000)

    await cache.put("a", entry(1_000))
    await cache.put("b", entry(0))

    assert cache.size_bytes == 1_000 + 2 * OVERHEAD_BYTES
    assert len(cache) == 2


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


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 6_000)), max_size=60))
async def test_the_bound_always_holds(puts):
    """Whatever is stored and replaced, the tier is never larger than its bound."""
    cache = MemoryCache(10_000)

    for key, size_bytes in puts:
        await cache.put(key, entry(size_bytes))
        assert cache.size_bytes <= 10_000
