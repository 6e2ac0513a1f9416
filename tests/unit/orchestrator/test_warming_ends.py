"""Warming beside callers and other instances, and what is left of a run that does not come to its end."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import CannotWarm, EventLogUnavailable
from orchestrator.events import AttemptStarted, Cost
from orchestrator.facts import WarmingFinished
from orchestrator.history import WARMING
from orchestrator.warming_plan import WarmingPolicy
from tests.support.clock import LoopClock
from tests.support.scripted_provider import ScriptedProvider
from tests.support.shared_memory import MemoryFlights
from tests.support.warm_core import QUERIES, TTL_S, WarmCore


async def test_a_caller_who_asks_meanwhile_does_not_pay_again():
    """Warming and callers share their flights, whoever came first."""
    tavily = ScriptedProvider("tavily", delay_s=2.0)
    warm = await WarmCore(tavily, queries=QUERIES[:2]).expire()
    calls = tavily.calls

    run = asyncio.ensure_future(warm.run())
    await asyncio.sleep(1.0)
    response = await warm.core.search(QUERIES[1])
    await run

    assert response.cache == "collapsed"
    assert tavily.calls == calls + 1

    await asyncio.sleep(TTL_S + 1.0)
    caller = asyncio.ensure_future(warm.core.search(QUERIES[1]))
    await asyncio.sleep(1.0)
    finished = await warm.run()
    await caller

    assert (finished.warmed, finished.cost) == (1, Cost())
    assert tavily.calls == calls + 2


async def test_what_is_still_fresh_is_fetched_all_the_same():
    """The shared flight looks into the cache once more; an answer that ends soon is none for warming."""
    tavily = ScriptedProvider("tavily")
    warm = WarmCore(tavily, flights=MemoryFlights(LoopClock()))
    await warm.expire(wait_s=TTL_S - 60.0)

    finished = await warm.run()

    assert (finished.warmed, tavily.calls) == (7, len(QUERIES) + 7)


async def test_of_two_instances_one_warms():
    """Whoever has the lease warms; the other says so at once, and may when the first has ended."""
    tavily = ScriptedProvider("tavily", delay_s=1.0)
    one = await WarmCore(tavily).expire()
    flights = MemoryFlights(one.core.clock)
    twins = [one.instance(flights) for _ in range(2)]

    first = asyncio.ensure_future(twins[0].run(WarmingPolicy(), cause="command"))
    await asyncio.sleep(3.0)  # twice as long as a lease lasts that is not renewed
    with pytest.raises(CannotWarm, match="another instance"):
        await twins[1].run(WarmingPolicy(), cause="command")
    assert (await first).warmed == 7
    assert (await twins[1].run(WarmingPolicy(), cause="command")).skipped == 7


async def test_one_process_warms_once_at_a_time():
    """A second run beside the first is refused."""
    warm = await WarmCore(ScriptedProvider("tavily", delay_s=1.0)).expire()
    first = asyncio.ensure_future(warm.run())
    await asyncio.sleep(0.5)

    with pytest.raises(CannotWarm):
        await warm.run()

    assert (await first).warmed == 7


async def test_nobody_warms_for_himself_while_the_store_is_gone():
    """Without the lease every instance would warm: none does."""
    warm = WarmCore(ScriptedProvider("tavily"))
    flights = MemoryFlights(warm.core.clock)
    flights.is_down = True
    alone = warm.instance(flights)

    with pytest.raises(CannotWarm, match="out of reach"):
        await alone.run(WarmingPolicy(), cause="command")


# --- ends that nobody wished


async def test_a_cancelled_run_sees_its_searches_through():
    """What is under way is paid for: it is kept and recorded, the rest is left, and the next run goes on."""
    tavily = ScriptedProvider("tavily", delay_s=1.0)
    warm = await WarmCore(tavily).expire()
    run = asyncio.ensure_future(warm.run())
    await asyncio.sleep(0.5)

    run.cancel()
    await asyncio.wait([run])

    assert run.cancelled()
    (finished,) = warm.finished()
    assert (finished.ended_by, finished.warmed) == ("cancelled", 2)
    assert {kind for events in warm.executions().values() for kind in [type(events[-1].event).__name__]} == {
        "ResultCached"
    }
    again = await warm.run()
    assert (again.skipped, again.warmed) == (2, 5)
    assert tavily.calls == len(QUERIES) + 7


async def test_a_record_that_cannot_be_kept_ends_a_run():
    """What cannot be recorded is not spent."""
    tavily = ScriptedProvider("tavily")
    warm = await WarmCore(tavily).expire()
    warm.core.journal.is_full = True

    finished = await warm.run(lanes=1)

    assert (finished.ended_by, finished.failed) == ("record", 1)
    assert tavily.calls == len(QUERIES)
    assert finished.cost == Cost()
    with pytest.raises(EventLogUnavailable):
        await warm.core.search("another")


async def test_a_fault_in_one_search_ends_no_run():
    """It is paid for once; a run it ended would be made up for at each look, and pay for it each time."""
    tavily = ScriptedProvider("tavily")
    warm = await WarmCore(tavily).expire()
    refresh, faults = warm.core.pipeline.refresh, [RuntimeError("A bug.")]

    async def faulty(call):
        response = await refresh(call)
        if faults:
            raise faults.pop()
        return response

    warm.core.pipeline.refresh = faulty

    finished = await warm.run(lanes=1)

    assert (finished.ended_by, finished.failed, finished.warmed) == ("done", 1, 6)
    assert warm.told[0].error == "internal_error"
    assert finished.cost == sum((one.cost for one in warm.told), Cost())


async def test_the_lease_is_given_back_however_a_run_ends():
    """After a cancelled run another instance need not wait."""
    warm = await WarmCore(ScriptedProvider("tavily", delay_s=1.0)).expire()
    flights = MemoryFlights(warm.core.clock)
    warming = warm.instance(flights)
    run = asyncio.ensure_future(warming.run(WarmingPolicy(), cause="command"))
    await asyncio.sleep(0.5)
    run.cancel()
    await asyncio.wait([run])

    assert await flights.claim(WARMING, "another") == "another"
    assert isinstance(warm.finished()[0], WarmingFinished)
    assert not any(isinstance(e[-1].event, AttemptStarted) for e in warm.executions().values())
