"""A call that is cut short while money is taken or given back leaves nothing counted that it did not cost."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.cashier import Cashier
from orchestrator.events import Cost
from tests.support.spending import DAILY, ESTIMATE, Spending, Upstream, spent


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


class Slow:
    """A store whose exchanges have their effect at once and are answered when `answers` is set."""

    def __init__(self, store):
        self._store = store
        self.answers = asyncio.Event()
        self.asked = asyncio.Event()

    async def reserve(self, charges):
        """Reserve, and say so later."""
        return await self._later(await self._store.reserve(charges))

    async def settle(self, charges):
        """Settle, but only when it may answer."""
        await self._later(None)
        await self._store.settle(charges)

    async def _later(self, reply):
        self.asked.set()
        await self.answers.wait()
        return reply


async def cut(task):
    """Cancel a call and wait for its end."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def once(condition):
    """Let others run until the condition holds; fails if it does not come to."""
    for _ in range(20):
        if condition():
            return
        await asyncio.sleep(0)
    assert condition()


async def settled(store, figure):
    """Let others run until the figure is this; fails if it does not come to be."""
    await once(lambda: spent(store) == figure)


async def test_a_reservation_whose_call_is_cut_off_is_given_back(make, call, store):
    """The deadline comes while the reservation is on its way: nobody is called, and nothing stays counted."""
    slow, upstream = Slow(store), Upstream()
    task = asyncio.ensure_future(make(counts_on=slow)(call(), upstream))
    await slow.asked.wait()

    await cut(task)
    assert spent(store) == 100
    slow.answers.set()

    await settled(store, 0)
    assert upstream.calls == 0


async def test_a_call_cut_off_before_its_intent_is_durable_costs_nothing(make, call, store):
    """The attempt was not made, as its record says too."""
    upstream, cut_short = Upstream(), call()
    task = asyncio.ensure_future(make()(cut_short, upstream))
    await once(lambda: cut_short.trail.events)

    await cut(task)

    assert upstream.calls == 0
    await settled(store, 0)


async def test_an_answer_cut_off_at_its_settlement_is_settled(make, call, store):
    """What the call cost less than expected is given back, although nobody waits for that any more."""
    slow = Slow(store)
    slow.answers.set()
    upstream = Upstream(Cost(amount=1.0, unit="credits", usd_micros=40))

    async def then_hang(inner):
        slow.answers.clear()
        slow.asked.clear()
        return await upstream(inner)

    task = asyncio.ensure_future(make(counts_on=slow)(call(), then_hang))
    await once(lambda: upstream.calls and slow.asked.is_set())
    await cut(task)
    slow.answers.set()

    await settled(store, 40)


async def test_closing_waits_for_settlements(clock, facts, store):
    """A process that ends leaves no settlement of its own behind."""
    slow = Slow(store)
    await store.reserve([DAILY.of_all[0].charge("", ESTIMATE, clock.now())])
    cashier = Cashier(slow, facts)
    task = asyncio.ensure_future(cashier.settle([DAILY.of_all[0].sum_of("", -60, clock.now())]))
    await slow.asked.wait()
    await cut(task)

    asyncio.get_running_loop().call_later(1.0, slow.answers.set)
    await cashier.aclose()

    assert spent(store) == 40


async def test_a_store_that_never_answers_holds_nobody_for_ever(clock, facts, store):
    """After some seconds the call goes on uncounted."""
    begun = asyncio.get_running_loop().time()

    verdict = await Cashier(Slow(store), facts).reserve([DAILY.of_all[0].sum_of("", 1, clock.now())])

    assert (verdict.is_made, verdict.refused) == (False, None)
    assert asyncio.get_running_loop().time() - begun == pytest.approx(5.0)
