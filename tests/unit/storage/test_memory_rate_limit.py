"""The limiter in memory never gives more than was agreed. What every limiter does is in tests/contract."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator import limits
from orchestrator.quota import Window
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.clock import FakeClock

ROUNDING_S = 1e-6
"""Sums of moments are inexact, the more so the longer the machine is up."""

windows = st.builds(Window, st.just("w"), st.integers(1, 120), st.floats(0.1, 3_600))
# Waits between calls, as parts of a period, and how long the machine has been up.
waits = st.lists(st.one_of(st.just(0.0), st.just(0.0), st.floats(0, 0.3)), min_size=1, max_size=300)
uptimes = st.floats(0, 1e8)


@given(windows, waits, uptimes)
async def test_no_period_sees_more_than_the_quota(window, waits, uptime_s):
    """Wherever a period begins, it holds the quota at most."""
    clock = FakeClock(monotonic=uptime_s)
    store = MemoryRateLimit(clock)
    allowed_at = []
    for wait in waits:
        clock.advance(wait * wait * window.period_s)
        if (await store.hit("acme", (window,))).allowed:
            allowed_at.append(clock.monotonic())

    for first, last in zip(allowed_at, allowed_at[window.quota :], strict=False):
        assert last - first >= window.period_s - ROUNDING_S


@given(windows, waits)
async def test_nobody_a_slot_below_the_quota_is_refused(window, waits):
    """A call may be counted a little longer than its period, but never more of them than a slot holds."""
    clock = FakeClock()
    store = MemoryRateLimit(clock)
    allowed_at = []
    for wait in waits:
        clock.advance(wait * wait * window.period_s)
        now = clock.monotonic()
        if (await store.hit("acme", (window,))).allowed:
            allowed_at.append(now)
        else:
            counted = sum(now - at < window.period_s + ROUNDING_S for at in allowed_at)
            assert counted > window.quota - window.quota / limits.RATE_SLOTS_MAX - 1


@given(windows, uptimes)
async def test_the_whole_quota_fits_however_long_the_machine_is_up(window, uptime_s):
    """No call of a quota is lost to the arithmetic."""
    store = MemoryRateLimit(FakeClock(monotonic=uptime_s))

    verdicts = [await store.hit("acme", (window,)) for _ in range(window.quota + 1)]

    assert [verdict.allowed for verdict in verdicts] == [True] * window.quota + [False]
    assert [verdict.remaining[0] for verdict in verdicts] == [*range(window.quota - 1, -1, -1), 0]


@given(windows, windows, waits)
async def test_all_windows_are_charged_or_none(one, other, waits):
    """A call that one window refuses leaves no trace in any, so the others give what they would alone."""
    both = (Window("one", one.quota, one.period_s), Window("other", other.quota, other.period_s))
    clock = FakeClock()
    store, twin = MemoryRateLimit(clock), MemoryRateLimit(clock)
    for wait in waits:
        clock.advance(wait * one.period_s)
        verdict = await store.hit("acme", both)
        if verdict.allowed:
            for window in both:
                assert (await twin.hit(window.name, (window,))).allowed


@given(windows, st.integers(1, 200), uptimes)
async def test_waiting_as_told_is_enough(window, calls, uptime_s):
    """A client that waits as long as it is told is let in, every time."""
    clock = FakeClock(monotonic=uptime_s)
    store = MemoryRateLimit(clock)
    for _ in range(calls):
        verdict = await store.hit("acme", (window,))
        if not verdict.allowed:
            clock.advance(verdict.retry_after_s + ROUNDING_S)
            assert (await store.hit("acme", (window,))).allowed


async def test_the_silent_are_forgotten_first():
    """However many clients there are, so many are remembered at most, and those who call are among them."""
    store = MemoryRateLimit(FakeClock(), clients_max=10)
    single = (Window("single", 1, 60.0),)
    await store.hit("busy", single)
    await store.hit("silent", single)

    for number in range(200):
        await store.hit(f"passing {number}", single)
        assert not (await store.hit("busy", single)).allowed
        assert len(store) <= 10

    assert (await store.hit("silent", single)).allowed


async def test_the_tightest_window_is_told():
    """Of several windows the verdict is about the one with the fewest calls left."""
    wide, narrow = Window("wide", 100, 60.0), Window("narrow", 10, 60.0)

    verdict = await MemoryRateLimit(FakeClock()).hit("acme", (wide, narrow))

    assert (verdict.window, verdict.remaining, verdict.used_up) == (narrow, (99, 9), ())
