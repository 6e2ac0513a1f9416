"""Warming: what is asked most is fetched before its callers come, within a sum of money and gently."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.cooldown import CircuitPolicy
from orchestrator.errors import AllProvidersFailed, CannotWarm
from orchestrator.events import Cost
from orchestrator.hedging import HedgePolicy
from orchestrator.parts import Policies
from orchestrator.projections.executions import explain
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.projections.queries import QueriesRollup
from orchestrator.recorder import Recorder
from orchestrator.warming import Warming
from orchestrator.warming_plan import WarmingPolicy
from tests.support.core import both, down
from tests.support.scripted_provider import CREDIT, ScriptedProvider, found
from tests.support.warm_core import POLICIES, QUERIES, TTL_S, WarmCore


async def test_what_was_asked_most_is_fetched_and_then_hit():
    """All that was asked twice or more is fresh again; who asks then has a hit, and pays nothing."""
    tavily = ScriptedProvider("tavily")
    warm = await WarmCore(tavily).expire()

    finished = await warm.run()

    assert (finished.candidates, finished.warmed, finished.ended_by) == (7, 7, "done")
    assert finished.cost == Cost(amount=7.0, unit="credits", usd_micros=56_000)
    assert tavily.queries[len(QUERIES) :] == QUERIES[:0:-1]
    assert [(await warm.core.search(query)).cache for query in QUERIES] == ["miss", *["l1"] * 7]
    assert warm.finished() == [finished]


async def test_what_is_fresh_is_left_alone():
    """An answer that lasts longer than the horizon is not fetched again; one that ends sooner is."""
    tavily = ScriptedProvider("tavily")
    warm = await WarmCore(tavily).expire(wait_s=TTL_S - 600.0)

    assert (await warm.run(horizon_s=500.0)).skipped == 7
    assert (await warm.run(horizon_s=700.0)).warmed == 7
    assert tavily.calls == len(QUERIES) + 7
    assert {(one.outcome, round(one.age_s), round(one.left_s)) for one in warm.told[:7]} == {
        ("fresh", 3000, 600)
    }


async def test_what_was_just_paid_for_is_not_paid_for_again():
    """Where answers live for less than the horizon they are fetched in the second half of their life only."""
    tavily = ScriptedProvider("tavily")
    warm = await WarmCore(tavily).expire(wait_s=TTL_S / 2 - 1.0)

    assert (await warm.run(horizon_s=2 * TTL_S)).skipped == 7
    await asyncio.sleep(2.0)
    assert (await warm.run(horizon_s=2 * TTL_S)).warmed == 7


async def test_the_budget_of_a_run_is_not_exceeded():
    """The price is set aside before each search, for all that are under way."""
    tavily = ScriptedProvider("tavily", delay_s=1.0)
    warm = await WarmCore(tavily).expire()

    finished = await warm.run(usd_micros_max=3 * CREDIT.usd_micros + 1, lanes=5)

    assert (finished.ended_by, finished.warmed) == ("budget", 3)
    assert finished.cost.usd_micros == 3 * CREDIT.usd_micros
    assert tavily.calls == len(QUERIES) + 3


async def test_what_every_provider_may_cost_is_set_aside():
    """A search that finds nothing is asked of the next one too; the budget holds all the same."""
    tavily, jina = both([0], [2])
    warm = await WarmCore(tavily, jina).expire(wait_s=TTL_S * 2)
    before = tavily.calls + jina.calls

    finished = await warm.run(usd_micros_max=5 * CREDIT.usd_micros)

    assert finished.cost.usd_micros <= 5 * CREDIT.usd_micros
    assert tavily.calls + jina.calls - before == 4


async def test_the_installations_budget_ends_a_run():
    """What the first provider may not spend is not spent at the second, but for the search that tells."""
    policies = Policies(
        cache=POLICIES.cache,
        retry=POLICIES.retry,
        budget=BudgetPolicy(units_per_month={"tavily": len(QUERIES) + 2.0}),
    )
    tavily, jina = both()
    warm = await WarmCore(tavily, jina, policies=policies).expire()

    finished = await warm.run(lanes=1)

    assert finished.ended_by == "budget"
    assert (tavily.calls, jina.calls) == (len(QUERIES) + 2, 1)


async def test_the_budget_of_a_client_holds_for_warming_too():
    """Warming is a client like others: what each may spend is the most that it spends."""
    policies = Policies(
        cache=POLICIES.cache,
        retry=POLICIES.retry,
        budget=BudgetPolicy(client_usd_micros_per_day=len(QUERIES) * CREDIT.usd_micros),
    )
    tavily, jina = both()
    warm = await WarmCore(tavily, jina, policies=policies).expire()

    finished = await warm.run(lanes=1)

    assert (finished.ended_by, finished.warmed) == ("done", 7)
    await asyncio.sleep(TTL_S + 1.0)
    again = await warm.run(lanes=1)
    assert (again.ended_by, again.warmed, again.failed) == ("budget", 1, 1)
    assert jina.calls == 0


async def test_an_open_circuit_ends_a_run_before_it_begins():
    """While the first provider rests nothing is fetched, and the others are left to callers."""
    tavily, jina = both([*[3] * len(QUERIES), down()], [3])
    policies = Policies(
        cache=POLICIES.cache,
        retry=POLICIES.retry,
        circuit=CircuitPolicy(failures_max=1, cooldowns_s=(60.0,)),
    )
    warm = await WarmCore(tavily, jina, policies=policies).expire()
    await warm.core.search("opens the circuit")
    before = tavily.calls, jina.calls

    finished = await warm.run()

    assert (finished.ended_by, finished.warmed, finished.failed) == ("provider", 0, 0)
    assert (tavily.calls, jina.calls) == before


async def test_a_rested_provider_is_probed_by_one_search_alone():
    """After the cooldown the first search is the probe; if it succeeds the run goes on to its end."""
    tavily, jina = both([*[3] * len(QUERIES), down(), 3], [3])
    policies = Policies(
        cache=POLICIES.cache,
        retry=POLICIES.retry,
        circuit=CircuitPolicy(failures_max=1, cooldowns_s=(60.0,)),
    )
    warm = await WarmCore(tavily, jina, policies=policies).expire()
    await warm.core.search("opens the circuit")
    await asyncio.sleep(61.0)
    jina_before = jina.calls

    finished = await warm.run()

    assert (finished.ended_by, finished.warmed) == ("done", 7)
    assert jina.calls == jina_before


async def test_two_failures_in_a_row_end_a_run():
    """Warming does not wear out the second provider while the first is ill."""
    tavily, jina = both([*[3] * len(QUERIES), down()], [3])
    warm = await WarmCore(tavily, jina).expire()

    finished = await warm.run(lanes=1)

    assert finished.ended_by == "provider"
    assert jina.calls == 2


async def test_failures_that_do_not_follow_each_other_do_not_end_it():
    """A search now and then that the first provider fails is no illness."""
    tavily = ScriptedProvider("tavily", [*[3] * len(QUERIES), 3, down(), 3, down(), 3])
    warm = await WarmCore(tavily).expire()

    finished = await warm.run(lanes=1)

    assert (finished.warmed, finished.failed, finished.ended_by) == (5, 2, "done")
    assert [one.error for one in warm.told if one.outcome == "failed"] == [AllProvidersFailed.code] * 2


async def test_nobody_is_asked_twice_for_haste():
    """A slow answer is waited for: there is no caller whom a second call would serve."""
    policies = Policies(
        cache=POLICIES.cache, retry=POLICIES.retry, hedge=HedgePolicy(ratio=1.0, samples_min=1)
    )
    tavily, jina = both()
    warm = await WarmCore(tavily, jina, policies=policies).expire()
    tavily.delay_s, before = 4.0, jina.calls

    finished = await warm.run()

    assert (finished.warmed, jina.calls) == (7, before)
    tavily.delay_s = 4.5
    await warm.core.search("a caller is in a hurry")
    assert jina.calls == before + 1


async def test_a_stretch_of_time_ends_a_run():
    """Nothing is begun after the moment that was given."""
    warm = await WarmCore(ScriptedProvider("tavily")).expire()

    finished = await warm.run(lanes=1, pause_s=10.0, until=warm.core.clock.now() + 25.0)

    assert (finished.ended_by, finished.warmed) == ("time", 3)


async def test_lanes_and_pauses_bound_the_load():
    """Two are under way at once at most, and between two of a lane lies the pause."""
    under_way, most = 0, 0
    begun = []

    async def slow(call):
        nonlocal under_way, most
        under_way, begun_at = under_way + 1, asyncio.get_running_loop().time()
        begun.append(begun_at)
        most = max(most, under_way)
        await asyncio.sleep(1.0)
        under_way -= 1
        return 2

    tavily = ScriptedProvider("tavily", [*[3] * len(QUERIES), slow_line(slow)])
    warm = await WarmCore(tavily).expire()

    finished = await warm.run(pause_s=2.0)

    assert most == 2
    assert finished.duration_s == pytest.approx(4 * 3.0, abs=0.1)


def slow_line(work):
    """A line of a script that takes its time and gives three results."""

    async def line(call):
        return found(await work(call))

    return line


async def test_unknown_rows_are_counted_and_passed_over():
    """A text that was erased, or a key that nobody can make again, costs nothing and is said."""
    tavily = ScriptedProvider("tavily")
    warm = await WarmCore(tavily).expire()
    warm.asked.erased = {(await warm.asked.most_asked(0.0, float("inf"), 1))[0].key}

    finished = await warm.run()

    assert (finished.warmed, finished.unknown) == (6, 1)
    assert warm.told[0].outcome == "unknown"
    assert QUERIES[-1] not in tavily.queries[len(QUERIES) :]


async def test_without_texts_it_says_why_it_cannot():
    """With AMOS_STORE_QUERY_TEXT=false nobody knows what to ask."""
    warm = WarmCore(ScriptedProvider("tavily"))
    recorder = Recorder(warm.core.journal, warm.core.clock, keep_texts=False)
    warming = Warming(warm.core.pipeline, recorder, [warm.core.cache], warm.asked, WarmingPolicy())

    with pytest.raises(CannotWarm, match="AMOS_STORE_QUERY_TEXT"):
        await warming.run(WarmingPolicy(), cause="command")
    with pytest.raises(CannotWarm, match="AMOS_STORE_QUERY_TEXT"):
        await warming.rehearse(WarmingPolicy())
    assert warm.finished() == []


async def test_a_rehearsal_fetches_nothing():
    """It names what is due and the most it may cost, and leaves no trace."""
    tavily = ScriptedProvider("tavily")
    warm = await WarmCore(tavily).expire()
    await warm.core.search(QUERIES[3])
    frames = len(warm.core.journal.frames)

    lines = await warm.warming.rehearse(WarmingPolicy())

    assert [one.outcome for one in lines] == ["due", "due", "due", "due", "fresh", "due", "due"]
    assert sum(one.cost.usd_micros for one in lines) == 6 * CREDIT.usd_micros
    assert tavily.calls == len(QUERIES) + 1
    assert len(warm.core.journal.frames) == frames


# --- the record


async def test_an_execution_without_a_caller_is_recorded_whole():
    """Its intent is durable before the call, its end follows; the ledger has it under `warming`."""
    warm = await WarmCore(ScriptedProvider("tavily")).expire()
    await warm.run()

    executions = warm.executions()

    assert len(executions) == 7
    for stream, events in executions.items():
        assert warm.core.journal.kinds(stream) == [
            ["RefreshStarted", "AttemptStarted"],
            ["AttemptSucceeded", "ResultCached"],
        ]
        assert [envelope.seq for envelope in events] == [1, 2, 3, 4]
        assert events[0].event.cause == "warming"
        assert (events[1].event.client, events[1].event.door) == ("warming", "warming")
    every = [envelope for events in executions.values() for envelope in events]
    ledger = LedgerRollup().total(every)
    assert {key[1:]: counts[:5] for key, counts in ledger.items() if any(counts)} == {
        ("tavily", "warming", "search", "credits"): (7, 7_000_000, 56_000, 0, 0)
    }
    assert QueriesRollup().total(every) == {}


async def test_an_execution_without_a_caller_explains_itself():
    """Status, client and cost are told as of any other."""
    tavily = ScriptedProvider("tavily", [*[3] * len(QUERIES), 3, down()])
    warm = await WarmCore(tavily).expire()
    await warm.run(lanes=1)

    explained = [explain(events) for events in warm.executions().values()]

    assert [one.status for one in explained] == ["answered", "failed", "failed"]
    assert {(one.client, one.door, one.operation) for one in explained} == {("warming", "warming", "search")}
    assert explained[0].cost == CREDIT
    assert explained[0].why[0] == "A fresh answer was asked for with nobody waiting for it (warming)."
    assert explained[0].started_at is not None
    assert explained[0].ended_at is not None
