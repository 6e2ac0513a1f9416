"""Compaction: minutes and hours go when they are old, and every sum stays what it was."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest
from sqlalchemy import func, select

from orchestrator.projections.fold import DAY_S, HOUR_S, MINUTE_S, begin_of
from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.report import Question
from storage import sql_compaction
from storage.recorder_process import record_forever
from storage.sql_compaction import SqlCompaction
from storage.sql_engine import transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_generations import delete_leftovers
from storage.sql_projector import SqlProjector, first_kept, live_generation
from storage.sql_rebuild import replay, verify
from storage.sql_reports import SqlReports
from storage.sql_tables import rollups
from storage.sql_upkeep import upkeep
from tests.support.histories import NOON, mixture
from tests.support.reported import report_of, rows_by_span
from tests.support.rows import row
from tests.support.seeds import SEEDS

MIDNIGHT = begin_of(1_800_000_000, DAY_S)
ROUNDS = 12


def untold(phase: str, done: int, total: int) -> None:
    """Nobody listens."""


@pytest.fixture
def short(monkeypatch):
    """Minutes are kept for two days, hours for five, and few rows are deleted at once."""
    monkeypatch.setattr(sql_compaction, "KEPT_DAYS", {MINUTE_S: 2, HOUR_S: 5})
    monkeypatch.setattr(sql_compaction, "RANGE_ROWS", 7)


def moved(events, at):
    """The same events at another moment: an outcome names the moment of its intent."""
    return [
        msgspec.structs.replace(event, intended_at=event.intended_at - NOON + at)
        if getattr(event, "intended_at", 0.0)
        else event
        for event in events
    ]


class History:
    """Executions recorded and counted at any moments; `record` numbers them."""

    def __init__(self, engine):
        self.log, self.projector, self.number = SqlEventLog(engine), SqlProjector(engine), 0

    async def record(self, *moments):
        """A hit at each of the moments, in this order."""
        for at in moments:
            self.number += 1
            events = mixture()[self.number % len(mixture())]
            await self.log.append([row(self.number, moved(events, at), at=at)])
        while not (await self.projector.project()).is_done:
            pass

    async def envelopes(self):
        """All events, from the raw frames."""
        return [envelope for _, frame in await self.log.read(0, 10_000) for envelope in frame.events]


async def compact(engine, now):
    """All of it."""
    while not await SqlCompaction(engine).step(now):
        pass


async def faults(engine, envelopes):
    """Every rollup whose kept rows are not what the events add up to, by span."""
    found = []
    async with transaction(engine) as connection:
        kept_from = await first_kept(connection)
        live = await live_generation(connection)
        for rollup, table in rollups:
            right = {
                key: counts
                for key, counts in rows_by_span(rollup, envelopes).items()
                if key[1] >= kept_from.get(key[0], 0)
            }
            columns = [column for column in table.columns if column.name != "generation"]
            size = 2 + len(rollup.dimensions)
            rows = await connection.execute(select(*columns).where(table.c.generation == live))
            there = {tuple(line[:size]): tuple(line[size:]) for line in rows}
            kept = {key: counts for key, counts in there.items() if key[1] >= kept_from.get(key[0], 0)}
            if kept != right:
                found.append(table.name)
    return found


async def counted(engine, span_s):
    """How many rows of a span there are, in all rollups."""
    async with transaction(engine) as connection:
        queries = [select(func.count()).where(table.c.span_s == span_s) for _, table in rollups]
        return sum([(await connection.execute(query)).scalar() for query in queries])


@pytest.mark.parametrize("seed", SEEDS)
async def test_sums_are_exact_whatever_happens(engine, database_url, short, seed):
    """Late events, clocks that jump and recounts: hours, days and reports always say what the events say."""
    chance = random.Random(seed)
    history, reports = History(engine), SqlReports(engine)
    now = MIDNIGHT
    for _ in range(ROUNDS):
        now += chance.choice([HOUR_S, DAY_S // 2, DAY_S, 2 * DAY_S])
        late = [now - chance.uniform(0, 9 * DAY_S) for _ in range(chance.randrange(3))]
        jumps = [now + chance.choice([-365, -1, 1, 365]) * DAY_S] if chance.random() < 0.2 else []
        await history.record(now, *late, *jumps, now)
        await compact(engine, now + chance.choice([0, 0, 0, -HOUR_S, 365 * DAY_S]))

        assert await faults(engine, await history.envelopes()) == []

    if seed == 1:
        await replay(database_url, untold)
    assert (await verify(database_url, untold)).is_sound
    envelopes = await history.envelopes()
    for report in REPORTS.values():
        since = now - chance.uniform(0, 20 * DAY_S)
        found = await reports.report(report.name, Question(since=since, until=now + 60))
        since, until = found["since"], found["until"]
        inside = [envelope for envelope in envelopes if since <= envelope.at < until]
        assert found == {"since": since, "until": until, "tz": "UTC"} | report_of(report, inside)


async def test_old_minutes_and_hours_go(engine, short):
    """After ten days minutes of two days and hours of five are left, and all days."""
    history = History(engine)
    await history.record(*(MIDNIGHT + day * DAY_S + 60 for day in range(10)))
    hours = await counted(engine, HOUR_S)

    await compact(engine, MIDNIGHT + 9 * DAY_S + 120)

    async with transaction(engine) as connection:
        assert await first_kept(connection) == {
            MINUTE_S: MIDNIGHT + 8 * DAY_S,
            HOUR_S: MIDNIGHT + 5 * DAY_S,
        }
    assert await counted(engine, HOUR_S) < hours == await counted(engine, DAY_S)
    assert await counted(engine, MINUTE_S) > 0
    assert await faults(engine, await history.envelopes()) == []


async def test_a_late_event_begins_no_old_minute_anew(engine, short):
    """What comes in late counts in hours and days; a minute that was let go does not come back by half."""
    history = History(engine)
    await history.record(*(MIDNIGHT + day * DAY_S for day in range(4)))
    await compact(engine, MIDNIGHT + 3 * DAY_S)
    minutes = await counted(engine, MINUTE_S)

    await history.record(MIDNIGHT)

    assert await counted(engine, MINUTE_S) == minutes
    assert await faults(engine, await history.envelopes()) == []


@pytest.mark.parametrize("wrong", [365 * DAY_S, -365 * DAY_S])
async def test_a_wrong_clock_takes_nothing(engine, short, wrong):
    """A clock that is a year off when old rows go, and the frame it stamped, cost no minute of these days."""
    history = History(engine)
    await history.record(*(MIDNIGHT + day * DAY_S for day in range(3)), MIDNIGHT + 2 * DAY_S + wrong)

    await compact(engine, MIDNIGHT + 2 * DAY_S + wrong)

    async with transaction(engine) as connection:
        assert (await first_kept(connection)).get(MINUTE_S, 0) <= MIDNIGHT + 2 * DAY_S


async def test_a_few_days_are_kept_however_old(engine, short):
    """Where nothing happens for a year nothing is let go."""
    history = History(engine)
    await history.record(MIDNIGHT, MIDNIGHT + DAY_S)

    await compact(engine, MIDNIGHT + 400 * DAY_S)

    async with transaction(engine) as connection:
        assert (await first_kept(connection)).get(MINUTE_S) == MIDNIGHT


async def test_a_replaced_generation_is_compacted_too(engine, database_url, short):
    """A recount begins no old minutes, and what pruned frames had added is compacted like the rest."""
    history = History(engine)
    await history.record(*(MIDNIGHT + day * DAY_S for day in range(5)))
    await compact(engine, MIDNIGHT + 4 * DAY_S)
    minutes = await counted(engine, MINUTE_S)

    await replay(database_url, untold)
    async with upkeep(database_url) as work:
        await delete_leftovers(work)

    assert await counted(engine, MINUTE_S) == minutes


async def test_the_recorder_compacts(engine, database_url, short, tmp_path):
    """Beside its other work, by itself."""
    history = History(engine)
    await history.record(*(MIDNIGHT + day * DAY_S for day in range(5)))
    stop = asyncio.Event()
    recording = asyncio.create_task(record_forever(tmp_path / "data", database_url, stop))

    for _ in range(400):
        if await counted(engine, MINUTE_S) < await counted(engine, HOUR_S):
            break
        await asyncio.sleep(0.05)
    stop.set()
    await recording

    assert await counted(engine, MINUTE_S) < await counted(engine, HOUR_S)
    assert await faults(engine, await history.envelopes()) == []
