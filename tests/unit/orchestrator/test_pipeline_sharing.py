"""The stages together: many callers, one call; and what a caller wants of the cache."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import (
    AllProvidersFailed,
    NotInCache,
)
from orchestrator.events import FREE, FlightJoined
from orchestrator.model import (
    CacheControl,
    SearchRequest,
)
from tests.support.calls import joined
from tests.support.core import Core
from tests.support.scripted_provider import CREDIT, ScriptedProvider

TIDES = SearchRequest(query="tide tables")


# --- one call for many


async def test_fifty_identical_searches_reach_the_provider_once():
    """Fifty callers at once cost one call; each has its own record."""
    tavily = ScriptedProvider("tavily", [3], delay_s=1.0)
    core = Core(tavily)
    calls = [core.open(TIDES) for _ in range(50)]

    responses = await asyncio.gather(*(core.gateway.search(call) for call in calls))

    assert tavily.calls == 1
    assert sum((response.cost for response in responses), FREE) == CREDIT
    assert {response.fragment for response in responses} == {responses[0].fragment}
    assert [event for event in core.events(calls[1]) if isinstance(event, FlightJoined)] == [
        joined(calls[0], core.events(calls[1])[2].key)
    ]
    assert core.events(calls[1])[-1].cost == FREE


async def test_the_first_of_fifty_may_hang_up():
    """The others get the answer, the cache is filled, and the leaver's record tells it all."""
    tavily = ScriptedProvider("tavily", [3], delay_s=1.0)
    core = Core(tavily)
    calls = [core.open(TIDES) for _ in range(50)]
    tasks = [asyncio.ensure_future(core.gateway.search(call)) for call in calls]
    await asyncio.sleep(0.4)

    tasks[0].cancel()
    responses = await asyncio.gather(*tasks[1:])
    await core.settle()

    assert tavily.calls == 1
    assert {response.cache for response in responses} == {"collapsed"}
    assert (await core.search()).cache == "l1"
    assert core.kinds(calls[0]) == [
        ["RequestReceived", "CallerAuthenticated", "CacheMissed", "AttemptStarted"],
        ["RequestFailed"],
        ["AttemptSucceeded", "ResultCached"],
    ]
    left = core.events(calls[0])[4]
    assert left.error == "cancelled"
    assert (left.duration_s, left.upstream_s) == (pytest.approx(0.4), pytest.approx(0.4))


async def test_a_hasty_extract_does_not_fail_a_patient_one():
    """Who joined the flight of a caller with less time gets the page when that time was too short for it."""
    core = Core(ScriptedProvider("tavily", [1], delay_s=3.0))

    hasty, patient = await asyncio.gather(
        core.extract(timeout_s=1.5), core.extract(timeout_s=30.0), return_exceptions=True
    )
    await core.settle()

    assert isinstance(hasty, AllProvidersFailed)
    assert [attempt.reason for attempt in hasty.attempts] == ["cut_short"]
    assert (patient.result_count, patient.cache) == (1, "miss")
    assert core.pipeline.circuits["tavily"].state == "closed"


async def test_when_all_fifty_hang_up_the_cache_is_filled():
    """What was paid for is kept, though nobody waited for it to the end."""
    tavily = ScriptedProvider("tavily", [3], delay_s=1.0)
    core = Core(tavily)
    tasks = [asyncio.ensure_future(core.search()) for _ in range(50)]
    await asyncio.sleep(0.4)

    for task in tasks:
        task.cancel()
    await core.settle()

    assert (await core.search()).cache == "l1"
    assert tavily.calls == 1


async def test_no_store_is_alone_and_leaves_nothing():
    """A private call joins no flight, fills no cache, and its query is not kept."""
    tavily = ScriptedProvider("tavily", [3], delay_s=1.0)
    core = Core(tavily)
    private = CacheControl(no_store=True)

    await asyncio.gather(core.search(control=private), core.search(control=private))

    assert tavily.calls == 2
    assert len(core.cache) == 0
    assert all(not frame.texts for frame in core.journal.frames)


async def test_a_private_call_that_is_left_ends():
    """A call that is nobody else's business ends with its caller, and its attempt is settled."""
    core = Core(ScriptedProvider("tavily", [3], delay_s=1.0))
    call = core.open(TIDES, control=CacheControl(no_store=True))
    task = asyncio.ensure_future(core.gateway.search(call))
    await asyncio.sleep(0.4)

    task.cancel()
    await asyncio.wait([task])
    await core.settle()

    failed, last = core.events(call)[-2:]
    assert (failed.outcome, failed.reason) == ("ignorable", "cancelled")
    assert last.error == "cancelled"


# --- what the caller wants of the cache


async def test_no_cache_asks_anew_and_refreshes():
    """A caller may have the entry fetched again; the next one is served the new answer."""
    tavily = ScriptedProvider("tavily", [1, 2])
    core = Core(tavily)
    await core.search()

    fresh = await core.search(control=CacheControl(no_cache=True))

    assert (fresh.cache, fresh.result_count) == ("miss", 2)
    assert (await core.search()).result_count == 2
    assert tavily.calls == 2


async def test_only_if_cached_never_costs():
    """A caller who wants what is cached gets that, or nothing."""
    tavily = ScriptedProvider()
    core = Core(tavily)
    cached_only = CacheControl(only_if_cached=True)

    with pytest.raises(NotInCache):
        await core.search(control=cached_only)
    assert tavily.calls == 0

    await core.search()
    assert (await core.search(control=cached_only)).cache == "l1"


async def test_max_age_asks_anew_for_what_is_older():
    """An entry older than the caller accepts is fetched again."""
    tavily = ScriptedProvider()
    core = Core(tavily)
    await core.search()
    await asyncio.sleep(30.0)

    assert (await core.search(control=CacheControl(max_age_s=31.0))).cache == "l1"
    assert (await core.search(control=CacheControl(max_age_s=29.0))).cache == "miss"
    assert tavily.calls == 2


async def test_an_entry_expires():
    """After its time, and that in which it is given while a fresh one comes, an answer is fetched again."""
    tavily = ScriptedProvider()
    core = Core(tavily)
    await core.search()

    await asyncio.sleep(CachePolicy().ttl_s + CachePolicy().stale_while_revalidate_s)

    assert (await core.search()).cache == "miss"
