"""For how long a provider is left alone after a failure: the steps of its circuit, and what it has asked for.

Pure: the circuit (filters/circuit_breaker.py) counts openings and keeps the time.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from orchestrator.errors import GatewayError, ProviderQuotaExceeded, ProviderThrottled

QUOTA_AGAIN_S = 3600.0
"""chosen: no provider says when its quota resets (contracts of Tavily and Jina), and a plan may be raised at
any time. A refusal is free, so looking again every hour costs one search a detour, and nothing else."""

RESET_SLACK_S = 60.0
"""chosen: after the midnight at which a quota resets, because no two clocks are the same."""

THROTTLE_S = 5.0
"""chosen: the first pause after a 429 without `Retry-After`; both providers count by the minute, a few
seconds free a few calls."""

THROTTLE_S_MAX = 60.0
"""chosen: the longest pause of our own after a 429: the minute by which both providers count."""

_THROTTLES_S = tuple(min(THROTTLE_S_MAX, THROTTLE_S * 2.0**n) for n in range(5))
"""5, 10, 20, 40, 60 seconds."""

SLOW = "slow"
"""The `reason` of a circuit that was opened by answers which came, but late."""


class CircuitPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a provider is left alone, and for how long.

    `failures_max` failures in a row open its circuit. An answer to a search that took longer than
    `slow_ratio` (0..1) of the provider's limit counts as one of them, and is given all the same. The n-th
    opening lasts `cooldowns_s[n-1] * (1 - jitter_ratio * chance)` seconds, `chance` drawn evenly from 0..1;
    the last entry stands for all later ones. `failures_max` answers in a row begin again with the first.
    `reset_days` has the day of the month (1 to 31, or the last one of a shorter month), in UTC, on which the
    quota of a provider resets, where that is known.

    All chosen: five failures are no accident, and five answers none either; half a minute is shorter than the
    outages worth waiting for, and a provider that is down for an hour is asked seven times instead of 120.
    Only what takes nearly all the time there is counts as slow, because the next second would be a timeout. A
    tenth of jitter parts those that failed together, and shortens only, so that `cooldowns_s` is what one
    waits at most.
    """

    failures_max: int = 5
    cooldowns_s: tuple[float, ...] = (30.0, 60.0, 120.0, 300.0, 900.0)
    jitter_ratio: float = 0.1
    slow_ratio: float = 0.9
    reset_days: Mapping[str, int] = {}

    def pauses_s(self, provider: str, error: BaseException, now: float, chance: float) -> tuple[float, ...]:
        """How long the circuit stays open in seconds for the first, second, … opening in a row.

        The last one stands for all that follow. `now` is epoch seconds, `chance` 0..1.
        """
        named_s = error.retry_after_s if isinstance(error, GatewayError) else None
        if isinstance(error, ProviderQuotaExceeded):
            # No time at all is none: what is used up now is not there at once.
            return (named_s or self._quota_s(provider, now),)
        if isinstance(error, ProviderThrottled):
            if named_s is None:
                return _THROTTLES_S
            # A time that has proved too short once is not relied on again.
            return (named_s, *(max(named_s, own_s) for own_s in _THROTTLES_S[1:]))
        factor = 1.0 - self.jitter_ratio * chance
        return tuple(max(step_s * factor, named_s or 0.0) for step_s in self.cooldowns_s)

    def _quota_s(self, provider: str, now: float) -> float:
        day = self.reset_days.get(provider)
        if day is None:
            return QUOTA_AGAIN_S
        return min(QUOTA_AGAIN_S, next_reset(day, now) + RESET_SLACK_S - now)


def nth(pauses_s: tuple[float, ...], openings: int) -> float:
    """The pause of that opening, counted from 1."""
    return pauses_s[min(openings, len(pauses_s)) - 1]


def asks_for_pause(error: BaseException) -> bool:
    """Whether the provider is well and has asked not to be called for a while."""
    return isinstance(error, ProviderThrottled | ProviderQuotaExceeded)


def next_reset(day: int, now: float) -> float:
    """The next midnight in UTC that begins this day of a month, in epoch seconds, after `now`.

    A month that is too short for it has it on its last day.
    """
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    this_month = _day_of(today, day)
    if this_month > today:
        return this_month.timestamp()
    return _day_of(today.replace(day=1) + timedelta(days=31), day).timestamp()


def _day_of(month: datetime, day: int) -> datetime:
    return month.replace(day=min(day, calendar.monthrange(month.year, month.month)[1]))
