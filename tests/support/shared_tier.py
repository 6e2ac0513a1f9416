"""The tier that instances share, in memory, for tests in which instances are objects; `is_down` breaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from orchestrator.cache_admin import TierView
from orchestrator.errors import CacheUnavailable


class MemoryShared:
    """A SharedTier; `entries` are the keys it has, `fails_after` batches it goes down."""

    def __init__(self, *entries: str) -> None:
        self.entries = list(entries)
        self.is_down = False
        self.fails_after: int | None = None
        self.kept_mark = 0

    async def view(self) -> TierView:
        """How it is."""
        return TierView(tier="l2", status="degraded" if self.is_down else "ok", entries=len(self.entries))

    async def clear(self) -> AsyncIterator[int]:
        """Throw away two at a time."""
        batches = 0
        while True:
            self._reach()
            if batches == self.fails_after:
                raise CacheUnavailable("Gone.")
            gone, self.entries = self.entries[:2], self.entries[2:]
            batches += 1
            yield len(gone)
            if not self.entries:
                return

    async def raise_mark(self) -> int:
        """One more."""
        self._reach()
        self.kept_mark += 1
        return self.kept_mark

    async def mark(self, known: int) -> int:
        """The higher of both."""
        self._reach()
        self.kept_mark = max(self.kept_mark, known)
        return self.kept_mark

    def _reach(self) -> None:
        if self.is_down:
            raise CacheUnavailable("Down.")
