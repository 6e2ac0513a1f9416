"""The stages together: old answers instead of waits and failures."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import AllProvidersFailed, BudgetExhausted, QuotaExhausted
from orchestrator.events import FREE, AttemptStarted, RequestCompleted, StaleServed
from orchestrator.filters.budget import BudgetPolicy
from orchestrator.model import CacheControl, ExtractRequest, SearchRequest
from tests.support.clock import LoopClock
from tests.support.core import POLICIES, URL, Core, both, down
from tests.support.scripted_provider import CREDIT, ScriptedProvider
from tests.support.shared_memory import MemoryFlights
from tests.support.tiers import Tier

TIDES = SearchRequest(query="tide tables")
POLICY = CachePolicy()
SOON_S = POLICY.ttl_s + 1.0
"""An hour later: an answer is given while a fresh one is fetched."""
LATE_S = POLICY.ttl_s + POLICY.stale_while_revalidate_s + 1.0
"""Later: it is given only if no fresh one can be had."""


async def asked_before(core, later_s):
    """A question has been asked, long enough ago."""
    await core.search()
    await asyncio.sleep(later_s)


async def test_a_refresh_is_part_of_the_execution_that_caused_it():
    """The old answer leaves with its frame; what is fetched then follows in further ones, on its account."""
    core = Core(*both())
    await asked_before(core, SOON_S)
    call = core.open(TIDES)

    response = await core.gateway.search(call)
    await core.settle()

    assert (response.cache, response.is_stale, response.cost) == ("l1", True, FREE)
    assert core.kinds(call) == [
        ["RequestReceived", "CallerAuthenticated", "StaleServed", "RefreshStarted", "RequestCompleted"],
        ["AttemptStarted"],
        ["AttemptSucceeded", "ResultCached"],
    ]
    (completed,) = [event for event in core.events(call) if isinstance(event, RequestCompleted)]
    (started,) = [event for event in core.events(call) if isinstance(event, AttemptStarted)]
    assert (completed.stale, completed.cache, completed.cost, completed.saved) == (True, "l1", FREE, CREDIT)
    assert completed.key == core.events(call)[2].key
    assert (started.client, started.door) == ("local", "test")
    assert not (await core.search()).is_stale


async def test_a_thousand_old_answers_cost_one_call():
    """However many callers get the old answer at once, the provider is asked once."""
    tavily = ScriptedProvider("tavily", delay_s=1.0)
    core = Core(tavily)
    await asked_before(core, SOON_S)

    responses = await asyncio.gather(*(core.search() for _ in range(1_000)))
    await core.settle()

    assert all(response.is_stale for response in responses)
    assert tavily.calls == 2


async def test_a_thousand_old_answers_of_two_processes_cost_one_call():
    """Processes that share their flights fetch one fresh answer together, and all of them have it then."""
    tavily = ScriptedProvider("tavily", delay_s=1.0)
    shared = {"l2": (Tier("l2"),), "flights": MemoryFlights(LoopClock())}
    cores = [Core(tavily, **shared) for _ in range(2)]
    await asked_before(cores[0], SOON_S)

    responses = await asyncio.gather(*(core.search() for core in cores for _ in range(500)))
    await asyncio.gather(*(core.settle() for core in cores))

    assert all(response.is_stale for response in responses)
    assert tavily.calls == 2
    assert not any([(await core.search()).is_stale for core in cores])


async def test_a_caller_who_wants_a_fresh_answer_shares_the_refresh():
    """What is being fetched behind one caller's back is what another one waits for."""
    tavily = ScriptedProvider("tavily", delay_s=1.0)
    core = Core(tavily)
    await asked_before(core, SOON_S)
    await core.search()

    response = await core.search(control=CacheControl(no_cache=True))

    assert (response.cache, response.is_stale) == ("collapsed", False)
    assert tavily.calls == 2


async def test_with_every_provider_down_old_questions_are_answered():
    """An old answer stands in, with its age and what was tried; a new question fails."""
    tavily, jina = both()
    core = Core(tavily, jina)
    await asked_before(core, LATE_S)
    tavily.script[:], jina.script[:] = [down()], [down("jina")]

    response = await core.search()

    assert (response.is_stale, response.age_s, response.cost) == (True, LATE_S, FREE)
    assert [(one.provider, one.reason) for one in response.attempts] == [
        ("tavily", "http_500"),
        ("jina", "http_500"),
    ]
    with pytest.raises(AllProvidersFailed):
        await core.search("something new")


async def test_with_every_circuit_open_they_are_answered_at_once():
    """Nobody waits for providers that are known to be down, and none is called."""
    tavily, jina = both()
    core = Core(tavily, jina)
    await asked_before(core, LATE_S)
    tavily.script[:], jina.script[:] = [down()], [down("jina")]
    for number in range(20):
        with pytest.raises(AllProvidersFailed):
            await core.search(f"question {number}")
    assert {circuit.state for circuit in core.pipeline.circuits.values()} == {"open"}
    calls, begun = tavily.calls + jina.calls, core.clock.monotonic()

    response = await core.search()
    with pytest.raises(AllProvidersFailed):
        await core.search("something new")

    assert response.is_stale
    assert {one.reason for one in response.attempts} == {"circuit_open"}
    assert (tavily.calls + jina.calls, core.clock.monotonic()) == (calls, begun)


async def test_followers_of_a_flight_that_failed_each_have_the_old_answer():
    """Identical callers share one failure, and each is given the old answer."""
    tavily = ScriptedProvider("tavily", delay_s=1.0)
    core = Core(tavily)
    await asked_before(core, LATE_S)
    tavily.script[:] = [down()]

    responses = await asyncio.gather(*(core.search() for _ in range(50)))

    assert all(response.is_stale and response.attempts for response in responses)
    assert tavily.calls == 2


async def test_the_floor_of_the_chain_is_no_refresh():
    """An answer of the floor is not kept, and not asked for again at every hit."""
    tavily, local = ScriptedProvider("tavily"), ScriptedProvider("local", [3], cost=FREE)
    core = Core(tavily, local)
    await asked_before(core, SOON_S)
    tavily.script[:] = [down()]

    for _ in range(3):
        assert (await core.search()).is_stale
        await core.settle()

    assert local.calls == 1


@pytest.mark.parametrize(
    ("limit", "error"),
    [("usd_micros_per_day", QuotaExhausted), ("client_usd_micros_per_day", BudgetExhausted)],
)
async def test_with_the_budget_spent_old_questions_are_answered(limit, error):
    """When the budget of all or of this client is spent a new question is refused, an old one answered."""
    tavily = ScriptedProvider("tavily")
    policies = replace(POLICIES, budget=BudgetPolicy(**{limit: CREDIT.usd_micros}))
    core = Core(tavily, policies=policies)
    await asked_before(core, LATE_S)
    call = core.open(TIDES)

    response = await core.gateway.search(call)
    with pytest.raises(error):
        await core.search("something new")

    assert (response.is_stale, response.cost, tavily.calls) == (True, FREE, 1)
    assert [event.cause for event in core.events(call) if isinstance(event, StaleServed)] == ["budget"]


# --- extract


async def test_an_old_page_is_one_of_an_answer():
    """Of several pages the old one is given and refreshed; the answer says that not all of it is fresh."""
    tavily = ScriptedProvider("tavily", [20])
    core = Core(tavily)
    await core.extract(URL)
    await asyncio.sleep(SOON_S)

    response = await core.extract(URL, "https://almanac.example/moon")
    await core.settle()

    assert (response.is_stale, response.cache, response.result_count) == (True, "mixed", 2)
    assert response.age_s == SOON_S
    # The refresh goes with what is fetched anyway: providers bill by the call.
    assert tavily.calls == 2
    assert not (await core.extract(URL)).is_stale


async def test_a_page_is_given_old_within_the_callers_patience():
    """Who waits two seconds has the old page before these are over."""
    tavily = ScriptedProvider("tavily", [20])
    core = Core(tavily)
    await core.extract(URL)
    await asyncio.sleep(LATE_S)
    tavily.delay_s = 60.0
    call = core.open(ExtractRequest(urls=(URL,), timeout_s=2.0))
    begun = core.clock.monotonic()

    response = await core.gateway.extract(call)

    assert response.is_stale
    assert core.clock.monotonic() - begun < 2.0
