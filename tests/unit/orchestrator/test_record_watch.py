"""The look at the database: it costs who asks next to nothing, and tells outage, hang and success apart."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.errors import EventLogUnavailable
from orchestrator.health import record_health
from orchestrator.record_watch import FRESH_S, SLOW_S, WAIT_S, Recent, RecordWatch
from orchestrator.reports.totals import Standing
from tests.support.clock import LoopClock

AWAY = EventLogUnavailable("The event log is out of reach: the server cannot be reached.")


class Reports:
    """Answers after `delay_s`, or raises `failure`; counts the looks."""

    def __init__(self):
        self.delay_s = 0.001
        self.failure = None
        self.looks = 0
        self.calls, self.ratio = 20, 0.9
        self.spent = 5_000_000
        self.windows = []

    async def standing(self):
        """All is counted."""
        self.looks += 1
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        return Standing(position=7, counted_position=7)

    async def report(self, name, question):
        """The health of one provider in a quarter of an hour, and what a period has cost."""
        if name == "cost":
            self.windows.append((question.since, question.until))
            units = [{"provider": "tavily", "unit": "credits", "spent": 18.0, "assumed": 1.0}]
            return {"spent_usd_micros": self.spent - 1, "assumed_usd_micros": 1, "units": units}
        assert (name, question.until - question.since) == ("health", 900.0)
        return {"providers": [{"provider": "tavily", "calls": self.calls, "success_ratio": self.ratio}]}


@pytest.fixture
async def reports():
    """A database at hand."""
    return Reports()


@pytest.fixture
async def clock():
    """The clock of the loop, whose sleeps take no time."""
    return LoopClock()


@pytest.fixture
async def watch(reports, clock):
    """What looks at it."""
    budget = BudgetPolicy(usd_micros_per_day=10_000_000, client_usd_micros_per_day=1)
    watch = RecordWatch(reports, clock, budget)
    yield watch
    await watch.aclose()


async def test_a_database_that_answers_is_seen_at_once(watch, reports):
    """Whoever asks first waits for the answer, and learns how long it took."""
    seen = await watch.look()

    assert (seen.fault, seen.standing) == ("", Standing(position=7, counted_position=7))
    assert 0 < seen.latency_s < WAIT_S
    assert seen.providers["tavily"][:2] == (20, 0.9)


async def test_what_was_seen_lately_is_shown_again(watch, reports, clock):
    """However often it is asked, the database is looked at once in some seconds."""
    for _ in range(10):
        await watch.look()
    assert reports.looks == 1

    await clock.sleep(FRESH_S)
    await watch.look()

    assert reports.looks == 2


async def test_many_who_ask_at_once_share_a_look(watch, reports):
    """A hundred questions are one look."""
    seen = await asyncio.gather(*(watch.look() for _ in range(100)))

    assert reports.looks == 1
    assert all(one.standing is not None for one in seen)


async def test_a_database_that_fails_says_why_and_since_when(watch, reports, clock):
    """The fault is told in its own words; it began with the first look that failed and ends with the next."""
    started = (await watch.look()).since
    reports.failure = AWAY
    await clock.sleep(FRESH_S)
    failing = await watch.look()
    await clock.sleep(FRESH_S)
    still = await watch.look()
    reports.failure = None
    await clock.sleep(FRESH_S)
    back = await watch.look()

    assert failing.fault == still.fault == AWAY.message
    assert started < failing.since == still.since < back.since
    assert failing.standing == Standing(position=7, counted_position=7)
    assert back.fault == ""


async def test_a_database_that_hangs_keeps_nobody_waiting(watch, reports, clock):
    """Who asks gets what was known, and after a while that it does not answer; one look hangs, not many."""
    await watch.look()
    reports.delay_s = 60.0
    await clock.sleep(FRESH_S)
    begun = asyncio.get_running_loop().time()
    first = await watch.look()
    waited_s = asyncio.get_running_loop().time() - begun
    await clock.sleep(SLOW_S)
    second = await watch.look()

    assert waited_s < WAIT_S + 0.05
    assert (first.fault, second.fault) == ("", "It does not answer in time.")
    assert reports.looks == 2


async def test_a_bug_in_a_report_is_told_by_its_kind(watch, reports):
    """Health is told even then, and nothing internal with it."""
    reports.failure = KeyError("secret")

    assert (await watch.look()).fault == "Unexpected error (KeyError)."


async def test_a_provider_fails_often_since_it_was_first_seen_to(watch, reports, clock):
    """The moment stays while it fails, whatever the figures are in between."""
    await watch.look()
    reports.ratio = 0.2
    await clock.sleep(FRESH_S)
    first = (await watch.look()).providers["tavily"]
    reports.ratio = 0.1
    await clock.sleep(FRESH_S)
    second = (await watch.look()).providers["tavily"]

    assert first.fails_often
    assert second.fails_often
    assert first.since == second.since


@pytest.mark.parametrize(
    ("calls", "ratio", "fails"), [(10, 0.49, True), (10, 0.5, False), (9, 0.0, False), (0, None, False)]
)
def test_a_few_failures_say_nothing(calls, ratio, fails):
    """A provider fails often if more than half of at least ten calls failed."""
    assert Recent(calls, ratio, 0.0).fails_often is fails


async def test_a_budget_is_near_its_limit_since_it_was_first_seen_there(watch, reports, clock):
    """What is spent and assumed of the day counts; from ninety per cent on it is said what will follow."""
    far = record_health(await watch.look(), clock.now())[2]
    reports.spent = 9_000_000
    await clock.sleep(FRESH_S)
    first_at = clock.now()
    near = record_health(await watch.look(), clock.now())[2]
    reports.spent = 10_500_000
    await clock.sleep(FRESH_S)
    over = record_health(await watch.look(), clock.now())[2]

    assert [one.status for one in (far, near, over)] == ["ok", "degraded", "degraded"]
    assert near.since == over.since == pytest.approx(first_at, abs=1.0)
    assert over.name == "budget:day"
    assert over.detail == "10.50 of 10.00 USD of this day (UTC) are spent."
    assert "AMOS_BUDGET_USD_PER_DAY" in over.advice
    assert {since % 86_400 for since, _ in reports.windows} == {0.0}


async def test_a_provider_is_near_its_own_limit(reports, clock):
    """Its units count, whatever the dollars; whoever reads it is told which setting is the limit."""
    budget = BudgetPolicy(units_per_month={"tavily": 20}, units={"tavily": "credits"})
    watch = RecordWatch(reports, clock, budget)
    near = record_health(await watch.look(), clock.now())[2]
    await watch.aclose()

    assert (near.name, near.status) == ("budget:tavily:month", "degraded")
    assert near.detail == "19 of 20 credits of this month (UTC) are spent."
    assert "AMOS_TAVILY_CREDITS_PER_MONTH" in near.advice
