"""For how long a provider is left alone, by what went wrong and how often it did so in a row."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cooldown import (
    QUOTA_AGAIN_S,
    RESET_SLACK_S,
    CircuitPolicy,
    asks_for_pause,
    next_reset,
    nth,
)
from orchestrator.errors import (
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


def error(kind, retry_after_s=None):
    """A failure that may name a time."""
    return kind("It failed.", provider="tavily", reason="x", retry_after_s=retry_after_s)


def pauses(failure, *, chance=0.0, now=NOON, **policy):
    """The pauses after this failure."""
    return CircuitPolicy(**policy).pauses_s("tavily", failure, now, chance)


@pytest.mark.parametrize("kind", [ProviderUnavailable, ProviderTimeout, ProviderProtocolError])
def test_ill_health_has_the_steps_of_the_policy(kind):
    """Each opening in a row lasts longer, up to the last step."""
    steps_s = pauses(error(kind))

    assert [nth(steps_s, opening) for opening in range(1, 8)] == [30, 60, 120, 300, 900, 900, 900]


def test_an_exception_that_is_none_of_ours_has_them_too():
    """A bug in a provider is an outage of it."""
    assert pauses(ZeroDivisionError()) == pauses(error(ProviderUnavailable))


@given(st.floats(0, 1))
def test_jitter_only_shortens(chance):
    """No cooldown is longer than the policy says, and none more than the jitter shorter."""
    for jittered_s, step_s in zip(
        pauses(error(ProviderUnavailable), chance=chance), CircuitPolicy().cooldowns_s, strict=True
    ):
        assert 0.9 * step_s - 1e-9 <= jittered_s <= step_s


def test_a_fault_that_names_a_time_is_left_alone_at_least_so_long():
    """A 503 with `Retry-After` counts as one failure; if it opens the circuit, then for the time it named."""
    assert pauses(error(ProviderUnavailable, 100.0)) == (100, 100, 120, 300, 900)


@pytest.mark.parametrize("named_s", [0.0, 0.05, 3.0, 37.0, 300.0])
def test_a_throttled_provider_gets_the_time_it_names(named_s):
    """`Retry-After` is kept exactly the first time; if it proves too short, our own backoff is the least."""
    pauses_s = pauses(error(ProviderThrottled, named_s), chance=1.0)

    assert pauses_s == (named_s, *(max(named_s, own_s) for own_s in (10, 20, 40, 60)))


def test_a_throttled_provider_without_a_time_gets_ours():
    """Without `Retry-After` the pause doubles from five seconds to a minute."""
    assert pauses(error(ProviderThrottled)) == (5, 10, 20, 40, 60)


def test_a_used_up_quota_is_looked_at_every_hour():
    """Nobody says when a quota resets, so one call in an hour looks, however often it was refused."""
    pauses_s = pauses(error(ProviderQuotaExceeded))

    assert [nth(pauses_s, opening) for opening in (1, 2, 500)] == [QUOTA_AGAIN_S] * 3


def test_a_quota_that_names_its_time_gets_it():
    """Should a provider ever say when, that counts."""
    assert pauses(error(ProviderQuotaExceeded, 200.0)) == (200.0,)
    assert pauses(error(ProviderQuotaExceeded, 0.0)) == (QUOTA_AGAIN_S,), (
        "a quota that is used up now is used up"
    )


@pytest.mark.parametrize(
    ("day", "hour", "minute", "pause_s"),
    [
        (1, 12, 0, QUOTA_AGAIN_S),
        (1, 23, 30, 1800 + RESET_SLACK_S),
        (15, 23, 30, QUOTA_AGAIN_S),
        (30, 0, 0, QUOTA_AGAIN_S),
    ],
)
def test_a_known_reset_is_not_slept_through(day, hour, minute, pause_s):
    """Where the day of the reset is configured, the call that looks comes right after that midnight."""
    now = datetime(2026, 11, 30, hour, minute, tzinfo=UTC).timestamp()

    assert pauses(error(ProviderQuotaExceeded), now=now, reset_days={"tavily": day}) == (pause_s,)
    assert pauses(error(ProviderQuotaExceeded), now=now, reset_days={"jina": day}) == (QUOTA_AGAIN_S,)


@pytest.mark.parametrize(
    ("today", "day", "reset"),
    [
        ((2026, 11, 30), 1, (2026, 12, 1)),
        ((2026, 11, 30), 30, (2026, 12, 30)),
        ((2026, 11, 29), 31, (2026, 11, 30)),
        ((2026, 12, 31), 31, (2027, 1, 31)),
        ((2027, 1, 31), 30, (2027, 2, 28)),
        ((2028, 2, 1), 31, (2028, 2, 29)),
        ((2026, 12, 15), 15, (2027, 1, 15)),
    ],
)
def test_the_day_of_a_reset(today, day, reset):
    """The next midnight that begins the day, in this month or the next, on the last day of a short one."""
    for hour in (0, 13, 23):
        now = datetime(*today, hour, 5, tzinfo=UTC).timestamp()

        assert datetime.fromtimestamp(next_reset(day, now), UTC) == datetime(*reset, tzinfo=UTC)


@given(st.integers(1, 31), st.integers(1_577_836_800, 2_840_140_800))
def test_a_reset_is_always_ahead_and_never_more_than_a_month(day, now):
    """Whatever the day and the month, there is one reset in the time of a month that lies ahead."""
    assert 0 < next_reset(day, now) - now <= 31 * 86_400


def test_only_who_counts_our_calls_asks_for_a_pause():
    """A throttled or exhausted provider is well; one with a fault is not, whatever header it sends."""
    assert asks_for_pause(error(ProviderThrottled))
    assert asks_for_pause(error(ProviderQuotaExceeded))
    assert not asks_for_pause(error(ProviderUnavailable, 7.0))
    assert not asks_for_pause(ValueError())
