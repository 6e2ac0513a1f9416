"""When to ask a second provider although the first may still answer, and how often that may be done.

A provider's slowest answers take many times the usual. Whoever waits for one of these gets a faster answer
from the next provider; that costs one more call, so it is worth doing for the slowest few only, and within a
cap (Dean and Barroso, "The Tail at Scale", 2013: a hedged request after the 95th percentile). Here are the
figures; fallback.py does the asking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import msgspec

from orchestrator.events import AttemptStarted, AttemptSucceeded
from orchestrator.model import Call
from orchestrator.ports import Clock

CREDIT_MAX = 10.0
"""chosen: second calls that may be saved up for a slow minute; a long calm must not pay for a storm."""

LOST_MAX = 5
"""chosen: who loses as often without an answer in between may be away. Its circuit learns that from calls
that are let end, as many as open it."""

CLOCK_STEP_S = 0.001
"""chosen: moments of the record are those of the wall clock, and a millisecond of it is not worth waiting
for."""


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
    """What one chain of searches knows of the times of its providers, and the second calls it has left.

    Each search adds `ratio` to those, a second call takes 1. It begins with none, so there are never more of
    them than `ratio` of all searches.
    """

    def __init__(self, policy: HedgePolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._left = 0.0
        self._durations_s: dict[tuple[str, str], deque[float]] = {}
        self._lost: dict[str, int] = {}  # since the provider's last answer

    def count(self) -> None:
        """A search begins."""
        self._left = min(CREDIT_MAX, self._left + self._policy.ratio)

    def after_s(self, call: Call[Any], provider: str) -> float | None:
        """After how long the provider is slow with this search; `None` if nobody knows."""
        durations_s = sorted(self._durations_s.get((provider, call.request.depth), ()))
        if len(durations_s) < max(1, self._policy.samples_min) or self._lost.get(provider, 0) >= LOST_MAX:
            return None
        return durations_s[min(int(self._policy.quantile * len(durations_s)), len(durations_s) - 1)]

    def take(self) -> bool:
        """Whether there may be a second call; if so it is counted."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    async def is_slow(
        self, answer: asyncio.Future[Any], call: Call[Any], provider: str, after_s: float
    ) -> bool:
        """Wait until the answer is there, or its provider was called `after_s` ago; the latter is slow.

        The time counts from the attempt: waiting for our own turn at a provider is not its slowness.
        """
        left_s = after_s
        while not answer.done():
            await asyncio.wait((answer,), timeout=left_s)
            left_s = after_s - self._under_way_s(call, provider)
            if left_s <= CLOCK_STEP_S:
                break
        return not answer.done()

    def answered(self, call: Call[Any], provider: str) -> None:
        """The provider has answered the call."""
        self._lost[provider] = 0
        for envelope in reversed(call.trail.events):
            if isinstance(envelope.event, AttemptSucceeded) and envelope.event.provider == provider:
                self._learn(call, provider, envelope.event.duration_s)
                return

    def lost(self, call: Call[Any], provider: str) -> None:
        """Another provider was faster. How long this one would have taken nobody knows: at least so long.

        Left out, the slowest answers would be missing from what is usual, and ever more calls would be slow.
        """
        self._learn(call, provider, self._under_way_s(call, provider))
        self._lost[provider] = self._lost.get(provider, 0) + 1

    def _learn(self, call: Call[Any], provider: str, duration_s: float) -> None:
        key = (provider, call.request.depth)
        if key not in self._durations_s:
            self._durations_s[key] = deque(maxlen=self._policy.samples_max)
        self._durations_s[key].append(duration_s)

    def _under_way_s(self, call: Call[Any], provider: str) -> float:
        """How long ago the last attempt at the provider began; 0 if there was none."""
        for envelope in reversed(call.trail.events):
            if isinstance(envelope.event, AttemptStarted) and envelope.event.provider == provider:
                return self._clock.now() - envelope.at
        return 0.0
