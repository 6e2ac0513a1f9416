"""Identical calls under way at once cost one, and nobody's leaving stops the others."""

from __future__ import annotations

import asyncio
import math

import pytest

from orchestrator import limits
from orchestrator.errors import AllProvidersFailed, BudgetExhausted, DeadlineExceeded, QuotaExhausted
from orchestrator.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Cost,
    RequestFailed,
)
from orchestrator.filters.single_flight import SingleFlightFilter
from orchestrator.model import Attempt, CacheControl, Response, SearchRequest
from orchestrator.principals import Principal
from tests.support.calls import changed, joined, make_call, recorded
from tests.support.clock import LoopClock

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
ANSWER = Response(fragment=b'"results":[]', result_count=0, provider="tavily", cost=CREDIT)


def call_for(key="k1", *, patience_s=9.0, **caller_fields):
    """A call for this."""
    call = make_call(SearchRequest(query="tides"), clock=LoopClock(), patience_s=patience_s, **caller_fields)
    return changed(call, cache_key=key)


class Service:
    """Takes a second, then answers or fails; counts and keeps its calls."""

    def __init__(self, outcome=ANSWER, takes_s=1.0):
        self.calls = []
        self.finished = 0
        self._outcome = outcome
        self._takes_s = takes_s

    async def __call__(self, call):
        """Take the time, then end."""
        self.calls.append(call)
        await asyncio.sleep(self._takes_s)
        self.finished += 1
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


@pytest.fixture
def flight():
    """The filter under test."""
    return SingleFlightFilter()


@pytest.fixture
def service():
    """The inner stages."""
    return Service()


async def test_a_call_alone_is_its_own_leader(flight, service):
    """Without company the answer is the service's own."""
    assert await flight(call_for(), service) is ANSWER


async def test_fifty_identical_calls_are_one(flight, service):
    """Fifty calls at once ask once; forty-nine pay nothing, are marked, and say whom they waited for."""
    calls = [call_for() for _ in range(50)]

    responses = await asyncio.gather(*(flight(call, service) for call in calls))

    assert len(service.calls) == 1
    assert [(r.cache, r.cost) for r in responses] == [("miss", CREDIT)] + [("collapsed", Cost())] * 49
    assert recorded(calls[0]) == []
    assert recorded(calls[7]) == [joined(calls[0])]


async def test_different_keys_fly_apart(flight, service):
    """Only identical calls are joined."""
    await asyncio.gather(flight(call_for("k1"), service), flight(call_for("k2"), service))

    assert len(service.calls) == 2


async def test_the_next_call_flies_anew(flight, service):
    """A flight that has landed is not joined any more: what it brought is in the cache."""
    await flight(call_for(), service)
    await flight(call_for(), service)

    assert len(service.calls) == 2


async def test_an_error_is_shared_too(flight):
    """What the leader fails with, its followers fail with; the next call tries again."""
    service = Service(AllProvidersFailed("Down.", attempts=()))

    outcomes = await asyncio.gather(*(flight(call_for(), service) for _ in range(3)), return_exceptions=True)

    assert [type(one) for one in outcomes] == [AllProvidersFailed] * 3
    with pytest.raises(AllProvidersFailed):
        await flight(call_for(), service)
    assert len(service.calls) == 2


async def test_the_first_caller_may_leave(flight, service):
    """The flight goes on without the caller that began it, and the others get its answer."""
    first = asyncio.ensure_future(flight(call_for(), service))
    await asyncio.sleep(0.3)
    second = asyncio.ensure_future(flight(call_for(), service))
    await asyncio.sleep(0.3)

    first.cancel()

    assert (await second).cache == "collapsed"
    assert len(service.calls) == 1


async def test_everybody_may_leave(flight, service):
    """A flight that nobody waits for any more still lands: its answer was paid for and fills the cache."""
    tasks = [asyncio.ensure_future(flight(call_for(), service)) for _ in range(3)]
    await asyncio.sleep(0.3)

    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert service.finished == 0
    await flight.aclose()

    assert service.finished == 1


async def test_a_failure_nobody_waits_for_is_quiet(flight):
    """The error of a flight that everybody has left is not reported as forgotten."""
    service = Service(AllProvidersFailed("Down.", attempts=()))
    task = asyncio.ensure_future(flight(call_for(), service))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.wait([task])

    await flight.aclose()

    assert service.finished == 1


async def test_a_follower_leaves_alone(flight, service):
    """A follower's cancellation concerns nobody else."""
    first = asyncio.ensure_future(flight(call_for(), service))
    await asyncio.sleep(0.3)
    second = asyncio.ensure_future(flight(call_for(), service))
    await asyncio.sleep(0.3)

    second.cancel()

    assert (await first) is ANSWER


async def test_no_store_flies_alone(flight, service):
    """A caller whose answer must not be kept neither joins nor is joined."""
    private = {"cache_control": CacheControl(no_store=True)}

    await asyncio.gather(
        flight(call_for(), service),
        flight(call_for(**private), service),
        flight(call_for(**private), service),
    )

    assert len(service.calls) == 3


async def test_a_flight_ends_at_the_deadline_of_its_first_caller(flight):
    """A service that does not end is ended, for the leader and for all who wait for it with as much time."""
    service = Service(takes_s=60.0)
    begun = asyncio.get_running_loop().time()
    leader = asyncio.ensure_future(flight(call_for(patience_s=2.0), service))
    await asyncio.sleep(1.0)

    with pytest.raises(DeadlineExceeded):
        await flight(call_for(patience_s=1.0), service)

    assert asyncio.get_running_loop().time() - begun == pytest.approx(2.0)
    with pytest.raises(DeadlineExceeded):
        await leader


def failed(*reasons):
    """The failure of a chain whose attempts ended for these reasons."""
    lines = [Attempt(provider="p", outcome="final", reason=reason, duration_s=0.1) for reason in reasons]
    return AllProvidersFailed("Failed.", attempts=lines)


class Needs:
    """Answers calls that give it so many seconds; fails all others for lack of time, at their deadline."""

    def __init__(self, seconds, failure):
        self.calls = []
        self._needs_s = seconds
        self._failure = failure

    async def __call__(self, call):
        """Work as long as it takes and there is time."""
        self.calls.append(call)
        left_s = call.deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(min(self._needs_s, left_s - 0.1))
        if left_s < self._needs_s:
            raise self._failure
        return ANSWER


@pytest.mark.parametrize(
    "failure",
    [DeadlineExceeded("Late."), failed("cut_short"), failed("http_500", "deadline"), failed("timeout")],
)
async def test_a_leader_s_haste_is_not_its_followers(flight, failure):
    """Who has more time than the leader had, and sees it fail for want of time, is served all the same."""
    service = Needs(3.0, failure)
    hasty, patient = call_for(patience_s=1.5), call_for(patience_s=30.0)

    leader, follower = await asyncio.gather(
        flight(hasty, service), flight(patient, service), return_exceptions=True
    )

    assert leader is failure
    assert follower is ANSWER
    assert service.calls == [hasty, patient]


async def test_the_patient_fly_once_more_together(flight):
    """All followers with time left share one further flight, which has the time of the most patient."""
    service = Needs(3.0, failed("cut_short"))
    calls = [call_for(patience_s=seconds) for seconds in (1.5, 10.0, 30.0, 20.0)]

    outcomes = await asyncio.gather(*(flight(call, service) for call in calls), return_exceptions=True)

    assert service.calls == [calls[0], calls[2]]
    assert [one.cache for one in outcomes[1:]] == ["collapsed", "miss", "collapsed"]
    assert recorded(calls[3])[-1] == joined(calls[2])


async def test_a_hasty_newcomer_does_not_hold_up_the_patient(flight):
    """The further flight is never one with as little time as the first."""
    service = Needs(3.0, failed("cut_short"))
    hasty, patient = call_for(patience_s=1.5), call_for(patience_s=30.0)

    async def newcomer():
        await asyncio.wait([first])
        return await flight(call_for(patience_s=1.0), service)

    first = asyncio.ensure_future(flight(hasty, service))
    late = asyncio.ensure_future(newcomer())
    await asyncio.sleep(0)

    assert await flight(patient, service) is ANSWER
    await asyncio.wait([late])
    assert first.exception() is not None


@pytest.mark.parametrize(
    ("patience_s", "failure"),
    [
        (2.0, failed("cut_short")),
        (30.0, failed("http_500", "circuit_open")),
        (30.0, QuotaExhausted("Out.", attempts=())),
    ],
)
async def test_a_failure_more_time_would_not_mend_is_shared(flight, patience_s, failure):
    """Nobody asks again who has no more time than the leader had, or after a failure of another kind."""
    service = Needs(3.0, failure)

    outcomes = await asyncio.gather(
        flight(call_for(patience_s=1.5), service),
        flight(call_for(patience_s=patience_s), service),
        return_exceptions=True,
    )

    assert outcomes == [failure, failure]
    assert len(service.calls) == 1


async def test_a_second_failure_is_the_last_word(flight):
    """A follower waits for one further flight and no more."""
    service = Needs(60.0, failed("timeout"))
    calls = [call_for(patience_s=seconds) for seconds in (1.5, 3.0, 6.0)]

    outcomes = await asyncio.gather(*(flight(call, service) for call in calls), return_exceptions=True)

    assert [type(one) for one in outcomes] == [AllProvidersFailed] * 3
    assert len(service.calls) == 2


async def test_an_empty_purse_is_its_owner_s(flight):
    """When the leader's client has spent its budget, the others lead and wait for each other."""
    calls = [
        changed(call_for(), principal=Principal(client=client)) for client in ("ann", "ann", "bob", "cyd")
    ]
    asked = []

    async def service(call):
        asked.append(call)
        await asyncio.sleep(1.0)
        if call.principal.client == "ann":
            raise BudgetExhausted("Spent.")
        return ANSWER

    outcomes = await asyncio.gather(*(flight(call, service) for call in calls), return_exceptions=True)

    assert [type(one) for one in outcomes[:2]] == [BudgetExhausted] * 2
    assert [one.cache for one in outcomes[2:]] == ["miss", "collapsed"]
    assert asked == [calls[0], calls[2]]


async def test_beyond_the_limit_new_calls_go_alone(flight, service, monkeypatch):
    """With as many flights as allowed, a further key is served without one; joining is still free."""
    monkeypatch.setattr(limits, "FLIGHTS_MAX", 1)

    first, joined, alone, other = await asyncio.gather(
        flight(call_for("k1"), service),
        flight(call_for("k1"), service),
        flight(call_for("k2"), service),
        flight(call_for("k2"), service),
    )

    assert (first.cache, joined.cache, alone.cache, other.cache) == ("miss", "collapsed", "miss", "miss")
    assert len(service.calls) == 3


async def test_what_happens_after_the_callers_last_word_is_written(flight):
    """The facts of a flight whose caller has left go into a further frame of the same execution."""
    call = call_for()

    async def service(inner):
        inner.trail.record(AttemptStarted(provider="tavily", number=1, span_id="s"))
        await asyncio.sleep(1.0)
        inner.trail.record(AttemptSucceeded(provider="tavily", number=1, duration_s=1.0, results=1))
        return ANSWER

    task = asyncio.ensure_future(flight(call, service))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait([task])
    call.trail.record(RequestFailed(operation="search", door="test", error="cancelled", duration_s=0.5))
    await call.trail.commit()
    await flight.aclose()
    await asyncio.sleep(0)

    frames = call.trail._recorder.journal.frames
    kinds = [[type(e.event).__name__ for e in frame.events] for frame in frames]
    assert kinds == [["AttemptStarted", "RequestFailed"], ["AttemptSucceeded"]]


async def test_a_flight_that_resists_its_end_is_still_recorded(flight):
    """Also what a provider does after the deadline, closing its connection, ends up in the log."""
    call = call_for(patience_s=2.0)

    async def stubborn(inner):
        try:
            await asyncio.sleep(60.0)
        finally:
            await asyncio.sleep(1.0)
            inner.trail.record(
                AttemptFailed(
                    provider="tavily", number=1, duration_s=3.0, outcome="ignorable", reason="cancelled"
                )
            )

    task = asyncio.ensure_future(flight(call, stubborn))
    await asyncio.sleep(2.5)
    call.trail.record(
        RequestFailed(operation="search", door="test", error="deadline_exceeded", duration_s=2.0)
    )
    await call.trail.commit()
    with pytest.raises(DeadlineExceeded):
        await task
    await asyncio.sleep(0)

    frames = call.trail._recorder.journal.frames
    assert [type(e.event).__name__ for e in frames[-1].events] == ["AttemptFailed"]


async def test_no_flight_is_left_behind(flight, service):
    """However calls end, the filter holds nothing when they are over."""
    tasks = [asyncio.ensure_future(flight(call_for(f"k{n % 3}"), service)) for n in range(9)]
    await asyncio.sleep(0.5)
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await flight.aclose()

    assert flight._flights == {}
    assert flight._tasks == set()


async def test_a_call_without_deadline_may_fly(flight, service):
    """Endless patience is possible, in tests and batch work."""
    assert await flight(call_for(patience_s=math.inf), service) is ANSWER
