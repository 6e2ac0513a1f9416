"""What a month costs: every report over thirty days of a log of millions of frames, and the size of it all.

The log is made up (traffic.py) but recorded, projected and read by the product's own code, on SQLite and on
PostgreSQL. Building it takes minutes; with `--folder` it is kept and used again, and a build that was
interrupted goes on. Promise: no report takes longer than 300 ms, in the median and at worst of five.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.traffic import DAY_S, Traffic
from orchestrator.events import Frame
from orchestrator.projections.fold import HOUR_S, MINUTE_S, Rollup
from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.report import TIMES, Question
from orchestrator.reports.windows import GROUPS_MAX
from storage.codec import frame_row
from storage.sql_engine import open_engine, prepare, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_reports import SqlReports
from storage.sql_schema import upgrade
from storage.sql_tables import FIRST, compactions, rollups

DAYS = 30.0
UNTIL = 1_795_800_000.0 + 17 * HOUR_S + 23 * 60
"""The last moment of the month: no beginning of anything."""

MINUTES_DAYS = 3
"""So far back minutes are there, as compaction leaves them."""

APPEND_FRAMES = 5_000
FOLD_FRAMES = 100_000

RUNS = 5
REPORT_MS_PROMISED = 300.0


async def build(url: str, count: int) -> None:
    """Record and project the month, or what is missing of it."""
    prepare(url)
    await upgrade(url)
    engine = open_engine(url, writer=True, timeout_s=600.0)
    begun_at = time.perf_counter()
    there = await _scalar(engine, "SELECT count(*) FROM frames")
    missing = itertools.islice(Traffic(count, UNTIL, DAYS).frames(), there, None)
    log = SqlEventLog(engine)
    for batch in _batches(missing):
        await _append(log, batch)
    stored_at = time.perf_counter()
    await _project(engine)
    await _settle(engine)
    print(
        f"  {count - there:,} frames recorded in {stored_at - begun_at:.0f} s, projected in "
        f"{time.perf_counter() - stored_at:.0f} s",
        flush=True,
    )
    await engine.dispose()


def _batches(missing: Iterator[Frame]) -> Iterator[list[Frame]]:
    while batch := list(itertools.islice(missing, APPEND_FRAMES)):
        yield batch


async def _append(log: SqlEventLog, batch: Sequence[Frame]) -> None:
    rows, texts = [], {}
    for frame in batch:
        row, of_frame = frame_row(msgspec.json.encode(frame))
        rows.append(row)
        texts.update(of_frame)
    await log.append(rows, texts)


async def _project(engine: AsyncEngine) -> None:
    """Count all frames; minutes only where compaction would have left them."""
    kept_from = int((UNTIL - MINUTES_DAYS * DAY_S) // DAY_S * DAY_S)
    # Calls overlap: events of these minutes may be in frames a little before.
    border = await _scalar(
        engine, f"SELECT COALESCE(MIN(position), 0) FROM frames WHERE recorded_at >= {kept_from - HOUR_S}"
    )
    async with transaction(engine) as connection:
        await connection.execute(compactions.delete())
        await connection.execute(compactions.insert().values(span_s=MINUTE_S, kept_from=kept_from))
    await _fold(engine, [(_without_minutes(rollup), table) for rollup, table in rollups], border)
    await _fold(engine, rollups, None)


async def _fold(engine: AsyncEngine, projections: Sequence[tuple[Rollup, Table]], upto: int | None) -> None:
    projector = SqlProjector(engine, projections)
    is_done = False
    while not is_done:
        async with transaction(engine) as connection:
            is_done = (await projector.fold(connection, FIRST, limit=FOLD_FRAMES, upto=upto)).is_done


def _without_minutes(rollup: Rollup) -> Rollup:
    changed = copy.copy(rollup)
    changed.spans_s = tuple(span_s for span_s in rollup.spans_s if span_s != MINUTE_S)
    return changed


async def _settle(engine: AsyncEngine) -> None:
    """What the database does by itself within minutes: look how its tables are filled."""
    async with transaction(engine) as connection:
        await connection.execute(text("ANALYZE"))


async def _scalar(engine: AsyncEngine, query: str) -> Any:
    async with transaction(engine) as connection:
        return (await connection.execute(text(query))).scalar()


class Timing(msgspec.Struct, frozen=True):
    """How long a question took, in milliseconds: the median and the longest of `RUNS`."""

    median_ms: float
    worst_ms: float


def questions() -> Iterator[tuple[str, Question]]:
    """Every report by everything it can be grouped by, over thirty days or as many groups as there may be."""
    for report in REPORTS.values():
        for by in ("", *report.by):
            days = min(DAYS, GROUPS_MAX * TIMES[by] / DAY_S - 1 / 24) if by in TIMES else DAYS
            asked = Question(since=UNTIL - days * DAY_S, until=UNTIL, by=by)
            yield report.name, asked
            if by in {"", "hour", "day"}:
                yield report.name, msgspec.structs.replace(asked, time_zone="Europe/Berlin")


async def ask(url: str) -> list[Timing]:
    """All questions, one after the other."""
    engine = open_engine(url)
    reports = SqlReports(engine)
    timings = []
    for name, question in questions():
        took_ms = []
        for _ in range(RUNS):
            begun_at = time.perf_counter()
            await reports.report(name, question)
            took_ms.append((time.perf_counter() - begun_at) * 1_000)
        timings.append(Timing(statistics.median(took_ms), max(took_ms)))
    await engine.dispose()
    return timings
