"""What a process has counted alone is paid in once, whatever cuts the payment short."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from orchestrator.budget_ports import Charge
from orchestrator.errors import BudgetStoreUnavailable
from storage.memory_budget import MemoryBudget
from storage.redis_budget import Known
from storage.shared_budget import SharedBudget
from tests.support.clock import FakeClock
from tests.support.spending import told

LIMIT = 1_000


class Far:
    """A shared count that can be out of reach, or slow, and may fail to take marks."""

    def __init__(self, clock):
        self.count = MemoryBudget(clock)
        self.is_away = False
        self.is_slow = False
        self.takes_marks = True
        self.seen = {}

    def known(self, charge):
        """What was last seen of a figure."""
        return Known(*self.seen.get((charge.account, charge.period), (0, 0, 0.0)))

    async def _reach(self):
        if self.is_away:
            raise BudgetStoreUnavailable("Away.")
        if self.is_slow:
            await asyncio.Event().wait()

    async def _note(self, charges):
        marks = {(one.account, one.period): mark for one, mark in self.count.told()}
        for one, spent in zip(charges, await self.count.figures(charges), strict=True):
            key = one.account, one.period
            self.seen[key] = (spent or 0, marks.get(key, 0), one.ends_at)

    async def reserve(self, charges):
        """Count, if in reach."""
        await self._reach()
        balances = await self.count.reserve(charges)
        await self._note(charges)
        return balances

    async def claim(self, charge, mark):
        """Claim, if in reach."""
        await self._reach()
        before = await self.count.claim(charge, mark)
        await self._note([charge])
        return before

    async def settle(self, charges):
        """Correct, if in reach."""
        await self._reach()
        await self.count.settle(charges)
        await self._note(charges)

    async def figures(self, charges):
        """Tell, if in reach."""
        await self._reach()
        return await self.count.figures(charges)

    async def raise_to(self, charge, mark=0):
        """Raise, if in reach."""
        await self._reach()
        if not self.takes_marks:
            raise BudgetStoreUnavailable("Away.")
        await self.count.raise_to(charge, mark)


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def far(clock):
    """The count of all."""
    return Far(clock)


@pytest.fixture
def budget(far, clock):
    """The budget under test."""
    return SharedBudget(far, clock)


@pytest.fixture
def charge(clock):
    """Makes a sum on the account of all."""

    def make(amount):
        ends_at = clock.now() + 3_600
        return Charge(account="all", period="2026-11-25", ends_at=ends_at, limit=LIMIT, amount=amount)

    return make


async def test_a_payment_that_is_cut_short_is_made_later(budget, far, charge):
    """Whoever looked at the figures has left while the note was being paid in: it is not lost."""
    await budget.reserve([charge(100)])
    far.is_away = True
    await budget.reserve([charge(50)])
    far.is_away, far.is_slow = False, True
    looking = asyncio.create_task(budget.figures([charge(0)]))
    await asyncio.sleep(0.01)
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking
    far.is_slow = False

    assert await budget.figures([charge(0)]) == (150,)


async def test_a_mark_that_was_not_taken_leaves_no_old_figure_behind(budget, far, charge):
    """The second outage begins with what is known then, although the end of the first was not heard out."""
    await budget.reserve([charge(700)])
    far.is_away = True
    assert await told(budget, charge(100)) == [75]
    far.is_away, far.takes_marks = False, False
    await budget.reserve([charge(0)])
    far.takes_marks = True
    await budget.reserve([charge(150)])
    far.is_away = True

    (alone,) = await budget.reserve([charge(100)])

    assert (alone.is_refused, alone.spent) == (True, 950)


@pytest.mark.parametrize("paid", [0, 50])
async def test_an_outage_of_which_nothing_is_owed_leaves_no_old_figure_behind(budget, far, charge, paid):
    """What was counted alone has cost nothing: the next outage does not begin with the figure of then."""
    await budget.reserve([charge(100)])
    far.is_away = True
    await budget.reserve([charge(50)])
    await budget.settle([charge(paid - 50)])
    far.is_away = False
    await budget.reserve([charge(750 - paid)])
    far.is_away = True

    (alone,) = await budget.reserve([charge(200)])

    assert (alone.is_refused, alone.spent) == (True, 850)


async def test_a_stop_is_told_once_in_an_outage(budget, far, charge):
    """Refusals owe nothing; what was told of them is remembered all the same while Redis is away."""
    assert await told(budget, charge(LIMIT)) == [90]
    far.is_away = True

    assert [await told(budget, charge(1)) for _ in range(3)] == [[100], [], []]


async def test_a_stop_told_in_an_outage_is_not_told_again(budget, far, charge, clock):
    """Nothing is owed of it; what was told is told to the others all the same when Redis is back."""
    await told(budget, charge(LIMIT))
    far.is_away = True
    await told(budget, charge(1))
    far.is_away = False
    await budget.figures([charge(0)])

    assert await told(SharedBudget(far, clock), charge(1)) == []


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_happens_nothing_is_lost(clock, seed):
    """Calls of two processes, outages, looks that are cut short: at rest all that was spent is counted."""
    chance, far = random.Random(seed), Far(clock)
    budgets = [SharedBudget(far, clock) for _ in range(2)]
    spent, uncertain = 0, 0

    def charge(amount):
        return Charge(
            account="all", period="2026-11", ends_at=clock.now() + 3_600, limit=LIMIT, amount=amount
        )

    async def call(budget):
        nonlocal spent
        estimate, cost = chance.randint(1, 30), chance.randint(0, 40)
        (balance,) = await budget.reserve([charge(estimate)])
        if not balance.is_refused:
            await asyncio.sleep(chance.random() / 100)
            await budget.settle([charge(cost - estimate)])
            spent += cost

    async def look(budget):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await budget.figures([charge(0)])

    for _ in range(40):
        far.is_away, far.is_slow = chance.random() < 0.4, False
        calls = [asyncio.create_task(call(chance.choice(budgets))) for _ in range(chance.randint(0, 6))]
        await asyncio.sleep(chance.random() / 100)
        far.is_away = chance.random() < 0.4
        await asyncio.gather(*calls)
        if chance.random() < 0.3:
            owed = [sum(one.amount for one in budget._owed.values()) for budget in budgets]
            far.is_slow = True
            await asyncio.gather(*map(look, budgets))
            uncertain += sum(max(0, -amount) for amount in owed)
    far.is_away = far.is_slow = False
    figures = [await budget.figures([charge(0)]) for budget in budgets]
    (counted,) = await budgets[0].figures([charge(0)])

    assert spent <= counted <= spent + uncertain, figures
