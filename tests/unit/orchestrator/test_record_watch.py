"""The look at the database: it costs who asks next to nothing, and tells outage, hang and success apart."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import EventLogUnavailable
from orchestrator.gateway import record_health
from orchestrator.record_watch import FRESH_S, SLOW_S, WAIT_S, Recent, RecordWatch, Seen
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

    async def standing(self):
        """All is counted."""
        self.looks += 1
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        return Standing(position=7, counted_position=7)

    async def report(self, name, question):
        """The health of one provider in a quarter of an hour."""
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
    watch = RecordWatch(reports, clock)
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


def test_a_database_out_of_reach_is_degraded_with_advice():
    """It keeps no call from being answered, so it is not down; what to do is said."""
    database, reports = record_health(Seen(5.0, fault=AWAY.message), 10.0)

    assert (database.name, database.status, database.since) == ("database", "degraded", 5.0)
    assert database.detail == AWAY.message
    assert "AMOS_DATABASE_URL" in database.advice
    assert reports.status == "ok"


def test_reports_behind_are_degraded_since_the_bound_was_passed():
    """Thirty seconds are no delay; a frame that has waited for a hundred is one, since seventy seconds."""
    late = Seen(5.0, standing=Standing(position=9, counted_position=1, waiting_since=900.0))
    busy = Seen(5.0, standing=Standing(position=9, counted_position=1, waiting_since=971.0))

    assert record_health(busy, 1_000.0)[1].status == "ok"
    reports = record_health(late, 1_000.0)[1]
    assert (reports.status, reports.since) == ("degraded", 930.0)
    assert reports.detail == "Reports lack what was recorded in the last 100 s."
    assert "recorder" in reports.advice


def test_parked_frames_are_told_without_alarm():
    """They cannot be mended at once, so they are named and change no state."""
    reports = record_health(Seen(5.0, standing=Standing(parked=2)), 10.0)[1]

    assert reports.status == "ok"
    assert reports.detail.startswith("2 frames hold what no report can count")
