"""The limiter of one process: GCRA, all windows of a client charged at once or none.

GCRA ("generic cell rate algorithm") keeps one moment per window: the theoretical arrival time at which the
client would have used exactly its rate. A call moves it on by `period / quota`; a call that would move it
more than one period ahead of now does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachetools import LRUCache

from orchestrator.ports import Clock, Verdict, Window

CLIENTS_MAX = 100_000
"""chosen: 41 MB (407 bytes a client, measured with tracemalloc); beyond it the client that has been silent
longest starts with fresh windows."""

ROUNDING_CALLS = 1e-3
"""chosen: a call may come by this part of the time between two calls too early. Sums of `period / quota` are
off by a little, the more so the longer the machine has been up (a `float` of 10^7 seconds has steps of 2e-9),
and the last call of a quota must not be refused for that. What is borrowed so is paid back by the next."""


class MemoryRateLimit:
    """A RateLimitStore for one process. Never waits and never fails."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._arrivals: LRUCache[str, dict[str, float]] = LRUCache(maxsize=CLIENTS_MAX)

    async def hit(self, client: str, windows: Sequence[Window]) -> Verdict:
        """Charge one call to every window, or to none if one of them is used up. `windows` is not empty."""
        now = self._clock.monotonic()
        arrivals = self._arrivals.get(client) or {}
        ahead_s = {window.name: max(0.0, arrivals.get(window.name, 0.0) - now) for window in windows}
        waits = [(_wait_s(window, ahead_s[window.name]), window) for window in windows]
        retry_after_s, fullest = max(waits, key=lambda wait: wait[0])
        if retry_after_s > 0:
            return Verdict(
                allowed=False,
                window=fullest,
                remaining=0,
                reset_s=ahead_s[fullest.name],
                retry_after_s=retry_after_s,
            )
        self._arrivals[client] = {
            window.name: now + ahead_s[window.name] + window.period_s / window.quota for window in windows
        }
        verdicts = (
            _allowed(window, ahead_s[window.name] + window.period_s / window.quota) for window in windows
        )
        return min(verdicts, key=lambda verdict: verdict.remaining)


def _wait_s(window: Window, ahead_s: float) -> float:
    """Seconds until one more call fits; 0 if it fits now."""
    per_call_s = window.period_s / window.quota
    wait_s = ahead_s + per_call_s - window.period_s
    return wait_s if wait_s > ROUNDING_CALLS * per_call_s else 0.0


def _allowed(window: Window, ahead_s: float) -> Verdict:
    remaining = int((window.period_s - ahead_s) * window.quota / window.period_s + ROUNDING_CALLS)
    return Verdict(allowed=True, window=window, remaining=max(0, remaining), reset_s=ahead_s)
