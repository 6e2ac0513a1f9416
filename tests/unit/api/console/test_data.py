"""What the charts show: the figures of the reports, to the digit, at every moment of their time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from api.console.data import CHARTS, OBJECTIVE, RANGES, Figures, chart_of, range_of
from api.console.overview import part
from orchestrator.errors import InvalidRequest, NotFound, Overloaded
from orchestrator.projections.fold import MINUTE_S
from orchestrator.reports.report import Question
from storage.sql_engine import open_engine, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_reports import SqlReports
from storage.sql_tables import compactions
from tests.support.histories import NOON, answered, mixture
from tests.support.rows import row, rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

NOW = NOON + 1_800.5
"""Half an hour after the first of a few executions, which are forty seconds apart; within a minute."""

Row = dict[str, Any]


@pytest.fixture
def database_url(new_database: Callable[[str, Path], str], tmp_path: Path) -> str:
    """A database of one kind: that the reports say the same on both is tested with them."""
    return new_database("sqlite", tmp_path)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A few of everything, and hits of many durations within a minute, counted."""
    engine = open_engine(database_url, writer=True)
    waits = [row(90 + number, (answered(cache="l1", duration_s=0.001 * number),)) for number in range(1, 41)]
    await SqlEventLog(engine).append([*rows(mixture()), *waits])
    await SqlProjector(engine).project()
    yield engine
    await engine.dispose()


async def chart(engine: AsyncEngine, name: str, span: str, tz: str = "UTC") -> list[Row]:
    """A chart as rows: the beginning of each stretch of time, and the value of each series by its name."""
    found = await Figures(SqlReports(engine)).chart(CHARTS[name], RANGES[span], now=NOW, tz=tz)
    names = ["begin", *(series.name for series in found.series)]
    return [dict(zip(names, values, strict=True)) for values in zip(*found.columns, strict=True)]


def named(*names: str) -> Callable[[Row], Row]:
    """The figures of a row under their own names."""
    return lambda row: {name: row[name] for name in names}


FIGURES: dict[str, Callable[[Row], Row]] = {
    "traffic": lambda row: {
        "answered": row["answered"],
        "failed": row["failed"] - row["callers_own"],
        "callers_own": row["callers_own"],
    },
    "availability": named("availability"),
    "hit-rate": lambda row: {way: row[way] / row["answered"] for way in ("l1", "l2", "collapsed", "miss")},
    "latency": lambda row: {
        f"{row['stage']}_{quantile}": row[quantile]
        for quantile in ("p50_s", "p95_s", "p99_s")
        if row["stage"] in {"hit", "miss"}
    },
    "providers": named("success", "empty", "failed", "skipped"),
    "cost": named("spent_usd_micros", "assumed_usd_micros", "saved_usd_micros"),
}
"""What a row of its report says of each chart; rows of several providers add up."""


@pytest.mark.parametrize("span", RANGES)
async def test_every_value_is_that_of_the_report(engine: AsyncEngine, span: str):
    """What was counted stands at its moment, to the digit, and nothing else is there."""
    for name in CHARTS:
        await check(engine, name, span)


async def check(engine: AsyncEngine, name: str, span: str) -> None:
    """Hold a chart against its report."""
    points = {point.pop("begin"): point for point in await chart(engine, name, span)}
    asked = Question(since=min(points), until=NOW, by=RANGES[span].by)
    told: dict[float, Counter[str]] = {}
    for found in (await SqlReports(engine).report(CHARTS[name].report, asked))["rows"]:
        told.setdefault(found[asked.by], Counter()).update(FIGURES[name](found))

    assert told
    for begin, figures in told.items():
        assert points[begin] | figures == points[begin]
    rest = [value for begin in points.keys() - told.keys() for value in points[begin].values()]
    assert set(rest) <= {0, None, OBJECTIVE}


@pytest.mark.parametrize(("span", "points"), [("1h", 60), ("6h", 360), ("24h", 24), ("7d", 168), ("30d", 30)])
async def test_every_moment_of_the_range_has_a_point(engine: AsyncEngine, span: str, points: int):
    """Where nothing happened a count is 0, and a duration is not there; the last stretch is under way."""
    counts, shares = await chart(engine, "traffic", span), await chart(engine, "latency", span)
    quiet = [point for point in counts if point["begin"] + RANGES[span].seconds / points <= NOON]

    assert len(counts) == len(shares) == points
    assert counts[-1]["begin"] <= NOW < counts[-1]["begin"] + RANGES[span].seconds / points
    assert quiet
    assert {(point["answered"], point["failed"], point["callers_own"]) for point in quiet} == {(0, 0, 0)}
    assert {point["hit_p50_s"] for point in shares[: len(quiet)]} == {None}
    hits = (await chart(engine, "hit-rate", span))[: len(quiet)]
    assert {value for point in hits for name, value in point.items() if name != "begin"} == {None}
    goals = [point["objective"] for point in await chart(engine, "availability", span)]
    assert goals == [OBJECTIVE] * points


async def test_days_are_those_of_the_viewer(engine: AsyncEngine):
    """They begin at midnight there; of a zone nobody knows, in UTC."""
    figures = Figures(SqlReports(engine))
    begins = {}
    for tz in ("Asia/Tokyo", "Europe/Nowhere"):
        found = await figures.chart(CHARTS["traffic"], RANGES["30d"], now=NOW, tz=tz)
        begins[found.tz] = {int(begin) % 86_400 for begin in found.columns[0]}
        assert sum(found.columns[1]) == 45

    assert begins == {"Asia/Tokyo": {15 * 3_600}, "UTC": {0}}


async def test_days_that_the_counts_do_not_tell_are_those_of_utc(engine: AsyncEngine):
    """Days that begin at half past an hour are made of minutes, and old ones are gone."""
    kept = {"span_s": MINUTE_S, "kept_from": int(NOON) - 3 * 86_400}
    async with transaction(engine) as connection:
        await connection.execute(compactions.delete())
        await connection.execute(compactions.insert().values(**kept))

    found = await Figures(SqlReports(engine)).chart(
        CHARTS["traffic"], RANGES["30d"], now=NOW, tz="Asia/Kolkata"
    )

    assert (found.tz, sum(found.columns[1])) == ("UTC", 45)


async def test_a_time_without_calls_is_empty(engine: AsyncEngine):
    """Then there is something to say, and nothing to draw."""
    figures = Figures(SqlReports(engine))

    for one in CHARTS.values():
        assert not (await figures.chart(one, RANGES["1h"], now=NOW, tz="UTC")).is_empty
        assert (await figures.chart(one, RANGES["1h"], now=NOON - 1, tz="UTC")).is_empty


async def test_a_chart_is_sent_as_json(engine: AsyncEngine):
    """Numbers and nulls only, so that the page draws it as it is."""
    found = await Figures(SqlReports(engine)).chart(CHARTS["latency"], RANGES["24h"], now=NOW, tz="UTC")

    assert msgspec.json.decode(msgspec.json.encode(found), type=dict)["columns"] == [
        list(column) for column in found.columns
    ]


@pytest.mark.parametrize(("ask", "error"), [(range_of, InvalidRequest), (chart_of, NotFound)])
def test_what_there_is_not_is_named(ask: Any, error: type[Exception]):
    """Whoever asks for another range or chart learns which there are."""
    with pytest.raises(error, match=r"24h|latency"):
        ask("17y")


class Slow:
    """Reports that are there when `done` is set."""

    def __init__(self) -> None:
        self.done = asyncio.Event()

    async def report(self, name: str, question: Question) -> Row:
        """The report, in the end."""
        await self.done.wait()
        return {"name": name, "since": question.since}


async def test_few_ask_at_once():
    """Whoever finds no place for too long is told so, and a place that is left is taken again."""
    slow = Slow()
    figures = Figures(slow, wait_s=0.02)  # type: ignore[arg-type]
    asked = Question(since=0.0, until=60.0)
    under_way = [asyncio.create_task(figures.report("health", asked)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5.0):
        with pytest.raises(Overloaded):
            await figures.report("health", asked)
    slow.done.set()

    assert [one["name"] for one in await asyncio.gather(*under_way)] == ["health", "health"]
    for _ in range(3):
        assert (await figures.report("cost", asked))["name"] == "cost"


async def test_a_part_that_finds_no_place_is_told_so():
    """Not that the record does not answer, which nobody has asked yet."""
    slow = Slow()
    figures = Figures(slow)  # type: ignore[arg-type]
    asked = Question(since=0.0, until=60.0)
    under_way = [asyncio.create_task(figures.report("health", asked)) for _ in range(2)]
    await asyncio.sleep(0)

    found = await part(figures.report("health", asked))
    slow.done.set()
    await asyncio.gather(*under_way)

    assert found.fault == "Too many pages ask for figures at once."
