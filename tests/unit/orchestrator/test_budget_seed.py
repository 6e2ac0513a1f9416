"""A budget survives the process that kept it: what the record says was spent counts from the start."""

from __future__ import annotations

import pytest

from orchestrator.budget_seed import seed_budgets
from orchestrator.errors import BudgetStoreUnavailable, EventLogUnavailable
from orchestrator.filters.budget import BudgetPolicy
from storage.memory_budget import MemoryBudget
from tests.support.clock import FakeClock

NOON = 1_795_608_000.0
"""2026-11-25 12:00 UTC."""

BOTH = BudgetPolicy(usd_micros_per_day=1_000, usd_micros_per_month=9_000, client_usd_micros_per_day=5)


class Reports:
    """What the record says of any window, and which were asked for."""

    def __init__(self, error=None):
        self.windows = []
        self._error = error

    async def report(self, name, question):
        """A micro-dollar an hour, half of it assumed."""
        assert name == "cost"
        self.windows.append((question.since, question.until))
        if self._error:
            raise self._error
        hours = round(question.until - question.since) // 3600
        return {"spent_usd_micros": hours - hours // 2, "assumed_usd_micros": hours // 2}


class Down:
    """A store out of reach."""

    async def seed(self, charge):
        """Fail."""
        raise BudgetStoreUnavailable("Down.")


@pytest.fixture
def clock():
    """Noon of a day in November."""
    return FakeClock(now=NOON)


@pytest.fixture
def store(clock):
    """What is spent."""
    return MemoryBudget(clock)


def figures(store):
    """What the store knows."""
    return {key: figure.spent for key, figure in store._figures.items()}


async def test_day_and_month_begin_with_what_they_cost(clock, store):
    """Twelve hours of the day, 24 days and a half of the month; a store out of reach is passed by."""
    await seed_budgets((Down(), store), BOTH, Reports(), clock)

    assert figures(store) == {("all", "2026-11-25"): 12, ("all", "2026-11"): 24 * 24 + 12}


async def test_without_a_budget_nobody_asks(clock, store):
    """The record is not read for nothing."""
    reports = Reports()

    await seed_budgets((store,), BudgetPolicy(client_usd_micros_per_day=5), reports, clock)

    assert reports.windows == []


async def test_a_record_that_cannot_be_read_stops_no_start(clock, store):
    """Budgets then begin with what the stores know."""
    await seed_budgets((store,), BOTH, Reports(EventLogUnavailable("Not yet.")), clock)

    assert figures(store) == {}
