"""What is counted is held against what is recorded, and a count that has forgotten something is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.budget_audit import LOOK_AGAIN_S, LOOK_S, BudgetAudit
from orchestrator.budget_policy import BudgetPolicy
from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Envelope, Frame
from orchestrator.facts import BudgetStopped, BudgetWarned, UsageReconciled
from storage.memory_budget import MemoryBudget
from tests.support import spending
from tests.support.clock import FakeClock, LoopClock
from tests.support.spending import NOON, Down, spent

EVERYTHING = BudgetPolicy(
    usd_micros_per_day=1_000,
    usd_micros_per_month=9_000,
    client_usd_micros_per_day=500,
    client_usd_micros_per_month=5_000,
    units_per_day={"tavily": 10},
    units_per_month={"tavily": 100, "jina": 1_000},
    units={"tavily": "credits", "jina": "tokens"},
)
"""Seven kinds of accounts."""

DAILY = BudgetPolicy(usd_micros_per_day=1_000)

NOT_OF_MARKS = UsageReconciled(
    provider="tavily", unit="credits", since=NOON, reported=1.0, recorded=1.0, counter=1.0, total=1.0
)
"""What the stream of a provider's account has as well."""


class Record:
    """What the record says: `spent` today, ten times that in the month, half of it assumed."""

    def __init__(self) -> None:
        self.spent = 100
        self.clients = {"ann": 60, "bob": 40}
        self.error: Exception | None = None
        self.told: list[Any] = []
        self.windows: list[tuple[float, str]] = []

    async def report(self, name, question):
        """A cost report of a day or a month."""
        assert name == "cost"
        self.windows.append((question.until - question.since, question.by))
        if self.error:
            raise self.error
        times = 1 if question.until - question.since < 86_400 else 10
        amount = times * self.spent / 1_000_000
        return {
            **_halves(times * self.spent),
            "units": [
                {"provider": "tavily", "unit": "credits", "spent": amount, "assumed": amount},
                {"provider": "jina", "unit": "tokens", "spent": 0.0, "assumed": 5.0},
            ],
            "rows": [{"client": name, **_halves(times * sum_)} for name, sum_ in self.clients.items()]
            if question.by
            else [],
        }

    async def execution(self, stream):
        """The facts of an account."""
        envelopes = tuple(Envelope(1, NOON, event) for event in self.told)
        return [Frame(instance="i", instance_seq=1, stream=stream, recorded_at=NOON, events=envelopes)]


def _halves(amount):
    return {"spent_usd_micros": amount - amount // 2, "assumed_usd_micros": amount // 2}


@pytest.fixture
def clock():
    """Noon of a day in November."""
    return FakeClock(now=NOON)


@pytest.fixture
def store(clock):
    """What is counted."""
    return MemoryBudget(clock)


@pytest.fixture
def record():
    """What is recorded."""
    return Record()


@pytest.fixture
def audit(store, record, clock):
    """The audit of a daily budget."""
    return BudgetAudit(store, DAILY, record, clock)


def figures(store):
    """What the store knows."""
    return {key: figure.spent for key, figure in store._figures.items()}


async def test_every_account_begins_with_what_it_has_spent(store, record, clock):
    """The installation, each client, and each provider in its own unit; two reports for all of them."""
    await BudgetAudit(store, EVERYTHING, record, clock).begin()

    assert figures(store) == {
        ("all", "2026-11-25"): 100,
        ("all", "2026-11"): 1_000,
        ("client:ann", "2026-11-25"): 60,
        ("client:ann", "2026-11"): 600,
        ("client:bob", "2026-11-25"): 40,
        ("client:bob", "2026-11"): 400,
        ("provider:tavily", "2026-11-25"): 200,
        ("provider:tavily", "2026-11"): 2_000,
        ("provider:jina", "2026-11"): 5_000_000,
    }
    assert record.windows == [(43_200.0, "client"), (24 * 86_400 + 43_200.0, "client")]


async def test_without_a_limit_nobody_asks(store, record, clock):
    """The record is not read for nothing."""
    await BudgetAudit(store, BudgetPolicy(calls_per_minute={"tavily": 1}), record, clock).begin()

    assert record.windows == []


@pytest.mark.parametrize("counts_on", [None, Down()])
async def test_a_start_goes_on_without_record_or_store(store, record, clock, counts_on):
    """Budgets then begin with what is known."""
    record.error = None if counts_on else EventLogUnavailable("Not yet.")

    await BudgetAudit(counts_on or store, EVERYTHING, record, clock).begin()

    assert figures(store) == {}


async def test_a_lack_is_made_good_when_it_is_seen_twice(audit, store, record):
    """The smaller of both is added: the record may have estimates that are settled by now."""
    await audit.look()
    record.spent = 500
    await audit.look()
    assert spent(store) == 100
    record.spent = 450

    await audit.look()
    assert spent(store) == 450
    await audit.look()

    assert spent(store) == 450


async def test_of_a_lack_that_grows_what_was_seen_twice_is_made_good(audit, store, record):
    """Not what only the second look has seen: it may be calls under way. It is not seen twice by then."""
    await audit.look()
    counted = []
    for recorded in (500, 700, 800, 800):
        record.spent = recorded
        await audit.look()
        counted.append(spent(store))

    assert counted == [100, 500, 700, 800]


async def test_a_lack_that_passes_is_none(audit, store, record):
    """A look may meet calls under way; the next one does not see them any more."""
    await audit.look()
    for recorded in (300, 100, 300, 100):
        record.spent = recorded
        await audit.look()

    assert spent(store) == 100


async def test_what_is_counted_too_much_stays(audit, store, record):
    """A store knows of calls that are not recorded yet."""
    await audit.look()
    record.spent = 10
    for _ in range(3):
        await audit.look()

    assert spent(store) == 100


async def test_a_period_that_ends_between_two_looks(audit, store, record, clock):
    """What was lacking yesterday is not put on today's account."""
    await audit.look()
    record.spent = 500
    await audit.look()
    clock.advance(43_200.0)
    record.spent = 0

    await audit.look()
    await audit.look()

    assert figures(store) == {("all", "2026-11-25"): 100}


@pytest.mark.parametrize(
    ("told", "marks"),
    [
        ([], [75]),
        ([BudgetWarned(account="all", period="2026-11-25", percent=75, spent=760, limit=1_000)], []),
        ([BudgetWarned(account="all", period="2026-11-24", percent=75, spent=760, limit=1_000)], [75]),
        ([BudgetWarned(account="all", period="2026-11-25", percent=75, spent=760, limit=900)], [75]),
        ([BudgetStopped(account="all", period="2026-11-25", spent=999, limit=2_000)], []),
        ([NOT_OF_MARKS], [75]),
    ],
)
async def test_a_warning_survives_the_process_that_gave_it(audit, store, record, told, marks):
    """A process that starts again tells a mark only if nobody has told it for this period and limit."""
    record.spent, record.told = 780, told
    await audit.begin()

    assert await spending.told(store, DAILY.of_all[0].sum_of("", 10, NOON)) == marks


async def test_it_looks_again_and_again(record):
    """Every minute; soon if something was lacking; and after a failure as if nothing had been seen."""
    clock = LoopClock()
    store = MemoryBudget(clock)
    audit = BudgetAudit(store, DAILY, record, clock)

    async with audit.running():
        await asyncio.sleep(LOOK_S + 0.1)
        assert len(record.windows) == 1
        record.spent = 200
        await asyncio.sleep(LOOK_S)
        assert len(record.windows) == 2
        await asyncio.sleep(LOOK_AGAIN_S)
        assert len(record.windows) == 3
        record.error = EventLogUnavailable("Gone.")
        await asyncio.sleep(LOOK_S)
        record.error = ZeroDivisionError()
        await asyncio.sleep(LOOK_S)
        record.error, record.spent = None, 300
        await asyncio.sleep(LOOK_S + LOOK_AGAIN_S)
    looks = len(record.windows)
    await asyncio.sleep(2 * LOOK_S)

    assert list(figures(store).values()) == [300]
    assert len(record.windows) == looks


async def test_who_asks_sees_both_figures(store, record, clock):
    """What is counted and what is recorded, `None` where nothing is counted."""
    audit = BudgetAudit(store, DAILY, record, clock)
    (before,) = await audit.lines()
    await store.settle([DAILY.of_all[0].sum_of("", 70, NOON)])
    (after,) = await audit.lines()

    assert (before.counted, before.recorded, before.lack) == (None, 100, 100)
    assert (after.counted, after.recorded, after.lack) == (70, 100, 30)
