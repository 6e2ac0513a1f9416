"""Growths of the providers' own counters are compared with the record's, from look to look."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from orchestrator.errors import EventLogUnavailable, ProviderUnavailable, RateLimitStoreUnavailable
from orchestrator.events import Envelope, Frame
from orchestrator.facts import BudgetWarned, UsageReconciled
from orchestrator.reconciliation import AGAIN_S, FIRST_S, Reconciliation, ReconciliationPolicy
from orchestrator.reports.totals import Standing, Totals
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.clock import EPOCH, LoopClock

HOUR_S = 3600.0
MILLION = 1_000_000


class Counter:
    """A provider that has counted `used`, or fails."""

    provider = "tavily"
    unit = "credits"

    def __init__(self):
        self.used = 500.0
        self.keys = 1
        self.failure = None
        self.asked = []

    async def counter(self):
        """What was used."""
        self.asked.append(asyncio.get_running_loop().time())
        if self.failure == "hangs":
            await asyncio.sleep(3600)
        if self.failure:
            raise self.failure
        return self.used


class Record:
    """A record that has `total` credits of Tavily, and the facts that it was told, as a FactSink too."""

    def __init__(self, clock):
        self.total = 4_000.0
        self.frames = []
        self.error = None
        self._clock = clock

    @property
    def facts(self):
        """What was told."""
        return [frame.events[0].event for frame in self.frames]

    def record_fact(self, stream, event):
        """Keep a fact."""
        now = self._clock.now()
        frame = Frame(
            instance="i",
            instance_seq=len(self.frames) + 1,
            stream=stream,
            recorded_at=now,
            events=(Envelope(1, now, event),),
        )
        self.frames.append(frame)

    async def execution(self, stream):
        """The frames of a stream."""
        if self.error:
            raise self.error
        return [frame for frame in self.frames if frame.stream == stream]

    async def totals(self, needs):
        """The ledger: a quarter is assumed."""
        micros = round(self.total * MILLION)
        key, other = ("tavily", "credits"), ("jina", "tokens")
        sums = {key: (micros - micros // 4, micros // 4), other: (7, 7)}
        return Totals(sums=[sums], standing=Standing())


@pytest.fixture
async def clock():
    """The loop's time; the epoch is a Friday in January."""
    return LoopClock()


@pytest.fixture
def record(clock):
    """What is recorded."""
    return Record(clock)


@pytest.fixture
def source():
    """Tavily."""
    return Counter()


@pytest.fixture
def make(clock, record, source):
    """Makes the reconciliation of an instance; all share a limiter."""
    shared = MemoryRateLimit(clock)

    def make(rate_limits=shared, every_s=6 * HOUR_S):
        return Reconciliation(
            (source,),
            ReconciliationPolicy(every_s=every_s),
            reports=record,
            facts=record,
            clock=clock,
            rate_limits=rate_limits,
        )

    return make


async def later(source, record, used, total, wait_s=HOUR_S):
    """Some calls, and an hour."""
    source.used += used
    record.total += total
    await asyncio.sleep(wait_s)


async def test_the_first_look_is_a_beginning(make, record):
    """What was used before is nobody's to compare: when the count began is not known."""
    assert await make().reconcile() == {}

    (fact,) = record.facts
    assert (fact.reported, fact.recorded, fact.since) == (0.0, 0.0, pytest.approx(EPOCH))
    assert (fact.counter, fact.total) == (500.0, 4_000.0)


async def test_growths_are_added_up(make, source, record):
    """What one of both counts late evens out with the next look."""
    usage = make()
    await usage.reconcile()
    await later(source, record, used=100, total=90)
    await usage.reconcile()
    await later(source, record, used=50, total=60)

    await usage.reconcile()

    assert [(fact.reported, fact.recorded) for fact in record.facts] == [(0, 0), (100, 90), (150, 150)]
    assert len({fact.since for fact in record.facts}) == 1


@pytest.mark.parametrize("what", ["new cycle", "other keys"])
async def test_another_count_begins_anew(make, source, record, what):
    """A counter that falls, or that is of other keys, is not compared with what it was."""
    usage = make()
    await usage.reconcile()
    await later(source, record, used=100, total=100)
    if what == "new cycle":
        source.used = 3
    else:
        source.keys = 2

    await usage.reconcile()

    fact = record.facts[-1]
    assert (fact.reported, fact.recorded, fact.since) == (0.0, 0.0, pytest.approx(EPOCH + HOUR_S))


async def test_a_month_is_counted_by_itself(make, source, record):
    """The first look of a month has the growth since the last look; what was before is not counted again."""
    usage = make()
    await usage.reconcile()
    await later(source, record, used=100, total=100, wait_s=20 * 24 * HOUR_S)
    await usage.reconcile()
    await later(source, record, used=7, total=8)

    await usage.reconcile()

    assert [(fact.reported, fact.recorded) for fact in record.facts] == [(0, 0), (100, 100), (107, 108)]
    assert record.facts[1].since == pytest.approx(EPOCH)


async def test_another_process_goes_on_where_one_has_ended(make, source, record):
    """The record knows the last look, whoever made it; facts of another kind are passed over."""
    record.record_fact(
        "budget:provider:tavily",
        BudgetWarned(account="provider:tavily", period="2027-01", percent=75, spent=75, limit=100),
    )
    await make().reconcile()
    await later(source, record, used=10, total=9)

    await make().reconcile()

    assert (record.facts[-1].reported, record.facts[-1].recorded) == (10, 9)


async def test_nobody_is_asked_twice_in_a_minute(make, source, clock):
    """Neither by one instance nor by several: the limiter is theirs together."""
    first, second = make(), make()
    assert await first.reconcile() == {}

    why = await second.reconcile()
    await asyncio.sleep(60.1)

    assert why == {"tavily": "It was asked less than a minute ago."}
    assert await second.reconcile() == {}
    assert len(source.asked) == 2


async def test_the_record_knows_who_asked_too(make, source, clock):
    """A command without Redis has a limiter of its own, and still asks nobody twice in a minute."""
    await make(MemoryRateLimit(clock)).reconcile()
    await asyncio.sleep(59.0)
    why = await make(MemoryRateLimit(clock)).reconcile()
    await asyncio.sleep(1.1)

    assert why == {"tavily": "It was asked less than a minute ago."}
    assert await make(MemoryRateLimit(clock)).reconcile() == {}


@pytest.mark.parametrize("failure", [ProviderUnavailable("Down.", provider="tavily", reason="x"), "hangs"])
async def test_a_provider_that_does_not_tell_is_no_harm(make, source, record, failure):
    """Nothing is recorded, and who asked is told why."""
    source.failure = failure

    why = await make().reconcile()

    assert list(why) == ["tavily"]
    assert record.facts == []


async def test_without_a_limiter_nobody_is_asked(make, source):
    """Other instances may have asked a moment ago, and a key that asks too often is refused."""

    class Down:
        async def hit(self, client, windows):
            raise RateLimitStoreUnavailable("Down.")

    assert list(await make(Down()).reconcile()) == ["tavily"]
    assert source.asked == []


async def test_the_schedule(make, source, record, clock):
    """Not at once after a start; then every six hours; sooner after a failure. Others' looks count."""
    usage, other = make(), make()
    begun = clock.monotonic()
    async with usage.running(), other.running():
        await asyncio.sleep(FIRST_S + 1)
        source.failure = ProviderUnavailable("Down.", provider="tavily", reason="x")
        await asyncio.sleep(6 * HOUR_S)
        source.failure = None
        record.error = EventLogUnavailable("Gone.")
        await asyncio.sleep(AGAIN_S)
        record.error = None
        await asyncio.sleep(HOUR_S)
    asked = [moment - begun for moment in source.asked]
    await asyncio.sleep(24 * HOUR_S)

    assert asked[0] == pytest.approx(FIRST_S)
    assert len(record.facts) == 2
    assert all(later - earlier >= 60.0 for earlier, later in pairwise(asked))
    assert len(asked) <= 5
    assert len(source.asked) == len(asked)


async def test_on_command_only(make, source):
    """With no hours set nobody is asked by itself."""
    async with make(every_s=0).running():
        await asyncio.sleep(48 * HOUR_S)

    assert source.asked == []


@pytest.mark.parametrize(
    ("unit", "reported", "recorded", "is_off"),
    [
        ("credits", 1_000, 951, False),
        ("credits", 1_000, 949, True),
        ("credits", 1_000, 1_051, True),
        ("credits", 100, 91, False),
        ("credits", 11, 0, True),
        ("credits", 0, 10, False),
        ("tokens", 1_000_000, 900_001, False),
        ("tokens", 1_000_000, 899_999, True),
    ],
)
def test_what_is_too_far_off(unit, reported, recorded, is_off):
    """More than 5 % and more than ten searches, either way."""
    fact = UsageReconciled(
        provider="x", unit=unit, since=0.0, reported=reported, recorded=recorded, counter=0.0, total=0.0
    )

    assert ReconciliationPolicy().is_off(fact) is is_off
