"""Looking at the cache, and clearing it, for every surface; and hearing that another instance was to clear.

Each process has a tier in memory of its own. Whoever clears it for all raises a mark in what they share, and
every process looks at the mark once a second, in the background: a mark higher than the one it knows means
that its memory is to be forgotten. A mark is no message, so nobody can miss it; and a process that finds it
gone, with the server that kept it, puts back the one it knows.

What was stored before the clearing is not served after it: in the shared tier and in this process when
`clear` returns, elsewhere within two seconds. The shared tier is emptied first and the mark raised then, so
that no memory takes an old answer from it again. An answer that is being fetched meanwhile is as new as the
clearing, and is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec

from orchestrator.errors import CacheUnavailable, InvalidRequest
from orchestrator.facts import CacheCleared
from orchestrator.ports import Clock, FactSink

STREAM = "cache:all"
"""Stream of the facts about the cache as a whole."""

LOOK_S = 1.0
"""chosen: how long a process may serve what another was told to clear; a small command a second."""

ELSEWHERE_S = 2.0
"""When all others have looked: a look, and one more for a loop that is busy. They must reach the mark."""


class TierView(msgspec.Struct, frozen=True, kw_only=True):
    """A tier as it is. `None` is a number that cannot be told cheaply, or a bound that is not there.

    `status` is `ok` or `degraded`; `evictions` counts what was pushed out since whoever keeps it was started.
    Of the shared tier the figures are those of its server, whatever else that keeps.
    """

    tier: str
    status: str = "ok"
    detail: str = ""
    entries: int | None = None
    bytes: int | None = None
    bytes_max: int | None = None
    bytes_configured: int | None = None
    evictions: int | None = None


class MemoryView(msgspec.Struct, frozen=True, kw_only=True):
    """The memory whose limit is nearest. `is_short`: the tier in memory holds less than configured for it."""

    used_bytes: int
    limit_bytes: int
    source: str
    is_short: bool


class CacheView(msgspec.Struct, frozen=True, kw_only=True):
    """The cache as one process sees it; `memory` is `None` where nothing limits it."""

    tiers: tuple[TierView, ...]
    memory: MemoryView | None = None


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """What was thrown away: `entries` by tier, of the memory only this process's.

    `elsewhere_within_s`: when the memory of other instances is empty too, `None` if none was told.
    """

    tiers: tuple[str, ...]
    entries: dict[str, int]
    elsewhere_within_s: float | None = None


class OwnTier(Protocol):
    """The tier of this process. Never fails."""

    def view(self) -> TierView:
        """How it is, without waiting."""

    async def clear(self) -> int:
        """Forget everything at once; returns how many entries there were."""


class SharedTier(Protocol):
    """The tier that instances share. All methods raise CacheUnavailable."""

    async def view(self) -> TierView:
        """How it is; never raises."""

    def clear(self) -> AsyncIterator[int]:
        """Throw away all entries in small batches; yields the size of each."""

    async def raise_mark(self) -> int:
        """A mark higher than any before, for all to see."""

    async def mark(self, known: int) -> int:
        """The mark that is there, 0 if none ever was; if it is lower than `known`, that is put there."""


class CacheAdmin:
    """What may be done to the cache. One of the tiers may be missing, not both."""

    def __init__(
        self,
        own: OwnTier | None,
        shared: SharedTier | None,
        facts: FactSink,
        clock: Clock,
        memory: Callable[[], MemoryView | None] = lambda: None,
    ) -> None:
        self._own = own
        self._shared = shared
        self._facts = facts
        self._clock = clock
        self._memory = memory
        self._mark = 0

    async def view(self) -> CacheView:
        """Each tier as it is, nearest first, and the memory. Waits some seconds at most."""
        own = () if self._own is None else (self._own.view(),)
        shared = () if self._shared is None else (await self._shared.view(),)
        return CacheView(tiers=(*own, *shared), memory=self._memory())

    async def clear(self, tier: str = "", *, by: str) -> Cleared:
        """Throw away what the tier has, `""` for all; `by` is the client that asks.

        Raises InvalidRequest for a tier that is not there, and CacheUnavailable when the shared one is out of
        reach: what was thrown away until then is recorded, and this process's memory is emptied all the same.
        """
        chosen = self._chosen(tier)
        entries: dict[str, int] = {}
        is_told = False
        try:
            try:
                if "l2" in chosen and self._shared is not None:
                    async for count in self._shared.clear():
                        entries["l2"] = entries.get("l2", 0) + count
                if "l1" in chosen and self._shared is not None:
                    self._mark = max(self._mark, await self._shared.raise_mark())
                    is_told = True
            finally:
                if "l1" in chosen and self._own is not None:
                    entries["l1"] = await self._own.clear()
        finally:
            done = tuple(one for one in chosen if one in entries or is_told)
            if done:
                self._facts.record_fact(
                    STREAM, CacheCleared(tiers=done, entries=sum(entries.values()), by=by)
                )
        return Cleared(tiers=chosen, entries=entries, elsewhere_within_s=ELSEWHERE_S if is_told else None)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Clear the memory of this process when another was told to, for as long as the context lasts."""
        if self._own is None or self._shared is None:
            yield
            return
        task = asyncio.create_task(self._listen(self._own, self._shared), name="clearing of the cache")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _listen(self, own: OwnTier, shared: SharedTier) -> None:
        while True:
            with contextlib.suppress(CacheUnavailable):
                mark = await shared.mark(self._mark)
                if mark > self._mark:
                    self._mark = mark
                    await own.clear()
            await self._clock.sleep(LOOK_S)

    def _chosen(self, tier: str) -> tuple[str, ...]:
        there = ("l1",) if self._shared is None else ("l1", "l2")
        if not tier:
            return there
        if tier not in there:
            raise InvalidRequest(f"tier: expected one of {', '.join(there)}.", field="tier")
        return (tier,)
