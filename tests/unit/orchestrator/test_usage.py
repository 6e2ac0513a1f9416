"""What a client has used is read for all clients at once, seldom, and never waited for long."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.errors import EventLogUnavailable
from orchestrator.usage import FRESH_S, READ_S_MAX, Usage
from tests.support.clock import LoopClock


class Record:
    """Adds up after `took_s`, or raises."""

    def __init__(self, took_s: float = 0.1, failure: Exception | None = None) -> None:
        self.took_s = took_s
        self.failure = failure
        self.reads: list[tuple[float, float]] = []

    async def sums(self, need, since, until):
        """Two clients, one of which has used something it was not billed for yet."""
        self.reads.append((since, until))
        await asyncio.sleep(self.took_s)
        if self.failure is not None:
            raise self.failure
        return {("ann", "search"): (8_000, 0), ("ann", "research"): (0, 880_000), ("bob", "map"): (1, 2)}


def usage_of(record: Record, **policy: int) -> Usage:
    """Over the record, with these budgets."""
    return Usage(record, BudgetPolicy(**policy), LoopClock())  # type: ignore[arg-type]


async def test_spent_and_assumed_are_added_up_by_operation():
    """With the client's own limits; a client nobody knows has used nothing."""
    usage = usage_of(Record(), client_usd_micros_per_month=5_000_000)

    ann, nobody = await usage.of("ann"), await usage.of("nobody")

    assert ann.usd_micros == {"search": 8_000, "research": 880_000}
    assert (ann.limit_per_month, ann.limit_per_day) == (5_000_000, None)
    assert nobody.usd_micros == {}


async def test_many_who_ask_cost_one_read():
    """At once and for some seconds; the window begins with the month."""
    record = Record()
    usage = usage_of(record)

    await asyncio.gather(*(usage.of(f"client {n}") for n in range(100)))
    await asyncio.sleep(FRESH_S - 1)
    await usage.of("ann")
    assert len(record.reads) == 1
    await asyncio.sleep(2)
    await usage.of("ann")

    assert len(record.reads) == 2
    since, until = record.reads[0]
    assert 0 < until - since < 31 * 86_400


async def test_a_slow_database_is_not_waited_for():
    """All who ask are told so in time, and only one read at a time is tried."""
    record = Record(took_s=3_600)
    usage = usage_of(record)
    begun = asyncio.get_running_loop().time()

    told = await asyncio.gather(*(usage.of("ann") for _ in range(5)), return_exceptions=True)

    assert asyncio.get_running_loop().time() - begun == pytest.approx(READ_S_MAX)
    assert all(isinstance(error, EventLogUnavailable) for error in told)
    assert len(record.reads) == 1
    record.took_s = 0
    assert (await usage.of("ann")).usd_micros


async def test_a_failure_is_told_and_not_kept():
    """Who asks next has a new try."""
    record = Record(failure=EventLogUnavailable("Away."))
    usage = usage_of(record)
    with pytest.raises(EventLogUnavailable):
        await usage.of("ann")

    record.failure = None
    assert (await usage.of("ann")).usd_micros
