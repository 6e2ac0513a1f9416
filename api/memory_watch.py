"""Makes room when memory runs short: lowers the bound of the cache in memory, and raises it again later.

It looks once a second, beside everything else. What uses the memory does not matter: of all that a process
holds, cached answers are what it can best do without. Several workers in one cgroup see the same figures and
each gives up a share of what it has, so that together they give up that share; none needs to know of another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

import msgspec

from api.background import running
from orchestrator.cache_admin import MemoryView
from orchestrator.facts import CacheResized
from orchestrator.ports import Clock, FactSink
from storage.memory_cache import MemoryCache
from storage.memory_pressure import Usage, give_back

STREAM = "cache:l1"
"""Stream of the facts about the tier in memory."""

_log = logging.getLogger("amos.memory")


class MemoryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When the cache in memory gives way, and how far.

    With `use` the share of the limit in use, every `look_s` seconds:
    `use > high_ratio`: bound = max(floor, shrink_ratio x min(bound, what it holds));
    `use < low_ratio`, and `grow_every_s` since the last change: bound += grow_ratio x configured;
    in between nothing, so that what is given back does not make memory short again. The floor is
    `floor_ratio` x configured. All chosen: at 0.9 of a gigabyte the remaining 100 MB last for some seconds of
    the largest answers, and a full cache is at its floor after 13 looks; back up it takes minutes, because a
    shortage that was there once comes again.
    """

    look_s: float = 1.0
    high_ratio: float = 0.90
    low_ratio: float = 0.75
    shrink_ratio: float = 0.8
    grow_ratio: float = 0.1
    grow_every_s: float = 10.0
    floor_ratio: float = 0.0625


class MemoryWatch:
    """Watches within `watching`. `usage` is what the last look saw, `None` if nothing limits memory.

    `look` reads the usage, in a thread; it may fail to find one at any time, and then nothing changes.
    """

    def __init__(
        self,
        cache: MemoryCache,
        look: Callable[[], Usage | None],
        facts: FactSink,
        clock: Clock,
        policy: MemoryPolicy | None = None,
    ) -> None:
        self.usage: Usage | None = None
        self._cache = cache
        self._look = look
        self._facts = facts
        self._clock = clock
        self._policy = policy or MemoryPolicy()
        self._changed_at = -self._policy.grow_every_s
        self.since = clock.now()
        """When memory began to be short, or ceased to be; epoch seconds."""

    @property
    def is_short(self) -> bool:
        """Whether the cache may hold less than configured."""
        return self._cache.bytes_max < self._cache.bytes_configured

    def view(self) -> MemoryView | None:
        """What the last look saw, for whoever operates AMOS."""
        if (usage := self.usage) is None:
            return None
        return MemoryView(
            used_bytes=usage.used_bytes,
            limit_bytes=usage.limit_bytes,
            source=usage.source,
            is_short=self.is_short,
        )

    def watching(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Watch for as long as the context lasts."""
        return running(self._run(), "memory")

    async def _run(self) -> None:
        while True:
            try:
                await self.step()
            except Exception as error:  # noqa: BLE001 - short memory fails looks too, and is why to go on
                _log.warning("memory was not looked at: %s", type(error).__name__)
            await self._clock.sleep(self._policy.look_s)

    async def step(self) -> None:
        """Look once, and do what follows."""
        self.usage = usage = await asyncio.to_thread(self._look)
        cache, policy = self._cache, self._policy
        if usage is None:
            return
        configured = cache.bytes_configured
        if usage.ratio > policy.high_ratio:
            target = int(min(cache.bytes_max, cache.size_bytes) * policy.shrink_ratio)
            target = max(target, int(configured * policy.floor_ratio))
            if target < cache.bytes_max:
                await self._resize(target, "pressure")
                await asyncio.to_thread(give_back)
        elif usage.ratio < policy.low_ratio and self.is_short and self._has_rested():
            await self._resize(cache.bytes_max + int(configured * policy.grow_ratio), "relief")

    def _has_rested(self) -> bool:
        return self._clock.monotonic() - self._changed_at >= self._policy.grow_every_s

    async def _resize(self, bytes_max: int, reason: str) -> None:
        was, was_short = self._cache.bytes_max, self.is_short
        await self._cache.resize(bytes_max)
        self._changed_at = self._clock.monotonic()
        if was_short != self.is_short:
            self.since = self._clock.now()
        self._facts.record_fact(
            STREAM,
            CacheResized(
                tier=self._cache.tier, bytes_max=self._cache.bytes_max, was_bytes_max=was, reason=reason
            ),
        )
