"""What every SharedTier does: it is emptied and nothing else with it, and keeps a mark that only rises."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from orchestrator.cache_admin import SharedTier
from orchestrator.errors import CacheUnavailable
from orchestrator.ports import CacheEntry
from storage.redis_cache import RedisCache
from storage.redis_client import open_redis
from storage.redis_upkeep import BATCH, RedisUpkeep
from tests.support.shared_tier import MemoryShared
from tests.support.valkey import Valkey


class SharedTierContract(ABC):
    """The cases."""

    @abstractmethod
    async def create_tier(self, entries: int) -> SharedTier:
        """A tier with so many entries, without a mark."""

    async def test_all_entries_are_thrown_away_and_counted(self):
        """However many there are; afterwards there are none."""
        tier = await self.create_tier(3 * BATCH)

        assert sum([count async for count in tier.clear()]) == 3 * BATCH
        assert sum([count async for count in tier.clear()]) == 0

    async def test_it_says_how_it_is(self):
        """A tier in reach is all right."""
        view = await (await self.create_tier(1)).view()

        assert (view.tier, view.status) == ("l2", "ok")

    async def test_the_mark_rises(self):
        """Each is higher than all before it, and everybody sees the highest."""
        tier = await self.create_tier(0)
        assert await tier.mark(0) == 0

        first = await tier.raise_mark()
        second = await tier.raise_mark()

        assert 0 < first < second == await tier.mark(0) == await tier.mark(first)

    async def test_a_mark_that_is_known_is_put_back(self):
        """Whoever knows a higher one than there is leaves it there, and the next is higher still."""
        tier = await self.create_tier(0)
        known = await tier.raise_mark() + 10_000_000

        assert await tier.mark(known) == known
        assert await tier.mark(0) == known
        assert await tier.raise_mark() > known


class TestMemoryShared(SharedTierContract):
    """The tests' own."""

    async def create_tier(self, entries: int) -> SharedTier:
        """A new one."""
        return MemoryShared(*map(str, range(entries)))


class RedisContract(SharedTierContract):
    """The contract, kept on a Redis, and what is particular to one."""

    @pytest.fixture(autouse=True)
    async def redis(self, url):
        """A client of the empty Redis at `url`."""
        self.client = await open_redis(url, timeout_s=5.0)  # a test machine may be busy
        assert self.client.outage is None
        yield
        await self.client.aclose()

    async def create_tier(self, entries: int) -> SharedTier:
        """A new one on that Redis."""
        cache = RedisCache(self.client)
        entry = CacheEntry(
            fragment=b"x" * 100, result_count=1, provider="tavily", stored_at=0.0, fresh_until=4e9
        )
        for number in range(entries):
            await cache.put(f"{number:032x}", entry)
        return RedisUpkeep(self.client)

    async def test_nothing_else_is_thrown_away(self):
        """What is spent, what is allowed, and what others keep there stays; entries of other versions go."""
        tier = await self.create_tier(3)
        others = ("amos:budget:{all}", "amos:cache:cleared", "amos:flight:{k}", "somebody:amos:cache:v1:{k}")
        for key in (*others, "amos:cache:v0:{old}", "amos:cache:v99:{new}"):
            await self.client.execute("SET", key, "kept", error=CacheUnavailable)

        assert sum([count async for count in tier.clear()]) == 5

        for key in others:
            assert await self.client.execute("GET", key, error=CacheUnavailable) == b"kept"

    async def test_it_tells_what_its_servers_keep(self):
        """Bytes in use and pushed out, of all of them; without a bound there is none."""
        view = await (await self.create_tier(1)).view()

        assert view.bytes is not None
        assert view.bytes > 100_000
        assert view.bytes_max is None
        assert view.evictions == 0
        assert "noeviction" in view.detail


class TestRedisUpkeep(RedisContract):
    """One server."""

    @pytest.fixture
    def url(self, valkey):
        """Where it is."""
        return valkey.url


class TestSentinelUpkeep(RedisContract):
    """The master that Sentinels know."""

    @pytest.fixture
    def url(self, sentinels):
        """Where they are."""
        return sentinels.url


class TestClusterUpkeep(RedisContract):
    """Three nodes that share the keys."""

    @pytest.fixture
    def url(self, cluster):
        """Where they are."""
        return cluster.url


async def test_a_server_with_a_bound_tells_it():
    """`maxmemory` is the bound of the tier."""
    async with Valkey(maxmemory="50mb", maxmemory_policy="allkeys-lru") as valkey:
        client = await open_redis(valkey.url, timeout_s=5.0)
        view = await RedisUpkeep(client).view()
        await client.aclose()

    assert view.bytes_max == 52_428_800
    assert "allkeys-lru" in view.detail


async def test_a_server_that_is_gone_is_said_to_be():
    """Looking says it without failing, before anybody has met the outage; clearing fails with our error."""
    async with Valkey() as valkey:
        client = await open_redis(valkey.url, timeout_s=5.0)
        tier = RedisUpkeep(client)
        valkey.kill()

        view = await tier.view()
        with pytest.raises(CacheUnavailable):
            _ = [count async for count in tier.clear()]
        with pytest.raises(CacheUnavailable):
            await tier.raise_mark()
        await client.aclose()

    assert view.status == "degraded"
    assert "out of reach" in view.detail


async def test_a_user_who_may_not_is_told_so():
    """One without the right to go through the keys, or to ask for figures, learns which refusal it was."""
    async with Valkey(user="limited on >secret ~* &* +@all -scan -info") as valkey:
        url = valkey.url.replace("redis://", "redis://limited:secret@")
        client = await open_redis(url, timeout_s=5.0)
        tier = RedisUpkeep(client)

        view = await tier.view()
        with pytest.raises(CacheUnavailable, match="refused: "):
            _ = [count async for count in tier.clear()]
        await client.aclose()

    assert view.status == "degraded"
    assert "refused" in view.detail


async def test_a_server_that_is_silent_ends_the_clearing():
    """One that accepts and never answers costs seconds, not for ever."""
    async with Valkey() as valkey:
        client = await open_redis(valkey.url, timeout_s=5.0)
        tier = RedisUpkeep(client)
        valkey.pause()
        try:
            with pytest.raises(CacheUnavailable, match="in time"):
                _ = [count async for count in tier.clear()]
        finally:
            valkey.resume()
            await client.aclose()
