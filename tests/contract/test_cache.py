"""What every Cache does, whichever technology keeps the entries.

`CacheContract` holds the cases; a class per implementation makes the cache.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod

import msgspec
import pytest

from orchestrator.errors import CacheUnavailable
from orchestrator.events import Cost
from orchestrator.ports import Cache, CacheEntry
from storage.memory_cache import MemoryCache
from storage.redis_cache import RedisCache
from storage.redis_client import open_redis


def entry(size_bytes: int = 100, **fields: object) -> CacheEntry:
    """An entry with a fragment of that size, fresh for another hour."""
    now = time.time()
    defaults = {
        "fragment": b"x" * size_bytes,
        "result_count": 3,
        "provider": "tavily",
        "stored_at": now,
        "fresh_until": now + 3_600.5,
    }
    return CacheEntry(**{**defaults, **fields})


class CacheContract(ABC):
    """The cases."""

    @abstractmethod
    async def create_cache(self, bytes_max: int) -> Cache:
        """An empty cache that takes an entry of up to about `bytes_max`."""

    @pytest.fixture
    async def cache(self) -> Cache:
        """The thing under test."""
        return await self.create_cache(100_000)

    async def test_it_names_its_tier(self, cache):
        """A cache is tier `l1` or `l2`."""
        assert cache.tier in ("l1", "l2")

    async def test_an_unknown_key_is_nothing(self, cache):
        """A key that was never stored has no entry."""
        assert await cache.get("nobody") is None

    async def test_what_was_put_is_got(self, cache):
        """An entry comes back with every field as it was."""
        stored = entry(
            fragment='"results":["ü\\n"]'.encode(),
            stale_until=time.time() + 7_200.5,
            cost=Cost(amount=1.5, unit="credits", usd_micros=12_000),
            is_fallback=True,
            unsupported=("topic", "days"),
        )

        await cache.put("k1", stored)

        assert await cache.get("k1") == stored

    async def test_an_expired_entry_is_still_told_or_forgotten(self, cache):
        """A store may forget an expired entry, but never change it."""
        stored = entry(fresh_until=1.0)

        await cache.put("k1", stored)

        assert await cache.get("k1") in (stored, None)

    async def test_what_is_stale_is_kept_while_it_is_of_use(self, cache):
        """An entry past its freshness comes back until the end of all its use."""
        stored = entry(fresh_until=time.time() - 60.0, stale_until=time.time() + 60.0)

        await cache.put("k1", stored)

        assert await cache.get("k1") == stored

    async def test_the_last_put_counts(self, cache):
        """Storing under a key replaces what was there."""
        await cache.put("k1", entry(provider="tavily"))
        await cache.put("k1", entry(provider="jina"))

        assert (await cache.get("k1")).provider == "jina"

    async def test_keys_are_apart(self, cache):
        """An entry is found under its own key only."""
        await cache.put("k1", entry(provider="tavily"))
        await cache.put("k2", entry(provider="jina"))

        assert (await cache.get("k1")).provider == "tavily"
        assert await cache.get("k") is None

    async def test_an_empty_fragment_is_an_entry(self, cache):
        """An entry without bytes is not the same as no entry."""
        await cache.put("k1", entry(0))

        assert (await cache.get("k1")).fragment == b""

    async def test_an_entry_too_large_is_not_stored_and_no_error(self):
        """What does not fit is passed over, and whoever stores it is told."""
        cache = await self.create_cache(10_000)

        assert await cache.put("k0", entry(100))
        assert not await cache.put("k1", entry(1_000_000))

        assert await cache.get("k1") is None

    async def test_an_entry_too_large_takes_the_old_one_with_it(self):
        """A replaced answer is not given again because the new one does not fit."""
        cache = await self.create_cache(10_000)
        await cache.put("k1", entry(100))

        await cache.put("k1", entry(1_000_000))

        assert await cache.get("k1") is None

    async def test_many_may_use_it_at_once(self, cache):
        """Concurrent calls do not disturb each other."""
        await asyncio.gather(*(cache.put(f"k{n}", entry(result_count=n)) for n in range(50)))

        entries = await asyncio.gather(*(cache.get(f"k{n}") for n in range(50)))

        assert [one.result_count for one in entries] == list(range(50))


class TestMemoryCache(CacheContract):
    """The contract, kept in this process's memory."""

    async def create_cache(self, bytes_max: int) -> Cache:
        """A new one."""
        return MemoryCache(bytes_max)


class RedisCacheContract(CacheContract):
    """The contract, kept in a Redis."""

    @pytest.fixture(autouse=True)
    async def redis(self, url):
        """A client of the empty Redis at `url`."""
        self.client = await open_redis(url, timeout_s=5.0)  # a test machine may be busy
        assert self.client.outage is None
        yield
        await self.client.aclose()

    async def create_cache(self, bytes_max: int) -> Cache:
        """A new one on the same Redis."""
        return RedisCache(self.client, bytes_max)

    async def test_an_entry_of_an_earlier_version_is_of_no_use_when_stale(self, cache):
        """Entries that know nothing of stale times are read, and end with their freshness."""
        await cache.put("k1", entry())
        key = "amos:cache:v1:{k1}"
        fields = msgspec.msgpack.decode(await self.client.execute("GET", key, error=CacheUnavailable))
        assert fields.pop("stale_until") == 0.0
        earlier = msgspec.msgpack.encode(fields)
        await self.client.execute("SET", key, earlier, "PX", 60_000, error=CacheUnavailable)

        found = await cache.get("k1")

        assert found.stale_until == 0.0
        assert found.useful_until == found.fresh_until


class TestRedisCache(RedisCacheContract):
    """One server."""

    @pytest.fixture
    def url(self, valkey):
        """Where it is."""
        return valkey.url


class TestSentinelCache(RedisCacheContract):
    """The master that Sentinels know."""

    @pytest.fixture
    def url(self, sentinels):
        """Where they are."""
        return sentinels.url


class TestClusterCache(RedisCacheContract):
    """Three nodes that share the keys."""

    @pytest.fixture
    def url(self, cluster):
        """Where they are."""
        return cluster.url
