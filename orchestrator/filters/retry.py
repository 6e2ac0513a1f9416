"""A further attempt at the same provider, when that is likely to help and there is time and budget for it.

A fixed number of retries turns a provider's bad minute into three times the load on it. The budget ties
retries to requests instead: about one in five may be retried, with a small constant so that a quiet service
may retry too (Finagle's RetryBudget).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Generic

import msgspec

from orchestrator import limits
from orchestrator.errors import GatewayError, ProviderThrottled
from orchestrator.events import RetryScheduled
from orchestrator.model import Call, RequestT
from orchestrator.outcome import Outcome, judge, reason
from orchestrator.ports import Clock
from orchestrator.service import ResponseT, Service


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When and how often to try the same provider again.

    `attempts_max` counts the first one. The wait before retry n (from 1) is drawn evenly from
    0 to `min(backoff_cap_s, backoff_base_s * 2**(n-1))` ("full jitter"), unless the provider named a time
    above 0: then exactly that, if it is at most `backoff_cap_s`. All chosen: with 9 s in all a long wait is
    worth less than the next provider.
    """

    attempts_max: int = 2
    backoff_base_s: float = 0.1
    backoff_cap_s: float = 1.0
    budget_ratio: float = 0.2
    budget_min_per_s: float = 10.0

    def backoff_s(self, retry: int, asked_s: float | None, chance: float) -> float | None:
        """The wait before the retry in seconds, or `None` if it would be too long. `chance` is 0..1."""
        if asked_s:
            return asked_s if asked_s <= self.backoff_cap_s else None
        return chance * min(self.backoff_cap_s, self.backoff_base_s * 2.0 ** (retry - 1))


class RetryBudget:
    """A bucket of retries: every request adds `ratio`, every second adds `min_per_s`, a retry takes 1.

    It holds at most what ten seconds of `min_per_s` bring, so that a long calm does not pay for a storm.
    """

    def __init__(self, ratio: float, min_per_s: float, now: float) -> None:
        self._ratio = ratio
        self._min_per_s = min_per_s
        self._full = max(1.0, min_per_s * 10.0)
        self._left = max(1.0, min_per_s)
        self._at = now

    def deposit(self, now: float) -> None:
        """A request came by."""
        self._refill(now)
        self._left = min(self._full, self._left + self._ratio)

    def take(self, now: float) -> bool:
        """Whether a retry may be made; if so it is paid for."""
        self._refill(now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def _refill(self, now: float) -> None:
        self._left = min(self._full, self._left + self._min_per_s * max(0.0, now - self._at))
        self._at = now


class RetryFilter(Generic[RequestT, ResponseT]):
    """Retries one provider; the budget is shared by all calls to it."""

    def __init__(
        self, provider: str, clock: Clock, policy: RetryPolicy, chance: Callable[[], float] = random.random
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._policy = policy
        self._chance = chance
        self._budget = RetryBudget(policy.budget_ratio, policy.budget_min_per_s, clock.monotonic())

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, ResponseT]) -> ResponseT:
        """Answer with the first attempt that succeeds; raise the error of the last one."""
        self._budget.deposit(self._clock.monotonic())
        retry = 0
        while True:
            try:
                return await service(call)
            except Exception as error:
                retry += 1
                backoff_s = self._next(call, error, retry)
                if backoff_s is None:
                    raise
                call.trail.record(
                    RetryScheduled(provider=self._provider, backoff_s=backoff_s, reason=reason(error))
                )
            await self._clock.sleep(backoff_s)

    def _next(self, call: Call[RequestT], error: Exception, retry: int) -> float | None:
        """The wait before another attempt, or `None` when this error is the last word."""
        if judge(error) is not Outcome.RETRYABLE or retry >= self._policy.attempts_max:
            return None
        if call.is_last_resort:
            # Nobody expects it to answer: once is enough to see whether it does.
            return None
        asked_s = error.retry_after_s if isinstance(error, GatewayError) else None
        if asked_s is None and isinstance(error, ProviderThrottled):
            # Its circuit is open for seconds now: a retry would meet that.
            return None
        backoff_s = self._policy.backoff_s(retry, asked_s, self._chance())
        now = self._clock.monotonic()
        if backoff_s is None or now + backoff_s + limits.ATTEMPT_S_MIN > call.deadline:
            return None
        return backoff_s if self._budget.take(now) else None
