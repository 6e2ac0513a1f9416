"""The cache of an installation as a whole: its tier in memory, watched; and what may be done to both tiers.

Used by the gateway, and by the command line without a server, which has no memory of its own to look at.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from api.memory_watch import MemoryWatch
from api.record import record
from api.settings import Settings
from orchestrator.cache_admin import CacheAdmin
from orchestrator.clock import SystemClock
from orchestrator.ports import Clock, FactSink
from storage.memory_cache import MemoryCache
from storage.memory_pressure import MemoryPressure
from storage.redis_client import RedisClient, open_redis
from storage.redis_upkeep import RedisUpkeep


class InstanceCache(NamedTuple):
    """The cache of a running gateway: its tier in memory, the watch over it, and what may be done to all."""

    l1: MemoryCache
    memory: MemoryWatch
    admin: CacheAdmin


@contextlib.asynccontextmanager
async def instance_cache(
    settings: Settings, redis: RedisClient | None, facts: FactSink, clock: Clock
) -> AsyncIterator[InstanceCache]:
    """The cache of a gateway; for as long as the context lasts it gives way when memory is short.

    It also hears that another instance was told to clear.
    """
    l1 = MemoryCache(settings.l1_max_bytes, clock.now)
    memory = MemoryWatch(l1, MemoryPressure(settings.memory_max_bytes).look, facts, clock)
    shared = None if redis is None else RedisUpkeep(redis)
    admin = CacheAdmin(l1, shared, facts, clock, memory.view)
    async with memory.watching(), admin.listening():
        yield InstanceCache(l1, memory, admin)


@contextlib.asynccontextmanager
async def shared_cache_admin(settings: Settings) -> AsyncIterator[CacheAdmin | None]:
    """What may be done to the cache that instances share, without a gateway; `None` if nothing is shared.

    Its facts go to the journal. Raises OSError.
    """
    if settings.redis_url is None:
        yield None
        return
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as cleanup:
        _, recorder = await cleanup.enter_async_context(record(settings, clock))
        redis = await open_redis(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s)
        cleanup.push_async_callback(redis.aclose)
        yield CacheAdmin(None, RedisUpkeep(redis), recorder, clock)
