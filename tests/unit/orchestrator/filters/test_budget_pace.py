"""A provider is called as often as a minute allows, and a call that is a moment early waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import math

import pytest

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.cashier import Cashier
from orchestrator.errors import (
    BudgetExhausted,
    ProviderHeldBack,
)
from orchestrator.events import Cost
from orchestrator.filters.budget import BudgetFilter
from orchestrator.quota import verdict_on
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.spending import ESTIMATE, Down, Spending, Upstream, spent


@pytest.fixture
def spending():
    """Clock, store and facts of a budget."""
    return Spending()


@pytest.fixture
def clock(spending):
    """Noon of a day in November."""
    return spending.clock


@pytest.fixture
def facts(spending):
    """Takes warnings."""
    return spending.facts


@pytest.fixture
def store(spending):
    """What is spent."""
    return spending.store


@pytest.fixture
def make(spending):
    """Makes the budget of a policy, with the attempt behind it."""
    return spending.make


@pytest.fixture
def call(spending):
    """Makes a call of a client."""
    return spending.call


@pytest.mark.parametrize("allowed", [1, 2, 4, 5, 100, 601])
async def test_no_minute_sees_more_calls_than_allowed(make, clock, allowed, call):
    """However hard it is pressed, a provider gets no more calls in any 60 seconds, and nearly as many."""
    budget = make(BudgetPolicy(calls_per_minute={"tavily": allowed}))
    moments = []

    async def upstream(_call):
        moments.append(clock.monotonic())
        return await Upstream()(_call)

    step_s = min(0.05, 3.0 / allowed)
    for _ in range(math.ceil(180 / step_s)):
        clock.advance(step_s)
        with contextlib.suppress(ProviderHeldBack):
            await budget(call(), upstream)

    busiest = max(sum(0 <= other - moment < 59.9 for other in moments) for moment in moments)
    assert busiest <= allowed
    assert len(moments) >= 3 * 0.75 * allowed - 1


async def test_a_call_too_early_is_told_when_it_fits(make, call):
    """The chain goes on at once, and knows how long the provider is spared."""
    budget = make(BudgetPolicy(calls_per_minute={"tavily": 2}))
    for _ in range(2):
        await budget(call(), Upstream())

    with pytest.raises(ProviderHeldBack) as held:
        await budget(call(), Upstream())

    assert held.value.reason == "calls_per_minute"
    assert held.value.retry_after_s == pytest.approx(60.0, rel=0.1)


async def test_another_provider_is_not_held_back(make, call):
    """The pace is a provider's own."""
    policy = BudgetPolicy(calls_per_minute={"tavily": 1})
    budget = make(policy, provider="jina")

    for _ in range(10):
        await budget(call(), Upstream())


async def test_a_limiter_out_of_reach_holds_nobody_up(make, call):
    """The provider itself will say when it is too much."""
    budget = make(BudgetPolicy(calls_per_minute={"tavily": 1}), rate_limits=Down())

    for _ in range(3):
        await budget(call(), Upstream())


async def test_a_call_that_is_a_moment_early_waits(make, call, clock):
    """The next provider would take longer than that."""
    budget = make(BudgetPolicy(calls_per_minute={"tavily": 1}))
    await budget(call(), Upstream())
    clock.advance(59.4)

    await budget(call(), Upstream())

    assert clock.slept == [pytest.approx(0.6)]


@pytest.mark.parametrize(("early_s", "patience_s"), [(1.1, 60.0), (0.6, 2.0)])
async def test_a_call_that_is_too_early_or_in_a_hurry_does_not_wait(make, call, clock, early_s, patience_s):
    """More than a second, or more than a quarter of what is left, is not worth it."""
    budget = make(BudgetPolicy(calls_per_minute={"tavily": 1}))
    await budget(call(), Upstream())
    clock.advance(60.0 - early_s)

    with pytest.raises(ProviderHeldBack):
        await budget(call(patience_s=patience_s), Upstream())

    assert clock.slept == []


async def test_only_as_many_wait_as_there_will_be_room_for(clock, store, facts, call):
    """Of many that are early one waits; for the others there would be no room then either."""
    policy = BudgetPolicy(calls_per_minute={"tavily": 1})
    woken = asyncio.Event()

    class Patient:
        def monotonic(self):
            return clock.monotonic()

        async def sleep(self, seconds):
            await woken.wait()
            clock.advance(seconds)

    budget = BudgetFilter(
        "tavily",
        Patient(),
        lambda _request: ESTIMATE,
        cashier=Cashier(store, facts),
        rate_limits=MemoryRateLimit(clock),
        policy=policy,
    )
    await budget(call(), Upstream())
    clock.advance(59.5)
    tasks = [asyncio.ensure_future(budget(call(), Upstream())) for _ in range(20)]
    for _ in range(5):
        await asyncio.sleep(0)
    held = [task for task in tasks if task.done()]
    woken.set()
    await asyncio.wait(tasks)

    assert len(held) == 19
    assert sum(task.exception() is None for task in tasks) == 1


async def test_who_may_spend_no_more_takes_no_room_from_others(make, call):
    """A call that is not paid is not counted as one of the minute."""
    budget = make(BudgetPolicy(client_usd_micros_per_day=100, calls_per_minute={"tavily": 2}))
    await budget(call("ann"), Upstream())
    for _ in range(5):
        with pytest.raises(BudgetExhausted):
            await budget(call("ann"), Upstream())

    await budget(call("bob"), Upstream())


async def test_who_comes_too_often_gets_the_money_back(make, call, store):
    """A call that the pace holds back costs nothing."""
    budget = make(BudgetPolicy(usd_micros_per_day=1_000, calls_per_minute={"tavily": 1}))
    await budget(call(), Upstream())

    with pytest.raises(ProviderHeldBack):
        await budget(call(), Upstream())

    assert spent(store) == 100


async def test_of_two_calls_of_one_execution_each_is_settled_with_its_own(make, call, store):
    """One waits for its minute while the other, of the same trail and provider, is made and billed."""
    gate = asyncio.Event()

    class Slow:
        """Lets the first call wait, and no other."""

        def __init__(self):
            self.hits = 0

        async def hit(self, client, windows):
            self.hits += 1
            if self.hits == 1:
                await gate.wait()
            return verdict_on(windows, (1,), (0.0,), allowed=True)

    policy = BudgetPolicy(usd_micros_per_day=1_000, calls_per_minute={"tavily": 100})
    budget = make(policy, rate_limits=Slow())
    one = call()
    waiting = asyncio.ensure_future(budget(one, Upstream(Cost(amount=1.0, unit="credits", usd_micros=7))))
    await asyncio.sleep(0.01)
    await budget(one, Upstream(Cost(amount=2.0, unit="credits", usd_micros=90)))
    gate.set()
    await waiting

    assert spent(store) == 97
