"""The contract of budget stores: never beyond a limit, all accounts or none, each mark told once."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.budget_ports import Balance, Charge
from orchestrator.clock import SystemClock
from orchestrator.errors import BudgetStoreUnavailable
from storage.memory_budget import MemoryBudget
from storage.redis_budget import RedisBudget
from storage.redis_client import open_redis
from tests.support.processes import until
from tests.support.valkey import Valkey

PATIENT_S = 5.0
"""A test machine may be busy."""

LIMIT = 1_000


@pytest.fixture(params=["memory", "valkey", "sentinels", "cluster"])
async def budget(request):
    """Every implementation in turn."""
    if request.param == "memory":
        yield MemoryBudget(SystemClock())
        return
    client = await open_redis(request.getfixturevalue(request.param).url, timeout_s=PATIENT_S)
    yield RedisBudget(client)
    await client.aclose()


def charge(amount, account="all", *, period="2026-11-25", limit=LIMIT):
    """A sum on an account whose period ends in an hour."""
    ends_at = SystemClock().now() + 3_600
    return Charge(account=account, period=period, ends_at=ends_at, limit=limit, amount=amount)


async def spent(budget, account="all", period="2026-11-25"):
    """The figure of an account."""
    (balance,) = await budget.reserve([charge(0, account, period=period, limit=10**12)])
    return balance.spent


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


async def test_settling_what_is_not_there_does_nothing(budget):
    """The correction of a figure that is gone does not begin a new one."""
    await budget.settle([charge(-300)])

    assert await spent(budget) == 0


async def test_each_mark_is_told_once(budget):
    """75, 90 and 100 per cent are each told to one caller, and not again after a correction."""
    marks = []
    for amount in (700, 60, 10, 140, 5, 200, 300):
        (balance,) = await budget.reserve([charge(amount)])
        marks.append(balance.mark)
    await budget.settle([charge(-500)])
    (again,) = await budget.reserve([charge(500)])

    assert marks == [0, 75, 0, 90, 0, 100, 0]
    assert again.mark == 0


async def test_a_figure_is_seeded_once(budget):
    """What was spent before is taken over only where nothing is known yet."""
    await budget.seed(charge(400))
    await budget.seed(charge(900))
    (balance,) = await budget.reserve([charge(100)])

    assert balance.spent == 500


@given(
    amounts=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    costs=st.lists(st.integers(0, 400), min_size=30, max_size=30),
    seed=st.integers(0, 2**32),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_never_beyond_the_limit(valkey, amounts, costs, seed):
    """However reservations and their ends are mixed, what is reserved and spent stays within the limit.

    Both implementations give the same verdicts in the same order.
    """

    async def run(budget):
        chance = random.Random(seed)
        verdicts, held, own = [], [], 0
        for amount, cost in zip(amounts, costs, strict=False):
            (balance,) = await budget.reserve([charge(amount, "h", period="p")])
            verdicts.append((balance.is_refused, balance.spent, balance.mark))
            if not balance.is_refused:
                own += amount
                held.append((amount, min(cost, amount)))
            assert balance.spent == own <= LIMIT
            if held and chance.random() < 0.5:
                reserved, price = held.pop(chance.randrange(len(held)))
                own += price - reserved
                await budget.settle([charge(price - reserved, "h", period="p")])
        return verdicts

    async def both():
        client = await open_redis(valkey.url, timeout_s=PATIENT_S)
        try:
            return await run(MemoryBudget(SystemClock())), await run(RedisBudget(client))
        finally:
            await client.aclose()

    valkey.flushall()
    memory, redis = asyncio.run(both())

    assert memory == redis


async def test_many_at_once_stay_within_the_limit(valkey):
    """Two processes that reserve as fast as they can get exactly as much as there is."""
    clients = [await open_redis(valkey.url, timeout_s=PATIENT_S) for _ in range(2)]
    budgets = [RedisBudget(client) for client in clients]

    outcomes = await asyncio.gather(*(budgets[n % 2].reserve([charge(7)]) for n in range(400)))

    granted = sum(not balance.is_refused for (balance,) in outcomes)
    assert granted == LIMIT // 7
    assert await spent(budgets[0]) == 7 * granted
    marks = sorted(balance.mark for (balance,) in outcomes if balance.mark)
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

        for attempt in (budget.reserve([charge(1)]), budget.settle([charge(1)]), budget.seed(charge(1))):
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


async def test_a_seed_that_did_not_reach_redis_is_not_lost():
    """A process that started while Redis was away begins with what was spent before, not with nothing."""
    async with Valkey() as valkey:
        client = await open_redis(valkey.url, timeout_s=PATIENT_S)
        budget = RedisBudget(client)
        valkey.kill()
        with pytest.raises(BudgetStoreUnavailable):
            await budget.seed(charge(900))
        await valkey.start()
        await until(lambda: client.outage is None, 10.0, lambda: "still out of reach")

        (refused,) = await budget.reserve([charge(200)])
        await client.aclose()

    assert (refused.is_refused, refused.spent) == (True, 900)


async def test_what_is_known_of_past_periods_is_dropped(valkey):
    """A process that runs for years remembers the figures of the running periods only."""
    client = await open_redis(valkey.url, timeout_s=PATIENT_S)
    budget = RedisBudget(client)
    over = msgspec.structs.replace(charge(5, "old"), ends_at=SystemClock().now() - 1)
    await budget.reserve([over])

    await budget.reserve([charge(5)])
    await client.aclose()

    assert len(budget._known) == 1
