"""The cache tier in this process's memory, bounded in bytes; the least recently used entry goes first.

Expired entries stay until they are pushed out: whether an entry is fresh is for the cache filter to judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cachetools import LRUCache
from typing_extensions import override

from orchestrator.ports import CacheEntry

OVERHEAD_BYTES = 512
"""measured with tracemalloc over 20,000 entries: 509 bytes beside the fragment, for the key, the entry, its
cost and its places in cachetools' two dicts."""


class _Entries(LRUCache[str, CacheEntry]):
    """The entries; counts those that go because others come."""

    evictions = 0

    @override
    def popitem(self) -> tuple[str, CacheEntry]:
        """Push out the one that was not used for the longest time."""
        self.evictions += 1
        return super().popitem()


class MemoryCache:
    """Tier `l1`. A `bytes_max` of 0 stores nothing. Never waits and never fails."""

    tier = "l1"

    def __init__(self, bytes_max: int, now: Callable[[], float] = time.time) -> None:
        self._entries = _Entries(maxsize=bytes_max, getsizeof=_size_bytes)
        self.since = now()
        self.bytes_max = bytes_max

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, fresh or not, or `None`."""
        return self._entries.get(key)

    async def put(self, key: str, entry: CacheEntry) -> None:
        """Store or replace; an entry larger than the whole tier is not stored, and the replaced one goes."""
        try:
            self._entries[key] = entry
        except ValueError:  # cachetools: "value too large"
            self._entries.pop(key, None)

    @property
    def size_bytes(self) -> int:
        """What is stored at the moment, overhead included."""
        return int(self._entries.currsize)

    @property
    def evictions(self) -> int:
        """How many entries were pushed out by others."""
        return self._entries.evictions

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._entries)


def _size_bytes(entry: CacheEntry) -> int:
    return len(entry.fragment) + OVERHEAD_BYTES
