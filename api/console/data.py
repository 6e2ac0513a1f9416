"""What the charts of the console show: series over time, cut from the reports, ready to be drawn.

Every value is a figure of a report over the same window, to the digit; nothing is counted here. A stretch
of time without calls has zeros for what is counted, and a gap for what is a share or a duration: a share of
nothing is neither 0 nor 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from orchestrator.bulkhead import Bulkhead
from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.ports import ReportStore
from orchestrator.projections.fold import DAY_S, HOUR_S
from orchestrator.reports.report import Among, Question
from orchestrator.reports.windows import groups_of

OBJECTIVE = 0.999
"""chosen: the share of calls that shall be useful, as the alerts have it: 43 minutes a month may be lost."""

QUESTIONS_MAX = 2
"""chosen: reports that the console has under way in this process; more at once only slow each other, and
whoever else reads reports."""

WAIT_S = 2.0
"""chosen: who waits longer for a place sees an error that says so, and the page asks again by itself. Less
than `overview.PART_S_MAX`, after which a part is told that the record does not answer."""


class Range(msgspec.Struct, frozen=True):
    """How far back a page looks: `seconds`, in groups of `by`; `label` follows "the last"."""

    seconds: int
    by: str
    label: str


RANGES = {
    "1h": Range(HOUR_S, "minute", "hour"),
    "6h": Range(6 * HOUR_S, "minute", "6 hours"),
    "24h": Range(DAY_S, "hour", "24 hours"),
    "7d": Range(7 * DAY_S, "hour", "7 days"),
    "30d": Range(30 * DAY_S, "day", "30 days"),
}
"""chosen: what people ask when something is wrong, and what they are asked at the end of the month. No chart
has more than 360 points, so each has two pixels at least."""

RANGE_DEFAULT = "24h"
"""As the reports have it."""


DASHED, DOTTED = (6, 4), (2, 3)
"""Lengths of strokes and gaps in pixels, so that lines differ by more than their colours."""


class Series(msgspec.Struct, frozen=True):
    """One line or bar of a chart: its figure's `name`, what people call it, and the colour's name in the CSS.

    `dash` has the lengths of strokes and gaps, in pixels; none for a whole line.
    """

    name: str
    label: str
    colour: str
    dash: tuple[int, ...] = ()


class Chart(msgspec.Struct, frozen=True):
    """One chart: of which report, and what it draws.

    `unit` is `count`, `ratio`, `seconds` or `usd_micros`; `kind` is `bars` (each series on top of the last)
    or `lines`. `of_rows` gives a value for each series from the rows of one stretch of time, of which there
    may be none. `among` says of which values of a dimension rows are wanted, if not of all.
    """

    title: str
    report: str
    unit: str
    kind: str
    series: tuple[Series, ...]
    of_rows: Callable[[Sequence[Mapping[str, Any]]], Sequence[float | None]]
    among: Among | None = None


class ChartData(msgspec.Struct, frozen=True):
    """A chart with its values.

    `columns` has where each stretch of time begins, epoch seconds, and then the values of each series, in
    their order, `None` where there are none. Days are those of the zone `tz`.
    """

    title: str
    unit: str
    kind: str
    by: str
    tz: str
    is_empty: bool
    series: tuple[Series, ...]
    columns: tuple[Sequence[Any], ...]


def _traffic(rows: Sequence[Mapping[str, Any]]) -> Sequence[float | None]:
    if not rows:
        return 0, 0, 0
    row = rows[0]
    return row["answered"], row["failed"] - row["callers_own"], row["callers_own"]


def _availability(rows: Sequence[Mapping[str, Any]]) -> Sequence[float | None]:
    return rows[0]["availability"] if rows else None, OBJECTIVE


def _hit_rate(rows: Sequence[Mapping[str, Any]]) -> Sequence[float | None]:
    if not rows or not rows[0]["answered"]:
        return None, None, None, None
    row = rows[0]
    return tuple(row[way] / row["answered"] for way in ("l1", "l2", "collapsed", "miss"))


STAGES: Among = ("stage", ("hit", "miss"))
"""What people wait for; the report has the parts of it too."""


def _latency(rows: Sequence[Mapping[str, Any]]) -> Sequence[float | None]:
    of_stage = {row["stage"]: row for row in rows}
    return [
        of_stage[stage][quantile] if stage in of_stage else None
        for stage in STAGES[1]
        for quantile in ("p50_s", "p95_s", "p99_s")
    ]


def _providers(rows: Sequence[Mapping[str, Any]]) -> Sequence[float | None]:
    return [sum(row[outcome] for row in rows) for outcome in ("success", "empty", "failed", "skipped")]


def _cost(rows: Sequence[Mapping[str, Any]]) -> Sequence[float | None]:
    names = ("spent_usd_micros", "assumed_usd_micros", "saved_usd_micros")
    return [rows[0][name] if rows else 0 for name in names]


CHARTS = {
    "traffic": Chart(
        "Traffic",
        "health",
        "count",
        "bars",
        (
            Series("answered", "Answered", "series-1"),
            Series("failed", "Failed", "series-5"),
            Series("callers_own", "Refused", "series-3"),
        ),
        _traffic,
    ),
    "availability": Chart(
        "Availability",
        "health",
        "ratio",
        "lines",
        (
            Series("availability", "Useful answers", "series-1"),
            Series("objective", "Objective", "ink-soft", DASHED),
        ),
        _availability,
    ),
    "hit-rate": Chart(
        "Where answers come from",
        "hit-rate",
        "ratio",
        "lines",
        (
            Series("l1", "Memory", "series-2"),
            Series("l2", "Redis", "series-1"),
            Series("collapsed", "Another call", "series-4", DASHED),
            Series("miss", "Provider", "series-3"),
        ),
        _hit_rate,
    ),
    "latency": Chart(
        "Latency",
        "latency",
        "seconds",
        "lines",
        (
            Series("hit_p50_s", "Hit p50", "series-2"),
            Series("hit_p95_s", "Hit p95", "series-2", DASHED),
            Series("hit_p99_s", "Hit p99", "series-2", DOTTED),
            Series("miss_p50_s", "Miss p50", "series-3"),
            Series("miss_p95_s", "Miss p95", "series-3", DASHED),
            Series("miss_p99_s", "Miss p99", "series-3", DOTTED),
        ),
        _latency,
        STAGES,
    ),
    "providers": Chart(
        "Provider calls",
        "providers",
        "count",
        "bars",
        (
            Series("success", "Success", "series-1"),
            Series("empty", "Found nothing", "series-6"),
            Series("failed", "Failed", "series-5"),
            Series("skipped", "Skipped", "series-3"),
        ),
        _providers,
    ),
    "cost": Chart(
        "Spent and saved",
        "cost",
        "usd_micros",
        "lines",
        (
            Series("spent_usd_micros", "Spent", "series-5"),
            Series("assumed_usd_micros", "Perhaps spent", "series-3", DASHED),
            Series("saved_usd_micros", "Saved by the cache", "series-2"),
        ),
        _cost,
    ),
}
"""All charts, in the order in which the overview shows them; docs/reports.md says what the figures mean."""


def range_of(name: str) -> Range:
    """The range of this name. Raises InvalidRequest."""
    found = RANGES.get(name)
    if found is None:
        raise InvalidRequest(f"range: expected one of {', '.join(RANGES)}.", field="range")
    return found


def chart_of(name: str) -> Chart:
    """The chart of this name. Raises NotFound."""
    found = CHARTS.get(name)
    if found is None:
        raise NotFound(f"There is no such chart; there are {', '.join(CHARTS)}.")
    return found


class Figures:
    """Reads reports for the pages, a few at a time. Nobody waits for a place longer than `wait_s`."""

    def __init__(self, reports: ReportStore, *, wait_s: float = WAIT_S) -> None:
        self._reports = reports
        self._few = Bulkhead(QUESTIONS_MAX, wait_s=wait_s, refusal="Too many pages ask for figures at once.")

    async def report(self, name: str, question: Question) -> dict[str, Any]:
        """A report. Raises what the store does, and Overloaded if there is no place for so long."""
        async with self._few.place():
            return await self._reports.report(name, question)

    async def chart(self, chart: Chart, span: Range, *, now: float, tz: str) -> ChartData:
        """A chart over the range that ends now, epoch seconds. Raises EventLogUnavailable, Overloaded.

        Its days are those of the zone; of UTC, where the zone is unknown or the counts that are left do not
        say where its days begin.
        """
        if span.by == "day" and tz != "UTC":
            with suppress(InvalidRequest):
                return await self._drawn(chart, question_of(span, now, tz))
        return await self._drawn(chart, question_of(span, now, "UTC"))

    async def _drawn(self, chart: Chart, question: Question) -> ChartData:
        asked = msgspec.structs.replace(question, among=chart.among)
        return _data(chart, asked, await self.report(chart.report, asked))


def question_of(span: Range, now: float, tz: str) -> Question:
    """What is asked of a range that ends now: whole groups, of which the last is still under way.

    Raises InvalidRequest for an unknown zone.
    """
    asked = Question(since=now - span.seconds, until=now, by=span.by, time_zone=tz)
    # A group of which a part lies before the range would be told in part only.
    first = next(begin for begin in groups_of(asked) if begin >= asked.since)
    return msgspec.structs.replace(asked, since=float(first))


def _data(chart: Chart, question: Question, report: Mapping[str, Any]) -> ChartData:
    by = question.by
    begins = groups_of(question)
    rows: dict[int, list[Mapping[str, Any]]] = {begin: [] for begin in begins}
    for row in report["rows"]:
        rows[row[by]].append(row)
    values = [chart.of_rows(rows[begin]) for begin in begins]
    return ChartData(
        title=chart.title,
        unit=chart.unit,
        kind=chart.kind,
        by=by,
        tz=question.time_zone,
        is_empty=not report["rows"],
        series=chart.series,
        columns=(begins, *zip(*values, strict=True)),
    )
