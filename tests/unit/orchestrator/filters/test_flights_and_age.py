"""Whoever wants a fresh answer gets one, although the flight it waited for came back with an old one."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.events import Cost
from orchestrator.filters.shared_flight import SharedFlightFilter
from orchestrator.filters.single_flight import SingleFlightFilter
from orchestrator.model import CacheControl, Response, SearchRequest
from tests.support.calls import changed, make_call
from tests.support.clock import LoopClock
from tests.support.shared_memory import MemoryFlights

FETCHED = Response(
    fragment=b'"results":[]',
    result_count=0,
    provider="tavily",
    cost=Cost(amount=1.0, unit="credits", usd_micros=8_000),
)
KEPT = changed(FETCHED, cache="l2", age_s=600.0, cost=Cost())

ANY = CacheControl()
UNWANTED = [CacheControl(no_cache=True), CacheControl(max_age_s=599.0)]


def call_that(wants):
    """A call of somebody who wants this of the cache."""
    call = make_call(SearchRequest(query="tides"), clock=LoopClock(), cache_control=wants)
    return changed(call, cache_key="k1")


async def look_again(call):
    """The shared cache, which has been out of reach when the call came by first."""
    await asyncio.sleep(0.1)
    return KEPT if call.caller.cache_control.accepts(KEPT.age_s) else None


async def fetch(call):
    """The provider, which is always worth a new answer."""
    await asyncio.sleep(1.0)
    return FETCHED


@pytest.fixture
def shared():
    """The filters of two processes."""
    flights = MemoryFlights(LoopClock())
    return [SharedFlightFilter(flights, LoopClock(), look_again) for _ in range(2)]


@pytest.mark.parametrize("wants", UNWANTED)
async def test_an_old_answer_of_another_process_is_not_taken(shared, wants):
    """A refresh that waits for another process's flight fetches by itself when that found an old answer."""
    first, second = await asyncio.gather(shared[0](call_that(ANY), fetch), shared[1](call_that(wants), fetch))

    assert (first.cache, first.age_s) == ("l2", 600.0)
    assert (second.cache, second.age_s) == ("miss", 0.0)


@pytest.mark.parametrize("wants", UNWANTED)
async def test_an_old_answer_of_this_process_is_not_taken(shared, wants):
    """The same within one process; those who want a fresh answer share one flight for it."""
    flight = SingleFlightFilter()
    asked = []

    async def inner(call):
        asked.append(call)
        return await shared[0](call, fetch)

    calls = [call_that(one) for one in (ANY, ANY, wants, wants)]
    answers = await asyncio.gather(*(flight(call, inner) for call in calls))

    assert [(one.cache, one.age_s) for one in answers] == [
        ("l2", 600.0),
        ("collapsed", 600.0),
        ("miss", 0.0),
        ("collapsed", 0.0),
    ]
    assert asked == [calls[0], calls[2]]


async def test_an_old_answer_is_taken_by_whom_it_suits(shared):
    """Who says nothing of age, or allows for it, shares what was found."""
    answers = await asyncio.gather(
        shared[0](call_that(ANY), fetch), shared[1](call_that(CacheControl(max_age_s=600.0)), fetch)
    )

    assert [(one.cache, one.age_s) for one in answers] == [("l2", 600.0), ("collapsed", 600.0)]
