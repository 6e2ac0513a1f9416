"""Answers fetched with nobody waiting: one at a time for each key, and none again soon after a failure."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import limits
from orchestrator.errors import EventLogUnavailable
from orchestrator.events import FlightJoined, RefreshStarted, RequestCompleted
from orchestrator.refreshes import Refreshes
from tests.support.calls import recorded
from tests.support.clock import LoopClock
from tests.support.tiers import DOWN, FETCHED, FLOOR, Inner, call_with

PAUSE_S = 30.0


@pytest.fixture
def clock():
    """The loop's own."""
    return LoopClock()


@pytest.fixture
def refreshes(clock):
    """The thing under test."""
    return Refreshes(clock, 9.0, PAUSE_S)


async def test_a_thousand_at_once_start_one(refreshes, clock):
    """However many want a fresh answer behind their backs, one is fetched, and one of them says so."""
    inner = Inner()
    calls = [call_with(clock) for _ in range(1_000)]

    begun = [refreshes.begin(call, "k1", inner, 65.0) for call in calls]
    await refreshes.aclose()

    assert begun == [True] + [False] * 999
    assert [recorded(call) for call in calls[:2]] == [
        [RefreshStarted(key="k1", cause="stale", age_s=65.0)],
        [],
    ]
    assert len(inner.calls) == 1


async def test_one_after_the_other_is_another(refreshes, clock):
    """A refresh that succeeded stands in nobody's way."""
    inner = Inner()

    for _ in range(2):
        assert refreshes.begin(call_with(clock), "k1", inner, 65.0)
        await refreshes.aclose()

    assert len(inner.calls) == 2


@pytest.mark.parametrize("outcome", [DOWN, FLOOR, EventLogUnavailable("Full."), RuntimeError("A bug.")])
async def test_one_that_failed_is_not_repeated_at_once(refreshes, clock, outcome):
    """After a failure, or with nothing found that is kept, the key is left alone for a while; no other is."""
    inner = Inner(outcome)
    assert refreshes.begin(call_with(clock), "k1", inner, 65.0)
    await refreshes.aclose()

    await asyncio.sleep(PAUSE_S - 0.001)
    assert not refreshes.begin(call_with(clock), "k1", inner, 65.0)
    assert refreshes.begin(call_with(clock), "k2", inner, 65.0)
    await asyncio.sleep(0.001)
    assert refreshes.begin(call_with(clock), "k1", inner, 65.0)
    await refreshes.aclose()


async def test_what_it_did_is_written_when_the_execution_has_ended(refreshes, clock):
    """Nobody else writes the facts of a refresh once its caller has been answered."""
    call = call_with(clock)

    async def service(inner):
        inner.trail.record(FlightJoined(key="k1", leader="other"))
        return FETCHED

    refreshes.begin(call, "k1", service, 65.0)
    call.trail.record(
        RequestCompleted(operation="search", door="test", client="", cache="l1", results=1, duration_s=0.0)
    )
    await call.trail.commit()
    await refreshes.aclose()
    await call.trail._recorder.aclose()

    assert call.trail._recorder.journal.kinds(call.trail.execution_id) == [
        ["RefreshStarted", "RequestCompleted"],
        ["FlightJoined"],
    ]


async def test_it_ends_at_its_own_deadline(refreshes, clock):
    """A refresh that takes too long is given up, and counts as failed; nothing waits for it for ever."""
    begun = clock.monotonic()

    refreshes.begin(call_with(clock), "k1", Inner(delay_s=1e6), 65.0)
    await refreshes.aclose()

    assert clock.monotonic() == begun + 9.0
    assert not refreshes.begin(call_with(clock), "k1", Inner(), 65.0)


async def test_one_that_was_cancelled_before_it_began_is_over(refreshes, clock):
    """Whatever ends a refresh, nobody waits for it afterwards."""
    before = asyncio.all_tasks()
    refreshes.begin(call_with(clock), "k1", Inner(), 65.0)

    for task in asyncio.all_tasks() - before:
        task.cancel()
    await refreshes.aclose()

    assert len(refreshes) == 0


async def test_they_are_bounded(refreshes, clock):
    """Beyond a number of refreshes under way none is begun, and what failed is not remembered for ever."""
    inner = Inner(DOWN)
    call = call_with(clock)

    begun = [refreshes.begin(call, f"k{n}", inner, 65.0) for n in range(limits.REFRESHES_MAX + 1)]

    assert begun == [True] * limits.REFRESHES_MAX + [False]
    assert len(refreshes) == limits.REFRESHES_MAX
    await refreshes.aclose()
    assert len(refreshes) == 0


async def test_the_oldest_pause_makes_room(clock):
    """Of more failed refreshes than are remembered the first ones may be tried again."""
    refreshes, inner = Refreshes(clock, 9.0, 1e9), Inner(DOWN, delay_s=0.0)

    for n in range(limits.REFRESHES_PAUSED_MAX + 1):
        assert refreshes.begin(call_with(clock), f"k{n}", inner, 65.0)
        await refreshes.aclose()

    assert not refreshes.begin(call_with(clock), "k1", inner, 65.0)
    assert refreshes.begin(call_with(clock), "k0", inner, 65.0)
    await refreshes.aclose()
