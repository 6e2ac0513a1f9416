"""The limiter of one process: a sliding log of calls, kept in slots; all windows are charged at once or none.

A window is a ring of slots. A slot takes a few calls and keeps the moment of the latest; when that moment is
older than the period, all calls of the slot are given back. A call is so counted for its period or a little
longer, never shorter: no period, wherever it begins, sees more calls than the quota.
"""

from __future__ import annotations

from array import array

from orchestrator import limits
from orchestrator.ports import Clock
from orchestrator.quota import Verdict, Window, verdict_on


class MemoryRateLimit:
    """A RateLimitStore for one process. Never waits and never fails.

    It remembers `clients_max` clients, in two halves: when one is full of clients that called of late, the
    other, of clients that did not, is forgotten. That costs one look into a mapping, where keeping the order
    of every call would cost more than counting it.
    """

    def __init__(self, clock: Clock, clients_max: int = limits.RATE_CLIENTS_MAX) -> None:
        self._now = clock.monotonic
        self._half = max(1, clients_max // 2)
        self._recent: dict[str, _Log] = {}
        self._older: dict[str, _Log] = {}

    async def hit(self, client: str, windows: tuple[Window, ...]) -> Verdict:
        """Charge one call to every window, or to none if one of them is used up. `windows` is not empty."""
        log = self._recent.get(client) or self._remember(client, windows)
        if log.windows != windows:
            log = self._recent[client] = _Log(windows)
        return log.hit(self._now())

    def __len__(self) -> int:
        """How many clients it remembers."""
        return len(self._recent) + len(self._older)

    def _remember(self, client: str, windows: tuple[Window, ...]) -> _Log:
        """The log of a client that has not called of late, or a new one."""
        log = self._older.pop(client, None) or _Log(windows)
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        self._recent[client] = log
        return log


class _Ring:
    """The calls of one window. `used` are those still counted; `slots[head]` is the newest slot."""

    __slots__ = ("grain", "head", "period_s", "quota", "size", "slots", "used")

    def __init__(self, window: Window) -> None:
        self.quota = window.quota
        self.period_s = window.period_s
        self.grain = -(-window.quota // limits.RATE_SLOTS_MAX)
        self.size = -(-window.quota // self.grain)
        self.slots = array("d")  # grows up to `size`: most clients never fill it
        self.used = 0
        self.head = -1

    def oldest(self) -> float:
        """The moment of the oldest slot still counted. At least one call must be."""
        return self.slots[(self.head - (self.used - 1) // self.grain) % self.size]

    def expire(self, now: float) -> None:
        """Give back the slots that are older than the period."""
        edge = now - self.period_s
        while self.used and self.oldest() <= edge:
            self.used = max(0, self.used - self.grain)

    def charge(self, now: float) -> None:
        """Count one call; there must be room."""
        if self.used % self.grain == 0:
            self.head = (self.head + 1) % self.size
            if self.head == len(self.slots):
                self.slots.append(now)
        self.slots[self.head] = now
        self.used += 1


class _Log:
    """All windows of one client."""

    __slots__ = ("_rings", "windows")

    def __init__(self, windows: tuple[Window, ...]) -> None:
        self.windows = windows
        self._rings = [_Ring(window) for window in windows]

    def hit(self, now: float) -> Verdict:
        """Charge one call at this moment."""
        rings = self._rings
        is_full = False
        for ring in rings:
            ring.expire(now)
            is_full = is_full or ring.used >= ring.quota
        if not is_full:
            for ring in rings:
                ring.charge(now)
        return verdict_on(
            self.windows,
            [ring.quota - ring.used for ring in rings],
            [ring.oldest() + ring.period_s - now if ring.used else 0.0 for ring in rings],
            allowed=not is_full,
        )
