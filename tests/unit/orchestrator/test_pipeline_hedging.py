"""A slow provider gets company: what is answered, recorded, paid and held against whom."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import (
    AllProvidersFailed,
    BudgetExhausted,
    InvalidRequest,
    ProviderRejected,
)
from orchestrator.events import (
    AttemptFailed,
    AttemptHedged,
    AttemptStarted,
    AttemptSucceeded,
    ProviderSkipped,
    RequestCompleted,
)
from orchestrator.fallback import Fallback, Step
from orchestrator.filters.circuit_breaker import CircuitPolicy
from orchestrator.filters.provider_room import ProviderRoomPolicy, ProviderRooms
from orchestrator.hedging import LOST_MAX, HedgePolicy, Hedger
from orchestrator.history import assumed, spent
from orchestrator.model import SearchRequest
from orchestrator.outcome import BAD_REQUEST
from orchestrator.projections.executions import explain
from tests.support.calls import make_call
from tests.support.clock import LoopClock
from tests.support.core import both, down, tried
from tests.support.hedged import USUAL_S, after, ask, hedging, known, of
from tests.support.scripted_provider import CREDIT, ScriptedProvider


async def test_a_slow_provider_gets_company_and_the_first_answer_counts():
    """Tavily is silent for longer than usual: jina is asked too, answers first, and is the answer."""
    core = await known(*both(tavily=[after(4.0, 3)], jina=[after(0.5, 2)]))

    answer, call, took_s = await ask(core)

    assert (answer.provider, answer.is_fallback, answer.result_count) == ("jina", True, 2)
    assert took_s == pytest.approx(USUAL_S + 0.5, abs=0.01)
    assert of(core, call, AttemptHedged) == [AttemptHedged(provider="tavily", after_s=pytest.approx(1.0))]
    await core.settle()


async def test_where_nobody_waits_nobody_is_hedged():
    """A refresh behind a caller's back takes what it takes: haste would be paid for, and spare no waiting."""
    tavily, jina = both(tavily=[3, after(4.0, 3)], jina=[after(0.5, 2)])
    core = await known(tavily, jina)
    await ask(core)
    await asyncio.sleep(CachePolicy().ttl_s + 1.0)

    answer, _, _ = await ask(core)
    await core.settle()

    assert answer.is_stale
    assert (tavily.calls, jina.calls) == (2, 0)


async def test_the_loser_is_called_off_and_settles_as_spent():
    """The attempt that lost ends as cancelled, its estimate is assumed, and the record says so in time."""
    core = await known(*both(tavily=[after(4.0, 3)], jina=[after(0.5, 2)]))

    answer, call, _ = await ask(core)

    (lost,) = of(core, call, AttemptFailed)
    assert (lost.provider, lost.outcome, lost.reason) == ("tavily", "ignorable", "cancelled")
    assert lost.assumed == CREDIT
    assert tried(answer) == [("tavily", "ignorable", "cancelled"), ("jina", "success", "")]
    assert isinstance(core.events(call)[-1], RequestCompleted), "nothing comes after the last word"
    envelopes = call.trail.events
    assert (spent(envelopes), assumed(envelopes)) == (CREDIT, CREDIT)
    assert answer.cost == CREDIT
    await core.settle()


async def test_the_first_provider_may_still_win():
    """If the slow one answers before its company, that answer counts and the other is called off."""
    core = await known(*both(tavily=[after(1.5, 3)], jina=[after(2.0, 2)]))

    answer, _, took_s = await ask(core)

    assert (answer.provider, answer.is_fallback) == ("tavily", False)
    assert took_s == pytest.approx(1.5, abs=0.01)
    assert tried(answer) == [("tavily", "success", ""), ("jina", "ignorable", "cancelled")]
    await core.settle()


async def test_a_provider_in_time_stays_alone():
    """Before its usual time has passed nobody else is asked."""
    tavily, jina = both(tavily=[after(0.9, 3)])
    core = await known(tavily, jina)

    answer, call, _ = await ask(core)

    assert answer.provider == "tavily"
    assert jina.calls == 0
    assert of(core, call, AttemptHedged) == []
    await core.settle()


async def test_by_default_nobody_is_asked_twice():
    """Second calls are paid for, so there are none unless the operator allows them."""
    tavily, jina = both(tavily=[after(4.0, 3)])
    core = await known(tavily, jina, policies=hedging(ratio=HedgePolicy().ratio))

    answer, _, took_s = await ask(core)

    assert (answer.provider, jina.calls) == ("tavily", 0)
    assert took_s == pytest.approx(4.0, abs=0.01)
    await core.settle()


async def test_second_calls_stay_within_their_part():
    """With one in ten allowed, a provider that gets ever slower has company in one of ten searches."""
    tavily, jina = both(tavily=[after(1.1 + 0.1 * n, 3) for n in range(30)])
    core = await known(tavily, jina, policies=hedging(ratio=0.1))

    for n in range(30):
        await ask(core, f"slow {n}")

    assert jina.calls == 5, "of 50 searches, 20 of them before these"
    await core.settle()


async def test_losing_is_not_held_against_the_provider():
    """Attempts that were called off do not open the circuit, however many there are."""
    tavily, jina = both(tavily=[after(4.0, 3)])
    core = await known(tavily, jina, policies=hedging(circuit=CircuitPolicy(failures_max=2)))

    for n in range(LOST_MAX):
        answer, _, _ = await ask(core, f"slow {n}")
        assert answer.provider == "jina"

    assert core.pipeline.circuits["tavily"].state == "closed"
    assert core.pipeline.rooms["tavily"].calls == 0
    await core.settle()


async def test_a_dead_provider_is_found_out_although_it_has_company():
    """One that hangs loses a few times, then its calls are let end, and its circuit opens; probes end too."""
    tavily, jina = both(tavily=[after(400.0, 3)], jina=[after(0.5, 2)])
    core = await known(tavily, jina)
    hedger = core.pipeline._chain.searchers._chain._hedger
    for n in range(200):  # its usual time is well known, and does not change with a few losses
        hedger._learn(core.open(SearchRequest(query=f"{n}")), "tavily", USUAL_S)

    for n in range(200):
        await ask(core, f"dead {n}")
        await asyncio.sleep(1.0)

    failures = CircuitPolicy().failures_max
    assert tavily.calls <= LOST_MAX + failures + 5, "and one probe for each cooldown in these minutes"
    assert core.pipeline.circuits["tavily"].state == "open"
    await core.settle()


async def test_a_provider_that_answers_again_has_company_again():
    """Losses in a row are forgotten with the first answer."""
    tavily, jina = both(tavily=[*[after(4.0, 3)] * (LOST_MAX + 1), after(9.0, 3)], jina=[after(0.5, 2)])
    core = await known(tavily, jina, policies=hedging(deadline_s=30.0))

    providers = [(await ask(core, f"slow {n}"))[0].provider for n in range(LOST_MAX + 2)]

    assert providers == [*["jina"] * LOST_MAX, "tavily", "jina"]
    await core.settle()


async def test_when_the_slow_one_fails_its_company_is_waited_for():
    """A failure of the first moves on to the one that is already at work, and does not call it again."""
    tavily, jina = both(tavily=[after(2.0, down("tavily"))], jina=[after(3.0, 2)])
    core = await known(tavily, jina)

    answer, _, took_s = await ask(core)

    assert (answer.provider, jina.calls) == ("jina", 1)
    assert took_s == pytest.approx(USUAL_S + 3.0, abs=0.01)
    await core.settle()


async def test_when_the_company_fails_the_slow_one_is_waited_for():
    """A failure of the second changes nothing for the first."""
    core = await known(*both(tavily=[after(4.0, 3)], jina=[down("jina")]))

    answer, _, _ = await ask(core)

    assert answer.provider == "tavily"
    assert tried(answer) == [("tavily", "success", ""), ("jina", "retryable", "http_500")]
    await core.settle()


async def test_an_empty_answer_of_the_company_is_not_enough():
    """Only a useful answer ends the race; if both find nothing, the empty answer of the first is given."""
    core = await known(*both(tavily=[after(3.0, 0)], jina=[0]))

    answer, call, took_s = await ask(core)

    assert (answer.provider, answer.result_count) == ("tavily", 0)
    assert took_s == pytest.approx(3.0, abs=0.01)
    assert len(of(core, call, AttemptSucceeded)) == 2
    await core.settle()


async def test_when_both_fail_the_rest_of_the_chain_is_asked():
    """After a race without a winner the chain goes on behind the two."""
    tavily, jina = both(tavily=[after(2.0, down("tavily"))], jina=[down("jina")])
    core = await known(tavily, jina, ScriptedProvider("third"))

    answer, _, _ = await ask(core)

    assert answer.provider == "third"
    assert [one[0] for one in tried(answer)] == ["tavily", "jina", "third"]
    await core.settle()


async def test_when_all_fail_each_is_named_once():
    """The failure tells of both, in the order of the chain."""
    core = await known(*both(tavily=[after(2.0, down("tavily"))], jina=[down("jina")]))

    with pytest.raises(AllProvidersFailed) as failure:
        await ask(core)

    assert [one[0] for one in tried(failure.value)] == ["tavily", "jina"]
    await core.settle()


async def test_a_refused_request_ends_the_race():
    """If the first provider refuses the request as invalid, its company is called off."""
    refusal = ProviderRejected("No.", provider="tavily", reason=BAD_REQUEST)
    tavily, jina = both(tavily=[after(2.0, refusal)], jina=[after(4.0, 2)])
    core = await known(tavily, jina)
    call = core.open(SearchRequest(query="tides"))
    began = core.clock.monotonic()

    with pytest.raises(InvalidRequest):
        await core.gateway.search(call)

    assert core.clock.monotonic() - began == pytest.approx(2.0, abs=0.01)
    assert of(core, call, AttemptFailed)[-1].reason == "cancelled"
    await core.settle()


async def test_the_company_cannot_spend_what_a_client_has_not():
    """A second call that the client's budget refuses leaves the first one alone."""
    core = await known(*both(tavily=[after(3.0, 3)], jina=[after(0.0, BudgetExhausted("Spent."))]))

    answer, _, _ = await ask(core)

    assert answer.provider == "tavily"
    await core.settle()


async def test_the_floor_is_no_company():
    """Own documents stand in for a web that failed, not for one that is slow."""
    tavily, local = both(tavily=[after(3.0, 3)])
    local.name, local.schemes = "local", frozenset({"file"})
    core = await known(tavily, local)

    answer, _, _ = await ask(core)

    assert (answer.provider, local.calls) == ("tavily", 0)
    await core.settle()


async def test_a_provider_with_an_open_circuit_is_no_company():
    """Who would be refused at once is not asked, and no second call is used up."""
    tavily, jina = both(tavily=[down("tavily")], jina=[down("jina")])
    core = await known(tavily, jina, policies=hedging(circuit=CircuitPolicy(failures_max=1)))
    core.pipeline.circuits["jina"].failed(down("jina"), is_probe=False)
    tavily.script = [after(3.0, 3)]

    answer, call, _ = await ask(core)

    assert (answer.provider, jina.calls) == ("tavily", 0)
    assert of(core, call, AttemptHedged, ProviderSkipped) == []
    await core.settle()


async def test_waiting_for_a_place_is_not_slowness():
    """The time counts from the attempt, not from the end of a queue of our own."""
    rooms = ProviderRooms(named={"tavily": ProviderRoomPolicy(calls_max=1)})
    tavily, jina = both(tavily=[after(0.9, 3)])
    core = await known(
        tavily, jina, policies=hedging(hedge=HedgePolicy(ratio=1.0, samples_min=3), rooms=rooms)
    )
    tavily.script = [after(0.9, 3)]

    answers = await asyncio.gather(ask(core, "one"), ask(core, "two"))

    assert [answer.provider for answer, _, _ in answers] == ["tavily", "tavily"]
    assert answers[1][2] == pytest.approx(1.8, abs=0.01)
    await core.settle()


async def test_when_neither_answers_both_time_out():
    """Each of the two has the time it would have had alone."""
    core = await known(*both(tavily=[after(60.0, 3)], jina=[after(60.0, 3)]))
    call = core.open(SearchRequest(query="tides"))

    with pytest.raises(AllProvidersFailed):
        await core.gateway.search(call)

    ends = [(end.provider, end.reason, end.duration_s) for end in of(core, call, AttemptFailed)]
    assert ends == [("tavily", "timeout", pytest.approx(5.0)), ("jina", "timeout", pytest.approx(5.0))]
    await core.settle()


async def test_when_the_call_is_cancelled_both_are_called_off():
    """A chain that is cancelled leaves no attempt behind, and is done when both have ended."""
    clock, ended = LoopClock(), []
    hedger = Hedger(HedgePolicy(ratio=1.0, samples_min=1), clock)
    before = make_call(SearchRequest(query="known"), clock=clock)
    before.trail.record(AttemptSucceeded(provider="tavily", number=1, duration_s=1.0, results=1))
    hedger.answered(before, "tavily")

    def step(provider):
        async def service(call):
            call.trail.record(AttemptStarted(provider=provider, number=1, span_id="s"))
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                ended.append(provider)

        return Step(provider=provider, service=service, reserve_s=0.0)

    chain = Fallback([step("tavily"), step("jina")], clock, lambda *_: None, 1, hedger)
    task = asyncio.create_task(chain(make_call(SearchRequest(query="tides"), clock=clock)))
    await asyncio.sleep(2.0)

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert sorted(ended) == ["jina", "tavily"]


async def test_the_time_of_overlapping_attempts_counts_once():
    """What the execution waited for providers is the time in which at least one was under way."""
    core = await known(*both(tavily=[after(4.0, 3)], jina=[after(0.5, 2)]))

    _, call, took_s = await ask(core)

    done = core.events(call)[-1]
    assert done.upstream_s == pytest.approx(took_s, abs=0.01)
    assert "tavily had not answered after 1 s; the next one was asked too." in explain(call.trail.events).why
    await core.settle()


async def test_answers_that_were_not_waited_for_count_as_slow():
    """An attempt that was called off still says that it took so long: what is usual does not shrink by it."""
    tavily, jina = both(tavily=[after(1.6, 3)], jina=[after(0.5, 2)])
    core = await known(tavily, jina, policies=hedging(hedge=HedgePolicy(ratio=1.0, samples_max=20)))

    for n in range(20):
        await ask(core, f"slow {n}")
    tavily.script = [after(1.4, 3)]
    answer, call, _ = await ask(core)

    assert answer.provider == "tavily"
    assert of(core, call, AttemptHedged) == []
    await core.settle()
