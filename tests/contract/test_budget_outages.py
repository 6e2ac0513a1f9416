"""Budgets of processes that lose Redis and find it again: no sum is lost, no mark told twice or never."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from orchestrator.budget_ports import Charge
from orchestrator.clock import SystemClock
from storage.redis_budget import RedisBudget
from storage.redis_client import open_redis
from storage.shared_budget import SharedBudget
from tests.support.cutting_way import CuttingWay
from tests.support.processes import until
from tests.support.spending import told
from tests.support.valkey import Valkey

PATIENT_S = 5.0
"""A test machine may be busy."""

LIMIT = 1_000


def charge(amount, account="all"):
    """A sum on an account whose period ends in an hour."""
    ends_at = SystemClock().now() + 3_600
    return Charge(account=account, period="2026-11-25", ends_at=ends_at, limit=LIMIT, amount=amount)


async def spent(budget, account="all"):
    """The figure of an account."""
    (figure,) = await budget.figures([charge(0, account)])
    return figure


@contextlib.asynccontextmanager
async def two_processes(server, way=None):
    """Two counts on one Redis, as two processes have them; the second goes its own way if there is one."""
    urls = server.url, server.url if way is None else f"redis://127.0.0.1:{way.port}/0"
    clients = [await open_redis(url, timeout_s=PATIENT_S) for url in urls]
    yield [SharedBudget(RedisBudget(client), SystemClock()) for client in clients]
    for client in clients:
        await client.aclose()


async def back(*budgets):
    """Wait until Redis is in reach of all."""
    await until(
        lambda: not any(budget._shared.is_away for budget in budgets), 10.0, lambda: "still out of reach"
    )


async def test_alone_a_process_goes_on_from_what_all_have_spent():
    """Redis dies: what is left for each is what was left for all, as far as it has seen."""
    async with Valkey() as server, two_processes(server) as (ours, theirs):
        await theirs.reserve([charge(600)])
        await ours.reserve([charge(200)])
        server.kill()

        (fits,) = await ours.reserve([charge(200)])
        (refused,) = await ours.reserve([charge(1)])

    assert (fits.is_refused, fits.spent) == (False, LIMIT)
    assert refused.is_refused


@pytest.mark.parametrize("forgets", [True, False])
async def test_what_was_spent_alone_is_paid_in(forgets):
    """When Redis is back it has what both have spent meanwhile, whether it remembers before or not."""
    async with Valkey() as server, two_processes(server) as (ours, theirs):
        await theirs.reserve([charge(100)])
        await ours.reserve([charge(200)])
        await theirs.reserve([charge(0)])
        if not forgets:
            server.command("SAVE")
        server.kill()
        await ours.reserve([charge(50)])
        await ours.settle([charge(-20), charge(-40)])  # of a call before, and of this one
        await theirs.reserve([charge(10, "client:b"), charge(10)])
        await server.start()
        await back(ours, theirs)

        await asyncio.gather(*(budget.reserve([charge(0)]) for budget in (ours, theirs)))

        assert await spent(theirs) == 300 + 50 - 60 + 10
        assert await spent(ours, "client:b") == 10


async def test_a_mark_told_alone_is_not_told_again():
    """What a process warned of during an outage is known to all afterwards."""
    async with Valkey() as server, two_processes(server) as (ours, theirs):
        await ours.reserve([charge(700)])
        server.kill()
        alone = await told(ours, charge(100))
        await server.start()
        await back(ours, theirs)

        await ours.reserve([charge(0)])
        after = await told(theirs, charge(10))
        counted = await spent(theirs)

    assert (alone, after) == ([75], [])
    assert counted == 810


async def test_a_mark_of_which_the_reply_is_lost_is_told_by_the_next(valkey):
    """A reservation reaches two marks, and whoever made it never hears of it: the next caller tells both."""
    async with CuttingWay(valkey.port) as way, two_processes(valkey, way) as (theirs, ours):
        await ours.reserve([charge(0)])
        await theirs.reserve([charge(700)])
        way.cut(b"EVALSHA", nth=1, delivered=True)

        lost = await told(ours, charge(210))
        found = [await told(theirs, charge(amount)) for amount in (10, 10, 500, 500)]

    assert way.cuts == 1
    assert (lost, found) == ([], [[75, 90], [], [100], []])


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_claim_of_which_the_reply_is_lost_is_told_by_its_maker(valkey, delivered):
    """Nobody else tells the mark afterwards, whether Redis has heard of the claim or not."""
    async with CuttingWay(valkey.port) as way, two_processes(valkey, way) as (theirs, ours):
        await ours.reserve([charge(700)])
        await ours.claim(charge(0), 0)
        way.cut(b"EVALSHA", nth=2, delivered=delivered)

        first = await told(ours, charge(60))
        await back(ours)
        found = [await told(budget, charge(10)) for budget in (ours, theirs)]

    assert way.cuts == 1
    assert (first, found) == ([75], [[], []])


async def test_a_sum_that_may_have_arrived_is_rather_counted_twice(valkey):
    """Redis hangs in a settlement: what would be added is added later, what would be taken is not."""
    async with two_processes(valkey) as (ours, _):
        await ours.reserve([charge(500), charge(500, "client:a")])
        ours._shared._client._timeout_s = 0.05
        valkey.pause()
        try:
            await ours.settle([charge(-300), charge(100, "client:a")])
        finally:
            valkey.resume()
        await back(ours)
        await ours.reserve([charge(0)])

        assert await spent(ours) in (200, 500)
        assert await spent(ours, "client:a") in (600, 700)
