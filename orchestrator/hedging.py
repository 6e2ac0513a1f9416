"""When to ask a second provider although the first may still answer, and how often that may be done.

A provider's slowest answers take many times the usual. Whoever waits for one of these gets a faster answer
from the next provider; that costs one more call, so it is worth doing for the slowest few only, and within a
cap (Dean and Barroso, "The Tail at Scale", 2013: a hedged request after the 95th percentile). Here are the
figures; fallback.py does the asking.
"""

from __future__ import annotations

from collections import deque

import msgspec

CREDIT_MAX = 10.0
"""chosen: second calls that may be saved up for a slow minute; a long calm must not pay for a storm."""


class HedgePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The next provider is asked too when one has not answered after its own `quantile` of time.

    `ratio` is the most second calls for each call, 0 to 1; by default 0, because each of them is paid for
    and its answer mostly thrown away. The quantile is that of the last `samples_max` answered attempts of the
    same depth in this process; with fewer than `samples_min` nothing is known and nobody is hedged. The
    quantile is that of "The Tail at Scale"; the numbers are chosen: of 20 answers the slowest is the 95th
    percentile, and 200 forget a provider's bad hour within minutes.
    """

    ratio: float = 0.0
    quantile: float = 0.95
    samples_min: int = 20
    samples_max: int = 200


class Hedger:
    """What one chain knows of the times of its providers, and the second calls it has left.

    Each call adds `ratio` to those, a second call takes 1. It begins with none, so there are never more of
    them than `ratio` of all calls. Nothing here waits.
    """

    def __init__(self, policy: HedgePolicy) -> None:
        self._policy = policy
        self._left = 0.0
        self._durations_s: dict[tuple[str, str], deque[float]] = {}

    def answered(self, provider: str, depth: str, duration_s: float) -> None:
        """An attempt was answered after this time, or was given up after it because another one was."""
        key = (provider, depth)
        if key not in self._durations_s:
            self._durations_s[key] = deque(maxlen=self._policy.samples_max)
        self._durations_s[key].append(duration_s)

    def after_s(self, provider: str, depth: str) -> float | None:
        """After how long the provider is slow for a search of this depth; `None` if too little is known."""
        durations_s = sorted(self._durations_s.get((provider, depth), ()))
        if len(durations_s) < max(1, self._policy.samples_min):
            return None
        return durations_s[min(int(self._policy.quantile * len(durations_s)), len(durations_s) - 1)]

    def called(self) -> None:
        """A call came by, which may need a second one or not."""
        self._left = min(CREDIT_MAX, self._left + self._policy.ratio)

    def take(self) -> bool:
        """Whether there may be a second call; if so it is counted."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
