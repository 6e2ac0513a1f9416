"""A call has a total time, whatever happens inside."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import DeadlineExceeded
from orchestrator.filters.deadline import DeadlineFilter, extract_total_s
from orchestrator.model import ExtractRequest, Response, SearchRequest
from tests.support.calls import make_call
from tests.support.clock import LoopClock

ANSWER = Response(fragment=b"", result_count=0, provider="tavily")


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return LoopClock()


def taking(seconds, seen=None):
    """Inner stages that take so long."""

    async def service(call):
        if seen is not None:
            seen.append(call.deadline)
        await asyncio.sleep(seconds)
        return ANSWER

    return service


async def test_a_call_in_time_is_answered(clock):
    """What ends before the deadline is the answer."""
    deadline = DeadlineFilter(clock, lambda _request: 2.0, 2.0)

    assert await deadline(make_call(SearchRequest(query="x"), clock=clock), taking(1.9)) is ANSWER


async def test_a_call_ends_at_its_deadline(clock):
    """What takes longer is ended there, and the caller told for how long it was tried."""
    deadline = DeadlineFilter(clock, lambda _request: 2.0, 2.0)
    begun = clock.monotonic()

    with pytest.raises(DeadlineExceeded, match=r"within 2 seconds") as late:
        await deadline(make_call(SearchRequest(query="x"), clock=clock), taking(60.0))

    assert clock.monotonic() - begun == pytest.approx(2.0)
    assert late.value.retry_after_s == 2


async def test_the_inner_stages_know_the_deadline(clock):
    """The deadline is a moment in the call, so that everybody further in can plan with it."""
    seen = []
    deadline = DeadlineFilter(clock, lambda _request: 2.0, 2.0)

    await deadline(make_call(SearchRequest(query="x"), clock=clock), taking(0.0, seen))

    assert seen == [pytest.approx(clock.monotonic() + 2.0)]


async def test_an_earlier_deadline_stands(clock):
    """A call that came with less time does not get more."""
    seen = []
    deadline = DeadlineFilter(clock, lambda _request: 2.0, 2.0)

    await deadline(make_call(SearchRequest(query="x"), clock=clock, patience_s=0.5), taking(0.0, seen))

    assert seen == [pytest.approx(clock.monotonic() + 0.5)]


@pytest.mark.parametrize(
    ("patience_s", "total_s", "is_hurried"), [(9.0, 2.0, False), (9.0, 1.9, True), (1.9, 2.0, True)]
)
async def test_a_caller_with_less_time_than_the_policy_gives_is_in_a_hurry(
    clock, patience_s, total_s, is_hurried
):
    """The inner stages know whether it was the operator or the caller who set the deadline."""
    seen = []

    async def service(call):
        seen.append(call.is_hurried)
        return ANSWER

    deadline = DeadlineFilter(clock, lambda _request: total_s, 2.0)
    await deadline(make_call(SearchRequest(query="x"), clock=clock, patience_s=patience_s), service)

    assert seen == [is_hurried]


async def test_cancellation_is_not_lateness(clock):
    """A caller who leaves is not told that it was too late."""
    deadline = DeadlineFilter(clock, lambda _request: 2.0, 2.0)
    task = asyncio.ensure_future(deadline(make_call(SearchRequest(query="x"), clock=clock), taking(60.0)))
    await asyncio.sleep(1.0)

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


@pytest.mark.parametrize(
    ("timeout_s", "expected"),
    [
        (None, 29.0),
        (30.0, 29.0),
        (600.0, 29.0),
        (10.0, 9.0),
        (5.0, 4.5),
        (1.0, 0.9),
        (0.0, 29.0),
        (-5.0, 29.0),
        (float("nan"), 29.0),
        (float("inf"), 29.0),
    ],
)
def test_an_extract_answers_before_its_caller_gives_up(timeout_s, expected):
    """A tenth of the caller's patience, at most a second, is kept for the way back."""
    request = ExtractRequest(urls=("https://a.example/",), timeout_s=timeout_s)

    assert extract_total_s(request) == pytest.approx(expected)
