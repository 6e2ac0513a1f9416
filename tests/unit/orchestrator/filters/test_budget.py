"""Nothing is spent beyond what was granted, and what was reserved is settled with what it came to."""

from __future__ import annotations

import asyncio
import contextlib
import math

import pytest

from orchestrator.errors import (
    BudgetExhausted,
    BudgetStoreUnavailable,
    EventLogUnavailable,
    ProviderHeldBack,
    ProviderRejected,
    ProviderTimeout,
    RateLimitStoreUnavailable,
)
from orchestrator.events import FREE, Cost
from orchestrator.facts import BudgetStopped, BudgetWarned
from orchestrator.filters.budget import BudgetFilter, BudgetPolicy
from orchestrator.model import Found, Principal, SearchAnswer, SearchRequest
from storage.memory_budget import MemoryBudget
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.calls import changed, make_call
from tests.support.clock import FakeClock

NOON = 1_795_608_000.0
"""2026-11-25 12:00 UTC."""

TO_MIDNIGHT_S = 12 * 3600.0
ESTIMATE = Cost(amount=2.0, unit="credits", usd_micros=100)
DAILY = BudgetPolicy(usd_micros_per_day=1_000)


class Facts:
    """A FactSink that keeps what it is given."""

    def __init__(self):
        self.facts = []

    def record_fact(self, stream, event):
        """Keep the fact."""
        self.facts.append((stream, event))


class Down:
    """A store that is out of reach."""

    async def reserve(self, charges):
        """Fail."""
        raise BudgetStoreUnavailable("Down.")

    async def hit(self, client, windows):
        """Fail, as a limiter."""
        raise RateLimitStoreUnavailable("Down.")


@pytest.fixture
def clock():
    """Noon of a day in November."""
    return FakeClock(now=NOON)


@pytest.fixture
def facts():
    """Takes warnings."""
    return Facts()


@pytest.fixture
def store(clock):
    """What is spent."""
    return MemoryBudget(clock)


@pytest.fixture
def make(clock, facts, store):
    """Makes the filter for a policy."""

    def make(policy=DAILY, *, provider="tavily", stores=None, rate_limits=None, estimate=ESTIMATE):
        return BudgetFilter(
            provider,
            clock,
            facts,
            lambda _request: estimate,
            stores=(store,) if stores is None else stores,
            rate_limits=rate_limits or MemoryRateLimit(clock),
            policy=policy,
        )

    return make


def call(client="ann"):
    """A call of a client."""
    return changed(make_call(SearchRequest(query="tides")), principal=Principal(client=client))


class Upstream:
    """A provider that bills `cost`, or fails."""

    def __init__(self, outcome=ESTIMATE):
        self.outcome = outcome
        self.calls = 0

    async def __call__(self, call):
        """Answer for the price, or raise."""
        self.calls += 1
        await asyncio.sleep(0)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return Found(
            answer=SearchAnswer(results=(), answer=None, images=()), provider="tavily", cost=self.outcome
        )


def spent(store, account="all", period="2026-11-25"):
    """The figure of an account."""
    figure = store._figures.get((account, period))
    return figure.spent if figure else None


async def test_calls_pass_until_the_budget_is_spent(make, store, clock):
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


async def test_many_at_once_stay_within(make):
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
        (EventLogUnavailable("Full."), 0),
        (asyncio.CancelledError(), 100),
        (ZeroDivisionError(), 100),
    ],
)
async def test_the_end_settles(make, store, outcome, figure):
    """An answer counts with its price, a failure with its bill or, if nobody knows, with the estimate."""
    task = asyncio.ensure_future(make()(call(), Upstream(outcome)))
    await asyncio.wait([task])

    assert spent(store) == figure


async def test_free_calls_have_no_account(make, store):
    """What nobody bills is never held back."""
    budget = make(BudgetPolicy(usd_micros_per_day=1), estimate=FREE)

    await budget(call(), Upstream(FREE))

    assert store._figures == {}


async def test_day_month_client_and_provider_count_apart(make, store):
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


async def test_a_client_whose_budget_is_spent_is_told(make):
    """It is the client's own, so no other provider is asked; other clients go on."""
    budget, upstream = make(BudgetPolicy(client_usd_micros_per_day=150)), Upstream()
    await budget(call("ann"), upstream)

    with pytest.raises(BudgetExhausted) as spent_:
        await budget(call("ann"), upstream)

    assert spent_.value.retry_after_s == pytest.approx(TO_MIDNIGHT_S)
    await budget(call("bob"), upstream)
    assert upstream.calls == 2


async def test_a_month_ends_at_its_end(make, clock):
    """The month's figure is told to end on the first of the next, at midnight UTC."""
    budget = make(BudgetPolicy(usd_micros_per_month=100))
    await budget(call(), Upstream())

    with pytest.raises(ProviderHeldBack) as held:
        await budget(call(), Upstream())

    assert held.value.retry_after_s == pytest.approx(5 * 86_400 + TO_MIDNIGHT_S)
    clock.advance(held.value.retry_after_s)
    await budget(call(), Upstream())


async def test_each_mark_is_recorded_once(make, facts):
    """75 and 90 per cent are a warning each, the first call that does not fit is the stop."""
    budget = make()
    for _ in range(12):
        await asyncio.wait([asyncio.ensure_future(budget(call(), Upstream()))])

    fields = {"account": "all", "period": "2026-11-25", "limit": 1_000}
    assert facts.facts == [
        ("budget:all", BudgetWarned(percent=75, spent=800, **fields)),
        ("budget:all", BudgetWarned(percent=90, spent=900, **fields)),
        ("budget:all", BudgetStopped(spent=1_000, **fields)),
    ]


async def test_a_store_out_of_reach_has_a_stand_in(make, store):
    """While the shared count cannot be had this process counts by itself, and holds to the limit."""
    budget, upstream = make(stores=(Down(), store)), Upstream()

    outcomes = await asyncio.gather(*(budget(call(), upstream) for _ in range(12)), return_exceptions=True)

    assert upstream.calls == 10
    assert spent(store) == 1_000
    assert sum(isinstance(one, ProviderHeldBack) for one in outcomes) == 2


async def test_no_store_at_all_holds_nobody_up(make):
    """A count that is gone stops no search; the log has the price all the same."""
    await make(stores=(Down(),))(call(), Upstream())


@pytest.mark.parametrize("allowed", [1, 2, 4, 5, 100, 601])
async def test_no_minute_sees_more_calls_than_allowed(make, clock, allowed):
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


async def test_a_call_too_early_is_told_when_it_fits(make):
    """The chain goes on at once, and knows how long the provider is spared."""
    budget = make(BudgetPolicy(calls_per_minute={"tavily": 2}))
    for _ in range(2):
        await budget(call(), Upstream())

    with pytest.raises(ProviderHeldBack) as held:
        await budget(call(), Upstream())

    assert held.value.reason == "calls_per_minute"
    assert held.value.retry_after_s == pytest.approx(60.0, rel=0.1)


async def test_another_provider_is_not_held_back(make):
    """The pace is a provider's own."""
    policy = BudgetPolicy(calls_per_minute={"tavily": 1})
    budget = make(policy, provider="jina")

    for _ in range(10):
        await budget(call(), Upstream())


async def test_a_limiter_out_of_reach_holds_nobody_up(make):
    """The provider itself will say when it is too much."""
    budget = make(BudgetPolicy(calls_per_minute={"tavily": 1}), rate_limits=Down())

    for _ in range(3):
        await budget(call(), Upstream())


def test_no_limit_no_account():
    """A policy without limits names nothing to count."""
    assert BudgetPolicy().accounts("tavily") == ()
    assert BudgetPolicy().window("tavily") is None
