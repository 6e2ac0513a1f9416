"""Nothing is spent beyond what was granted, and what was reserved is settled with what it came to."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.errors import (
    BudgetExhausted,
    ProviderHeldBack,
    ProviderRejected,
    ProviderTimeout,
)
from orchestrator.events import FREE, Cost
from orchestrator.facts import BudgetStopped, BudgetWarned
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.spending import TO_MIDNIGHT_S, Down, Spending, Upstream, spent


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


async def test_calls_pass_until_the_budget_is_spent(make, store, clock, call):
    """Ten calls of a tenth each fit, the eleventh is held back until midnight and reaches nobody."""
    budget, upstream = make(), Upstream()
    for _ in range(10):
        await budget(call(), upstream)

    with pytest.raises(ProviderHeldBack) as held:
        await budget(call(), upstream)

    assert upstream.calls == 10
    assert (held.value.reason, held.value.assumed) == ("budget", FREE)
    assert held.value.retry_after_s == pytest.approx(TO_MIDNIGHT_S)
    clock.advance(TO_MIDNIGHT_S)
    await budget(call(), upstream)
    assert spent(store, period="2026-11-26") == 100


async def test_many_at_once_stay_within(make, call):
    """What is reserved counts before it is spent: of a hundred at once ten are called."""
    budget, upstream = make(), Upstream()

    outcomes = await asyncio.gather(*(budget(call(), upstream) for _ in range(100)), return_exceptions=True)

    assert upstream.calls == 10
    assert sum(isinstance(one, ProviderHeldBack) for one in outcomes) == 90


@pytest.mark.parametrize(
    ("outcome", "figure"),
    [
        (Cost(amount=1.0, unit="credits", usd_micros=40), 40),
        (Cost(amount=9.0, unit="credits", usd_micros=450), 450),
        (ProviderTimeout("Late.", provider="tavily", reason="timeout"), 100),
        (ProviderRejected("No.", provider="tavily", reason="http_401", assumed=FREE), 0),
        (
            ProviderTimeout(
                "Late.", provider="tavily", reason="timeout", cost=Cost(usd_micros=7), assumed=FREE
            ),
            7,
        ),
        (asyncio.CancelledError(), 100),
        (ZeroDivisionError(), 100),
    ],
)
async def test_the_end_settles(make, store, outcome, figure, call):
    """An answer counts with its price, a failure with its bill or, if nobody knows, with the estimate."""
    task = asyncio.ensure_future(make()(call(), Upstream(outcome)))
    await asyncio.wait([task])

    assert spent(store) == figure


async def test_free_calls_have_no_account(make, store, call):
    """What nobody bills is never held back."""
    budget = make(BudgetPolicy(usd_micros_per_day=1), estimate=FREE)

    await budget(call(), Upstream(FREE))

    assert store._figures == {}


async def test_day_month_client_and_provider_count_apart(make, store, call):
    """Each limit has a figure of its own, and a provider's is in its own unit."""
    policy = BudgetPolicy(
        usd_micros_per_day=1_000,
        usd_micros_per_month=9_000,
        client_usd_micros_per_day=500,
        client_usd_micros_per_month=5_000,
        units_per_month={"tavily": 1_000},
    )
    budget = make(policy)

    await budget(call("ann"), Upstream())
    await budget(call("bob"), Upstream())

    assert {key: figure.spent for key, figure in store._figures.items()} == {
        ("all", "2026-11-25"): 200,
        ("all", "2026-11"): 200,
        ("client:ann", "2026-11-25"): 100,
        ("client:ann", "2026-11"): 100,
        ("client:bob", "2026-11-25"): 100,
        ("client:bob", "2026-11"): 100,
        ("provider:tavily", "2026-11"): 4_000_000,
    }


async def test_a_client_whose_budget_is_spent_is_told(make, call):
    """It is the client's own, so no other provider is asked; other clients go on."""
    budget, upstream = make(BudgetPolicy(client_usd_micros_per_day=150)), Upstream()
    await budget(call("ann"), upstream)

    with pytest.raises(BudgetExhausted) as spent_:
        await budget(call("ann"), upstream)

    assert spent_.value.retry_after_s == pytest.approx(TO_MIDNIGHT_S)
    await budget(call("bob"), upstream)
    assert upstream.calls == 2


async def test_a_month_ends_at_its_end(make, clock, call):
    """The month's figure is told to end on the first of the next, at midnight UTC."""
    budget = make(BudgetPolicy(usd_micros_per_month=100))
    await budget(call(), Upstream())

    with pytest.raises(ProviderHeldBack) as held:
        await budget(call(), Upstream())

    assert held.value.retry_after_s == pytest.approx(5 * 86_400 + TO_MIDNIGHT_S)
    clock.advance(held.value.retry_after_s)
    await budget(call(), Upstream())


async def test_each_mark_is_recorded_once(make, facts, call):
    """75 and 90 per cent are a warning each, the first call that does not fit is the stop."""
    budget = make()
    for _ in range(12):
        await asyncio.wait([asyncio.ensure_future(budget(call(), Upstream()))])

    fields = {"account": "all", "period": "2026-11-25", "limit": 1_000}
    assert list(zip(facts.streams, facts.events, strict=True)) == [
        ("budget:all", BudgetWarned(percent=75, spent=800, **fields)),
        ("budget:all", BudgetWarned(percent=90, spent=900, **fields)),
        ("budget:all", BudgetStopped(spent=1_000, **fields)),
    ]


async def test_attempts_of_one_execution_at_once_are_each_billed(make, store, call, clock):
    """Two batches of pages of one extract share a trail: neither is charged for what the other has cost."""

    class Waiting(MemoryRateLimit):
        async def hit(self, client, windows):
            verdict = await super().hit(client, windows)
            turns.append(len(turns))
            for _ in range(10 - 5 * len(turns)):  # the first has to wait for longer than the second
                await asyncio.sleep(0)
            return verdict

    turns = []
    policy = BudgetPolicy(usd_micros_per_day=1_000, calls_per_minute={"tavily": 100})
    budget, one = make(policy, rate_limits=Waiting(clock)), call()
    costs = [Cost(amount=2.0, unit="credits", usd_micros=micros) for micros in (300, 10)]

    await asyncio.gather(*(budget(one, Upstream(cost)) for cost in costs))

    assert spent(store) == 310


async def test_no_store_at_all_holds_nobody_up(make, call):
    """A count that is gone stops no search; the log has the price all the same."""
    await make(counts_on=Down())(call(), Upstream())


def test_no_limit_no_account():
    """A policy without limits names nothing to count."""
    assert BudgetPolicy().accounts("tavily") == ()
    assert BudgetPolicy().window("tavily") is None


async def test_a_call_over_midnight_is_booked_where_it_ends(make, call, store, clock):
    """The ledger books a bill when it comes; the day before gets its reservation back."""
    clock.advance(TO_MIDNIGHT_S - 1)

    async def upstream(inner):
        clock.advance(2)
        return await Upstream()(inner)

    await make()(call(), upstream)

    assert (spent(store), spent(store, period="2026-11-26")) == (0, 100)


async def test_a_leap_of_the_clock_back_gives_no_budget_anew(make, call, store, clock):
    """A clock that is put back into yesterday finds what was spent yesterday."""
    budget = make()
    clock.advance(TO_MIDNIGHT_S - 1)
    for _ in range(10):
        await budget(call(), Upstream())
    clock.advance(2)
    await budget(call(), Upstream())

    clock.advance(-2)
    with pytest.raises(ProviderHeldBack):
        await budget(call(), Upstream())


async def test_a_client_is_told_which_budget_and_until_when(make, call):
    """The message has the amount, the period and the moment of the next one."""
    budget = make(BudgetPolicy(client_usd_micros_per_day=50))

    with pytest.raises(BudgetExhausted) as refused:
        await budget(call(), Upstream())

    assert "your budget of 0.00005 USD for 2026-11-25 (UTC)" in refused.value.message
    assert "2026-11-26T00:00:00Z" in refused.value.message


async def test_a_provider_has_a_day_and_a_month_in_its_own_unit(make, call, store):
    """Whichever is spent first holds it back, and the reason says which."""
    policy = BudgetPolicy(
        units_per_day={"tavily": 2}, units_per_month={"tavily": 100}, units={"tavily": "credits"}
    )
    budget = make(policy)
    await budget(call(), Upstream())

    with pytest.raises(ProviderHeldBack) as held:
        await budget(call(), Upstream())

    assert "the credits of tavily for 2026-11-25" in held.value.message
    assert spent(store, "provider:tavily", "2026-11") == 2_000_000
