"""The contract of budget stores: never beyond a limit, all accounts or none, each mark told once."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.budget_ports import Balance, Charge
from orchestrator.cashier import Cashier
from orchestrator.clock import SystemClock
from orchestrator.errors import BudgetStoreUnavailable
from storage.memory_budget import MemoryBudget
from storage.redis_budget import RedisBudget
from storage.redis_client import open_redis
from storage.shared_budget import SharedBudget
from tests.support.facts import Facts
from tests.support.processes import until
from tests.support.spending import told
from tests.support.valkey import Valkey

PATIENT_S = 5.0
"""A test machine may be busy."""

LIMIT = 1_000


@pytest.fixture(params=["memory", "valkey", "sentinels", "cluster", "shared"])
async def budget(request):
    """Every implementation in turn."""
    if request.param == "memory":
        yield MemoryBudget(SystemClock())
        return
    redis = "valkey" if request.param == "shared" else request.param
    client = await open_redis(request.getfixturevalue(redis).url, timeout_s=PATIENT_S)
    alone = RedisBudget(client)
    yield SharedBudget(alone, SystemClock()) if request.param == "shared" else alone
    await client.aclose()


def charge(amount, account="all", *, period="2026-11-25", limit=LIMIT):
    """A sum on an account whose period ends in an hour."""
    ends_at = SystemClock().now() + 3_600
    return Charge(account=account, period=period, ends_at=ends_at, limit=limit, amount=amount)


async def spent(budget, account="all", period="2026-11-25"):
    """The figure of an account."""
    (figure,) = await budget.figures([charge(0, account, period=period)])
    return figure


async def test_what_fits_is_reserved(budget):
    """Up to the limit, and to the last millionth."""
    assert await budget.reserve([charge(LIMIT - 300)]) == (Balance(spent=LIMIT - 300),)
    (full,) = await budget.reserve([charge(300)])
    assert (full.is_refused, full.spent) == (False, LIMIT)

    (refused,) = await budget.reserve([charge(1)])

    assert (refused.is_refused, refused.spent) == (True, LIMIT)


async def test_all_accounts_are_charged_or_none(budget):
    """If one account has no room, the others are left as they were, and it is told which."""
    await budget.reserve([charge(LIMIT, "client:a")])

    balances = await budget.reserve([charge(10), charge(10, "client:a"), charge(10, period="2026-11")])

    assert [one.is_refused for one in balances] == [False, True, False]
    assert await spent(budget) == 0
    assert await spent(budget, period="2026-11") == 0


async def test_settling_corrects(budget):
    """A call that cost less gives back, one that cost more takes more, even beyond the limit."""
    await budget.reserve([charge(800)])
    await budget.settle([charge(-300)])
    assert await spent(budget) == 500

    await budget.settle([charge(700)])

    assert await spent(budget) == 1_200
    (refused,) = await budget.reserve([charge(1)])
    assert refused.is_refused


async def test_what_is_never_settled_stays_spent(budget):
    """A process that dies in a call leaves its reservation behind."""
    await budget.reserve([charge(900)])

    (refused,) = await budget.reserve([charge(200)])

    assert refused.is_refused


async def test_settling_what_is_not_there(budget):
    """A correction that takes away begins no figure; one that adds does."""
    await budget.settle([charge(-300)])
    assert await spent(budget) in (None, 0)

    await budget.settle([charge(50), charge(-300, "client:a")])

    assert await spent(budget) == 50
    assert await spent(budget, "client:a") in (None, 0)


async def test_no_figure_is_not_nothing(budget):
    """Who asks can tell an account that nobody has charged from one that has spent nothing."""
    await budget.reserve([charge(0, "client:a")])

    assert await budget.figures([charge(0), charge(0, "client:a")]) == (None, 0)
    assert await budget.figures([]) == ()


async def test_what_costs_nothing_here_is_not_refused(budget):
    """An account that is overdrawn refuses what adds to it, not what does not."""
    await budget.settle([charge(2 * LIMIT)])

    balances = await budget.reserve([charge(0), charge(5, "client:a")])

    assert [one.is_refused for one in balances] == [False, False]


async def test_each_mark_is_told_once(budget):
    """75, 90 and 100 per cent are each told by one caller, and not again after a correction."""
    marks = [await told(budget, charge(amount)) for amount in (700, 60, 10, 140, 5, 200, 300)]
    await budget.settle([charge(-500)])
    again = await told(budget, charge(500))

    assert marks == [[], [75], [], [90], [], [100], []]
    assert again == []


async def test_a_mark_is_claimed_by_one(budget):
    """Who claims a mark learns what was claimed before; a reservation by itself claims none."""
    await budget.reserve([charge(950)])
    claims = [await budget.claim(charge(0), mark) for mark in (75, 90, 75, 100)]
    (balance,) = await budget.reserve([charge(0)])

    assert claims == [0, 75, 90, 90]
    assert (balance.spent, balance.told) == (950, 100)


async def test_a_higher_limit_has_its_own_marks(budget):
    """Marks are told again under a higher limit, once, and not under a lower one."""
    low, high = LIMIT // 10, LIMIT
    calls = ((80, low), (30, low), (1, high), (680, high), (1, low), (1, high), (140, high))
    marks = [await told(budget, charge(amount, limit=limit)) for amount, limit in calls]

    assert marks == [[75], [100], [], [75], [90, 100], [], []]


async def test_a_figure_is_raised_to_what_it_should_be(budget):
    """It begins with the amount, grows to a larger one, and never falls; marks told before stay told."""
    await budget.raise_to(charge(400))
    await budget.raise_to(charge(800), 75)
    await budget.raise_to(charge(200))
    marks = [await told(budget, charge(50)), await told(budget, charge(50))]

    assert marks == [[], [90]]
    assert await spent(budget) == 900


@given(
    amounts=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    costs=st.lists(st.integers(0, 400), min_size=30, max_size=30),
    seed=st.integers(0, 2**32),
)
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_never_beyond_the_limit(valkey, amounts, costs, seed):
    """However reservations and their ends are mixed, what is reserved and spent stays within the limit.

    All implementations give the same verdicts in the same order, also when an audit raises the figure.
    """

    async def run(budget):
        chance = random.Random(seed)
        verdicts, held, own = [], [], 0
        for amount, cost in zip(amounts, costs, strict=False):
            (balance,) = await budget.reserve([charge(amount, "h", period="p")])
            verdicts.append((balance.is_refused, balance.spent, balance.told))
            if chance.random() < 0.3:
                verdicts.append(await budget.claim(charge(0, "h", period="p"), chance.choice((75, 90, 100))))
            if not balance.is_refused:
                own += amount
                held.append((amount, min(cost, amount)))
            assert balance.spent == own <= LIMIT
            if held and chance.random() < 0.5:
                reserved, price = held.pop(chance.randrange(len(held)))
                own += price - reserved
                await budget.settle([charge(price - reserved, "h", period="p")])
            if chance.random() < 0.1:
                own = max(own, target := min(LIMIT, own + chance.randrange(-50, 50)))
                await budget.raise_to(charge(target, "h", period="p"), chance.choice((0, 0, 75)))
            assert await budget.figures([charge(0, "h", period="p")]) == (own,)
        return verdicts

    async def all_of_them():
        client = await open_redis(valkey.url, timeout_s=PATIENT_S)
        try:
            memory, redis = MemoryBudget(SystemClock()), RedisBudget(client)
            verdicts = [await run(memory), await run(redis)]
            valkey.flushall()
            return [*verdicts, await run(SharedBudget(RedisBudget(client), SystemClock()))]
        finally:
            await client.aclose()

    valkey.flushall()
    memory, redis, shared = asyncio.run(all_of_them())

    assert memory == redis == shared


async def test_many_at_once_stay_within_the_limit(valkey):
    """Two processes that reserve as fast as they can get exactly as much as there is."""
    clients = [await open_redis(valkey.url, timeout_s=PATIENT_S) for _ in range(2)]
    budgets = [RedisBudget(client) for client in clients]

    facts = Facts()
    cashiers = [Cashier(budget, facts) for budget in budgets]

    outcomes = await asyncio.gather(*(cashiers[n % 2].reserve([charge(7)]) for n in range(400)))

    granted = sum(verdict.is_made for verdict in outcomes)
    assert granted == LIMIT // 7
    assert await spent(budgets[0]) == 7 * granted
    marks = sorted(getattr(event, "percent", 100) for event in facts.events)
    for client in clients:
        await client.aclose()
    assert marks == [75, 90, 100]


async def test_figures_of_past_periods_are_dropped():
    """The memory store keeps no more than what is going on."""
    budget = MemoryBudget(SystemClock())
    over = msgspec.structs.replace(charge(5, "old"), ends_at=1.0)
    await budget.reserve([over])

    await budget.reserve([charge(5)])

    assert list(budget._figures) == [("all", "2026-11-25")]


async def test_figures_outlive_their_period_by_a_day(valkey):
    """Redis forgets a figure by itself, but not before the last one has settled."""
    client = await open_redis(valkey.url, timeout_s=PATIENT_S)
    await RedisBudget(client).reserve([charge(5)])
    await client.aclose()

    (key,) = valkey.command("KEYS", "amos:*budget*")
    assert 86_400 < valkey.command("TTL", key) <= 86_400 + 3_600


async def test_an_outage_says_so():
    """Without Redis every method raises BudgetStoreUnavailable, soon."""
    async with Valkey() as server:
        client = await open_redis(server.url, timeout_s=PATIENT_S)
        budget = RedisBudget(client)
        server.kill()

        one = [charge(1)]
        attempts = (
            *(budget.reserve(one), budget.settle(one), budget.figures(one)),
            *(budget.raise_to(*one), budget.claim(*one, 75)),
        )
        for attempt in attempts:
            with pytest.raises(BudgetStoreUnavailable):
                await asyncio.wait_for(attempt, 2.0)
        await client.aclose()


async def test_a_redis_that_lost_its_memory_gives_no_budget_anew(valkey):
    """What this process knows to be spent counts on when Redis comes back empty."""
    client = await open_redis(valkey.url, timeout_s=PATIENT_S)
    budget = RedisBudget(client)
    await budget.reserve([charge(900), charge(900, "client:a")])

    valkey.flushall()
    balances = await budget.reserve([charge(200), charge(200, "client:b")])
    (rest,) = await budget.reserve([charge(100)])
    await client.aclose()

    assert [(one.is_refused, one.spent) for one in balances] == [(True, 900), (False, 0)]
    assert (rest.is_refused, rest.spent) == (False, LIMIT)


async def test_a_claim_on_a_redis_that_lost_its_memory_gives_no_budget_anew(valkey):
    """The figure that it begins is the one this process knows, and what it claimed stays claimed."""
    client = await open_redis(valkey.url, timeout_s=PATIENT_S)
    budget = RedisBudget(client)
    await budget.reserve([charge(900)])

    valkey.flushall()
    await budget.claim(charge(900), 90)
    figure = await spent(budget)
    valkey.flushall()
    (balance,) = await budget.reserve([charge(0)])
    await client.aclose()

    assert figure == 900
    assert (balance.spent, balance.told) == (900, 90)


async def test_a_seed_that_did_not_reach_redis_is_not_lost():
    """A process that started while Redis was away begins with what was spent before, not with nothing."""
    async with Valkey() as valkey:
        client = await open_redis(valkey.url, timeout_s=PATIENT_S)
        budget = RedisBudget(client)
        valkey.kill()
        with pytest.raises(BudgetStoreUnavailable):
            await budget.raise_to(charge(900))
        await valkey.start()
        await until(lambda: client.outage is None, 10.0, lambda: "still out of reach")

        (refused,) = await budget.reserve([charge(200)])
        await client.aclose()

    assert (refused.is_refused, refused.spent) == (True, 900)


async def test_what_is_known_of_past_periods_is_dropped(valkey):
    """A process that runs for years remembers the figures of the running periods only."""
    client = await open_redis(valkey.url, timeout_s=PATIENT_S)
    budget = RedisBudget(client)
    over = msgspec.structs.replace(charge(5, "old"), ends_at=SystemClock().now() - 90_000)
    await budget.reserve([over])

    await budget.reserve([charge(5)])
    await client.aclose()

    assert len(budget._known) == 1
