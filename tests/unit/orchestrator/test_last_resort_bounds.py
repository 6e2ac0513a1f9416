"""The last resort is bounded: how many may take it at once, and what it may not take away."""

from __future__ import annotations

import asyncio

import msgspec

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.events import Cost
from orchestrator.filters.circuit_breaker import CircuitPolicy
from orchestrator.filters.provider_room import ProviderRoomPolicy, ProviderRooms
from orchestrator.hedging import HedgePolicy
from tests.support.core import POLICIES, Core, both, down
from tests.support.hedged import after
from tests.support.scripted_provider import ScriptedProvider

ONE = msgspec.structs.replace(POLICIES, circuit=CircuitPolicy(failures_max=1))
"""One failure opens a circuit."""


async def test_a_crowd_does_not_fall_upon_a_dead_provider():
    """The stand-in is well and has no place left: of all whom it lets down few ask the one that hangs."""
    tavily, jina = both(tavily=[down(), after(400.0, 3)], jina=[after(1.0, 3)])
    room = ProviderRoomPolicy(calls_max=1, waiting_max=0)
    core = Core(
        tavily, jina, policies=msgspec.structs.replace(ONE, rooms=ProviderRooms(named={"jina": room}))
    )
    await core.search("opens the circuit of tavily")

    crowd = (core.search(f"question {n}") for n in range(200))
    outcomes = await asyncio.gather(*crowd, return_exceptions=True)

    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) >= 1
    assert tavily.calls - 1 <= ProviderRoomPolicy().calls_at_first
    await core.settle()


async def test_a_local_answer_is_not_lost_for_want_of_money():
    """What the floor has found is given, although the client may not pay for the last resort."""
    dear, cheap = Cost(amount=1.0, unit="credits", usd_micros=900), Cost(amount=1.0, usd_micros=60)
    tavily = ScriptedProvider("tavily", [down()], cost=dear)
    jina = ScriptedProvider("jina", [3, down("jina")], cost=cheap)
    local = ScriptedProvider("local", [2], cost=Cost())
    budget = BudgetPolicy(client_usd_micros_per_day=1_500)
    policies = msgspec.structs.replace(ONE, budget=budget)
    core = Core(tavily, jina, local, policies=policies)
    await core.search("opens the circuit of tavily")

    response = await core.search("jina is down")

    assert (response.provider, response.is_degraded) == ("local", True)
    await core.settle()


async def test_it_adds_nothing_to_the_allowance_of_second_calls():
    """A search that comes to it has been counted before."""
    policies = msgspec.structs.replace(ONE, hedge=HedgePolicy(ratio=0.125))
    core = Core(*both([down()], [3, down("jina")]), policies=policies)
    await core.search("opens the circuit of tavily")

    await asyncio.gather(core.search("jina is down"), return_exceptions=True)

    assert core.pipeline._chain.searchers._chain._hedger._left == 0.25
    await core.settle()
