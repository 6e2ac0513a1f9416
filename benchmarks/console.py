"""What the console asks of a month of millions of frames: charts, the first row, rankings, executions.

The month is that of `history`: made up, but recorded and counted by the product's own code, in either engine;
the same `--folder` serves both. Asked is what the pages ask, by the functions behind their routes, as of the
month's last moment. Promise: no call takes longer than 100 ms in the median of five.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from api.console.data import CHARTS, RANGES, Figures
from api.console.live import NEW_ROWS_MAX, WINDOW_S
from api.console.overview import first_row, rankings
from api.server import calm_collector
from benchmarks.history import DAYS, UNTIL, built
from orchestrator.executions import ExecutionQuery
from orchestrator.projections.fold import DAY_S
from storage.sql_engine import open_engine
from storage.sql_reports import SqlReports

RUNS = 5
CALL_MS_PROMISED = 100.0

Call = Callable[[], Awaitable[Any]]


class Took(msgspec.Struct, frozen=True):
    """What a call took, in milliseconds: the first time, and the median of `RUNS` after it."""

    name: str
    first_ms: float
    median_ms: float


def calls(reports: SqlReports) -> Iterator[tuple[str, Call]]:
    """Every call of the pages, for each range they offer."""
    figures = Figures(reports)
    for label, span in RANGES.items():
        for name, chart in CHARTS.items():
            yield f"{name}, {label}", partial(figures.chart, chart, span, now=UNTIL, tz="UTC")
        yield f"first row, {label}", partial(first_row, figures, span, UNTIL)
        yield f"rankings, {label}", partial(rankings, figures, span, UNTIL)
    live = ExecutionQuery(since=UNTIL - WINDOW_S, until=UNTIL + WINDOW_S, limit=NEW_ROWS_MAX)
    yield "live list", partial(reports.executions, live)
    month = ExecutionQuery(since=UNTIL - DAYS * DAY_S, until=UNTIL)
    for name, wanted in (
        ("executions", month),
        ("executions that failed", msgspec.structs.replace(month, outcome="failed")),
        ("executions of a client", msgspec.structs.replace(month, client="website")),
        ("executions of a client that never asked", msgspec.structs.replace(month, client="nobody")),
        ("executions of a text nobody asked", msgspec.structs.replace(month, text="never asked by anybody")),
        ("executions slower than any", msgspec.structs.replace(month, duration_s_min=1e6)),
    ):
        yield name, partial(reports.executions, wanted)


async def ask(url: str) -> list[Took]:
    """All calls, one after the other."""
    engine = open_engine(url)
    calm_collector()
    took = [await _timed(name, call) for name, call in calls(SqlReports(engine))]
    await engine.dispose()
    return took


async def _timed(name: str, call: Call) -> Took:
    took_ms = []
    for _ in range(RUNS + 1):
        begun_at = time.perf_counter()
        await call()
        took_ms.append((time.perf_counter() - begun_at) * 1_000)
    return Took(name, took_ms[0], statistics.median(took_ms[1:]))


def run(_seconds: float, *, count: int = 1_000_000, folder: Path | None = None) -> bool:
    """Build, measure, print, and say whether the promise is kept."""
    with built(count, folder) as urls:
        found = {engine: asyncio.run(ask(url)) for engine, url in urls.items()}
    print(f"  {'call':40}  " + "  ".join(f"{engine:>20}" for engine in found))
    for row in zip(*found.values(), strict=True):
        shown = "  ".join(f"{took.median_ms:6.0f}, first {took.first_ms:4.0f} ms" for took in row)
        print(f"  {row[0].name:40}  {shown}")
    worst = max((took for rows in found.values() for took in rows), key=lambda took: took.median_ms)
    print(f"  the slowest, {worst.name}: {worst.median_ms:.0f} ms; promised: at most {CALL_MS_PROMISED:.0f}")
    return worst.median_ms <= CALL_MS_PROMISED
