"""The limiter in memory never gives more than was agreed. What every limiter does is in tests/contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.ports import Window
from storage.memory_rate_limit import CLIENTS_MAX, MemoryRateLimit
from tests.support.clock import FakeClock

windows = st.builds(Window, st.just("w"), st.integers(1, 50), st.floats(0.1, 3_600))
# Waits between calls, as parts of a period, and how long the machine has been up.
waits = st.lists(st.floats(0, 0.3), min_size=1, max_size=150)
uptimes = st.floats(0, 1e8)


@given(windows, waits, uptimes)
async def test_never_more_than_the_quota_and_what_flowed_back(window, waits, uptime_s):
    """In any stretch of time a client gets at most its quota plus the share that flows back meanwhile."""
    clock = FakeClock(monotonic=uptime_s)
    store = MemoryRateLimit(clock)
    allowed_at = []
    for wait in waits:
        clock.advance(wait * window.period_s)
        if (await store.hit("acme", [window])).allowed:
            allowed_at.append(clock.monotonic())

    for first, begin in enumerate(allowed_at):
        for count, end in enumerate(allowed_at[first:], start=1):
            assert count <= window.quota + (end - begin) * window.quota / window.period_s + 0.01


@given(windows, uptimes)
async def test_the_whole_quota_fits_however_long_the_machine_is_up(window, uptime_s):
    """Sums of fractions of seconds are inexact; no call of a quota is lost to that."""
    store = MemoryRateLimit(FakeClock(monotonic=uptime_s))

    verdicts = [await store.hit("acme", [window]) for _ in range(window.quota + 1)]

    assert [verdict.allowed for verdict in verdicts] == [True] * window.quota + [False]
    assert [verdict.remaining for verdict in verdicts] == [*range(window.quota - 1, -1, -1), 0]


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
                assert (await twin.hit(window.name, [window])).allowed


@given(windows, st.integers(1, 100), uptimes)
async def test_waiting_as_told_is_enough(window, calls, uptime_s):
    """A client that waits exactly as long as it is told is let in, every time."""
    clock = FakeClock(monotonic=uptime_s)
    store = MemoryRateLimit(clock)
    for _ in range(calls):
        verdict = await store.hit("acme", [window])
        if not verdict.allowed:
            clock.advance(verdict.retry_after_s)
            assert (await store.hit("acme", [window])).allowed


async def test_the_clients_remembered_are_bounded(monkeypatch):
    """Beyond the bound the client that was silent the longest starts with fresh windows."""
    monkeypatch.setattr("storage.memory_rate_limit.CLIENTS_MAX", 2)
    store, window = MemoryRateLimit(FakeClock()), Window("w", 1, 60.0)

    for client in ("a", "b", "c"):
        assert (await store.hit(client, [window])).allowed

    assert not (await store.hit("c", [window])).allowed
    assert not (await store.hit("b", [window])).allowed
    assert (await store.hit("a", [window])).allowed
    assert CLIENTS_MAX == 100_000


async def test_the_tightest_window_is_told():
    """Of several windows the verdict describes the one with the fewest calls left."""
    wide, narrow = Window("wide", 100, 60.0), Window("narrow", 10, 60.0)

    verdict = await MemoryRateLimit(FakeClock()).hit("acme", [wide, narrow])

    assert (verdict.window, verdict.remaining) == (narrow, 9)
    assert verdict.reset_s == pytest.approx(6.0)
