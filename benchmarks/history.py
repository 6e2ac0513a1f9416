"""What a month costs: every report over thirty days of a log of millions of frames, and the size of it all.

The log is made up (traffic.py) but recorded, projected and read by the product's own code, on SQLite and on
PostgreSQL. Building it takes minutes; with `--folder` it is kept and used again, and a build that was
interrupted goes on. Promise: no report takes longer than 300 ms, in the median and at worst of five.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.server import calm_collector
from benchmarks.traffic import DAY_S, Traffic
from orchestrator.events import Frame
from orchestrator.projections.fold import HOUR_S, MINUTE_S
from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.report import TIMES, Question
from orchestrator.reports.windows import GROUPS_MAX
from storage.codec import read_frame
from storage.sql_engine import open_engine, prepare, sqlite_url, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_reports import SqlReports
from storage.sql_schema import upgrade
from storage.sql_tables import FIRST, compactions
from tests.support.postgres import PostgresServer

DAYS = 30.0
UNTIL = 1_795_800_000.0 + 17 * HOUR_S + 23 * 60
"""The last moment of the month: no beginning of anything."""

MINUTES_DAYS = 3
"""So far back minutes are there, as compaction leaves them."""

APPEND_FRAMES = 5_000
FOLD_FRAMES = 20_000

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
    found = [read_frame(msgspec.json.encode(frame)) for frame in batch]
    texts = {text.key_hash: text for one in found for text in one.texts}
    await log.append([one.row for one in found], list(texts.values()))


async def _project(engine: AsyncEngine) -> None:
    """Count all frames; minutes only where compaction would have left them."""
    kept_from = int((UNTIL - MINUTES_DAYS * DAY_S) // DAY_S * DAY_S)
    projector = SqlProjector(engine)
    async with transaction(engine) as connection:
        await connection.execute(compactions.delete())
        await connection.execute(compactions.insert().values(span_s=MINUTE_S, kept_from=kept_from))
    is_done = False
    while not is_done:
        async with transaction(engine) as connection:
            is_done = (await projector.fold(connection, FIRST, limit=FOLD_FRAMES)).is_done


async def _settle(engine: AsyncEngine) -> None:
    """What PostgreSQL does by itself after some minutes: look how its tables are filled."""
    if engine.dialect.name == "postgresql":
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
    calm_collector()
    for name, question in questions():
        took_ms = []
        for _ in range(RUNS):
            begun_at = time.perf_counter()
            await reports.report(name, question)
            took_ms.append((time.perf_counter() - begun_at) * 1_000)
        timings.append(Timing(statistics.median(took_ms), max(took_ms)))
    await engine.dispose()
    return timings


class Size(msgspec.Struct, frozen=True):
    """Bytes of the event log and of the rollups, indexes included."""

    frames_bytes: int
    rollups_bytes: int


async def measure_size(url: str) -> Size:
    """What lies on the disk."""
    engine = open_engine(url, timeout_s=600.0)
    if engine.dialect.name == "sqlite":
        query = "SELECT SUM(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE {})"
    else:
        query = "SELECT SUM(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND {}"
    name = "tbl_name" if engine.dialect.name == "sqlite" else "relname"
    found = [
        int(await _scalar(engine, query.format(f"{name} {which}")))
        for which in ("= 'frames'", "LIKE 'rollup%'")
    ]
    await engine.dispose()
    return Size(*found)


@contextmanager
def built(count: int, folder: Path | None) -> Iterator[dict[str, str]]:
    """The addresses of a month of so many frames in either engine, built if it is not there; by its name."""
    with ExitStack() as cleanup:
        place = folder or Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        place = place / str(count)
        place.mkdir(parents=True, exist_ok=True)
        place.parent.chmod(0o755)
        place.chmod(0o755)  # PostgreSQL runs as somebody else
        server = PostgresServer({"fsync": "on"}, folder=place / "postgres")
        server.start()
        cleanup.callback(server.close)
        if not server.run_sql("SELECT 1 FROM pg_database WHERE datname = 'history'"):
            server.run_sql("CREATE DATABASE history ENCODING 'UTF8' TEMPLATE template0")
        urls = {"SQLite": sqlite_url(place / "amos.db"), "PostgreSQL": server.url("history")}
        for engine, url in urls.items():
            print(f"{engine}, {count:,} frames over {DAYS:.0f} days:", flush=True)
            asyncio.run(build(url, count))
        yield urls


def run(_seconds: float, *, count: int = 1_000_000, folder: Path | None = None) -> bool:
    """Build, measure, print, and say whether the promise is kept."""
    found: dict[str, list[Timing]] = {}
    with built(count, folder) as urls:
        for engine, url in urls.items():
            print(f"{engine}:", flush=True)
            _print_size(asyncio.run(measure_size(url)), count)
            found[engine] = asyncio.run(ask(url))
    _print_timings(found)
    worst_ms = max(timing.worst_ms for timings in found.values() for timing in timings)
    print(f"the slowest of all took {worst_ms:.0f} ms; promised: at most {REPORT_MS_PROMISED:.0f}")
    return worst_ms <= REPORT_MS_PROMISED


def _print_size(size: Size, count: int) -> None:
    day_bytes = (size.frames_bytes + size.rollups_bytes) / DAYS
    print(
        f"  {size.frames_bytes / count:,.0f} bytes a frame with its indexes; reports' counts "
        f"{size.rollups_bytes / 1e6:,.0f} MB; {day_bytes / 1e6:,.1f} MB a day, "
        f"{day_bytes * 365 / 1e9:,.1f} GB a year at {count / DAYS:,.0f} frames a day",
        flush=True,
    )


def _print_timings(found: dict[str, list[Timing]]) -> None:
    print(f"  {'report':10} {'by':10} {'days':>5}  " + "  ".join(f"{engine:>18}" for engine in found))
    for place, (name, question) in enumerate(questions()):
        days = (question.until - question.since) / DAY_S
        by = question.by + (" Berlin" if question.time_zone != "UTC" else "")
        times = [timings[place] for timings in found.values()]
        print(
            f"  {name:10} {by or '-':12} {days:5.1f}  "
            + "  ".join(f"{timing.median_ms:6.0f} {timing.worst_ms:6.0f} ms  " for timing in times)
        )
