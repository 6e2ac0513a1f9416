"""The cache tier in this process's memory, bounded in bytes; what is worth least for its size goes first.

The order is GreedyDual-Size with Frequency (Cherkasova, HP Labs 1998), with the root of the size: an answer's
rank is `age + uses / sqrt(bytes)`, where `age` is the rank of the last that was pushed out, as it was when
this one was last used. So a small answer that is often asked for stays, a large one must earn its room, and
what nobody asks for any more is overtaken. Two things are added: an answer used only once, by whoever fetched
it, counts little; and those pushed out lately are remembered by key, so that one that comes back has its uses
again. docs/decisions/0024-the-cache-in-memory.md compares the alternatives.

Entries of no use any more stay until others need their room, and are then pushed out whatever their rank:
whether an entry may be served is for the cache filter to judge.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import sys
import time
from collections.abc import Callable

import msgspec

from orchestrator.cache_admin import TierView
from orchestrator.ports import CacheEntry

OVERHEAD_BYTES = 600
"""measured with tracemalloc over 20,000 entries of a full cache: bytes beside the fragment, for the key, the
entry, its cost, its places in the dict and in the heap, and the key and number of one remembered answer."""

USES_FIRST = 0.2
"""chosen: what the use by its fetcher counts. Of the questions in 100,000 Zipf-distributed calls 42 % come
once, and at 1 would push out what comes again; at 0.1 bursts suffer. Measured with benchmarks/zipf.py."""

USES_MAX = 8
"""chosen: more uses count no more, so that a favourite of yesterday is soon overtaken. As above."""

LOOKS_MAX = 32
"""chosen: entries looked at to find the one that goes, so that the first store after a million hits, when all
ranks are out of date, takes 50 µs as every other. Then the lowest of those seen goes."""

BATCH = 32
"""chosen: entries freed in one turn of the event loop when many must go: a tenth of a millisecond, and one if
all ranks are out of date."""


class _Item(msgspec.Struct, gc=False):
    """A key, what is kept under it, and what its rank is made of. `entry` `None` and no bytes: it has gone.

    Nothing here can be part of a cycle. Without `gc=False` each full collection walks 100,000 items.
    """

    key: str
    uses: int
    age: float
    entry: CacheEntry | None
    size_bytes: int

    @property
    def rank(self) -> float:
        """Where it stands now; it only rises while the item stays as it is."""
        return self.age + (self.uses or USES_FIRST) / math.sqrt(self.size_bytes)

    def __lt__(self, other: object) -> bool:
        """Items of the same rank are in no order."""
        return False


class MemoryCache:
    """Tier `l1`. A `bytes_max` of 0 stores nothing. Storing and finding never wait and never fail.

    `bytes_configured` is the most it may ever hold, `bytes_max` the bound in force.
    """

    tier = "l1"

    def __init__(self, bytes_max: int, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.since = now()
        self.bytes_configured = bytes_max
        self.bytes_max = bytes_max
        self.size_bytes = 0
        """What is stored at the moment, overhead included."""
        self.evictions = 0
        """How many entries were pushed out by others."""
        self._items: dict[str, _Item] = {}
        # Lowest first, each item once, with its rank as of when it was last looked at.
        self._heap: list[tuple[float, _Item]] = []
        self._age = 0.0
        # The uses of those pushed out, by hash: the later half, and the half before.
        self._gone: dict[int, int] = {}
        self._gone_before: dict[int, int] = {}

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, fresh or not, or `None`."""
        item = self._items.get(key)
        if item is None:
            return None
        if item.uses < USES_MAX:
            item.uses += 1
        item.age = self._age
        return item.entry

    async def put(self, key: str, entry: CacheEntry) -> bool:
        """Store or replace; an entry larger than the whole tier is not stored, and the replaced one goes."""
        size_bytes = len(entry.fragment) + OVERHEAD_BYTES
        if entry.unsupported:  # May be names of the caller's own making, of kilobytes.
            size_bytes += sum(map(sys.getsizeof, entry.unsupported))
        item = self._items.get(key)
        if size_bytes > self.bytes_max:
            if item is not None:
                self._remove(item)
            return False
        # A bound that was lowered meanwhile is reached by `resize`, in steps; here nothing must grow.
        bound_bytes = max(self.bytes_max, self.size_bytes)
        more_bytes = size_bytes - (item.size_bytes if item is not None else 0)
        while self.size_bytes + more_bytes > bound_bytes:
            if self._evict() is item is not None:
                item, more_bytes = None, size_bytes
        if item is not None:
            item.entry, item.size_bytes = entry, size_bytes
        else:
            item = _Item(key, self._recalled(key), self._age, entry, size_bytes)
            self._items[key] = item
            # Only now: what was just fetched is not what goes.
            heapq.heappush(self._heap, (item.rank, item))
        self.size_bytes += more_bytes
        return True

    async def resize(self, bytes_max: int) -> None:
        """Let another bound be in force, at most the configured one; what is beyond it goes, in steps."""
        self.bytes_max = min(bytes_max, self.bytes_configured)
        while self.size_bytes > self.bytes_max:
            for _ in range(BATCH):
                if self.size_bytes <= self.bytes_max:
                    break
                self._evict()
            await asyncio.sleep(0)

    async def clear(self) -> int:
        """Forget everything at once, and free it in steps; returns how many entries there were."""
        count, items, heap = len(self._items), self._items, self._heap
        self._items, self._heap, self.size_bytes = {}, [], 0
        self._gone, self._gone_before = {}, {}
        while heap:
            for _, item in heap[-BATCH:]:
                items.pop(item.key, None)
            del heap[-BATCH:]
            await asyncio.sleep(0)
        return count

    def view(self) -> TierView:
        """How it is, for whoever operates AMOS."""
        return TierView(
            tier=self.tier,
            status="ok" if self.bytes_max == self.bytes_configured else "degraded",
            entries=len(self),
            bytes=self.size_bytes,
            bytes_max=self.bytes_max,
            bytes_configured=self.bytes_configured,
            evictions=self.evictions,
        )

    def __len__(self) -> int:
        """The number of entries."""
        return len(self._items)

    def _evict(self) -> _Item | None:
        """Push out the item of the lowest rank, or the lowest of the first `LOOKS_MAX`; there must be one.

        One that nobody has a use for any more goes instead, if it is among them, however often it was used.
        Returns it, `None` if all that were looked at had gone before.
        """
        lowest: _Item | None = None
        now = self._now()
        for _ in range(LOOKS_MAX):
            known, item = self._heap[0]
            if item.entry is None:
                heapq.heappop(self._heap)
                continue
            rank = item.rank
            if rank <= known or item.entry.useful_until <= now:
                lowest = item
                break
            heapq.heapreplace(self._heap, (rank, item))
            if lowest is None or rank < lowest.rank:
                lowest = item
        if lowest is None:  # all that were looked at had gone before
            return None
        self._age = max(self._age, lowest.rank)
        self._gone[hash(lowest.key)] = min(lowest.uses + 1, USES_MAX)
        self._remove(lowest)
        self.evictions += 1
        if len(self._gone) * 2 > len(self._items):
            self._gone, self._gone_before = {}, self._gone
        return lowest

    def _recalled(self, key: str) -> int:
        """The uses of an entry that was pushed out lately and is stored again; 0 if it is new."""
        name = hash(key)
        return self._gone.pop(name, 0) or self._gone_before.pop(name, 0)

    def _remove(self, item: _Item) -> None:
        """Let it go; its place in the heap is given up when it comes to the top."""
        del self._items[item.key]
        self.size_bytes -= item.size_bytes
        item.entry, item.size_bytes = None, 0
