"""Shows any report to a person: single figures first, then a table for each list.

It knows no report by name: the unit of a figure is the end of its name, so a report that gains a figure shows
it. Moments are those of the report's time zone, `tz`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Group
from rich.measure import Measurement
from rich.padding import Padding
from rich.text import Text

from api.cli import output
from api.cli.charts import NO_CHART, Chart
from api.cli.terminal_text import one_line
from api.quantities import is_amount, label, shown
from orchestrator.reports.report import TIMES
from orchestrator.reports.windows import zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from rich.console import Console, ConsoleOptions, RenderableType

STATUS_STYLES = {"ok": "green", "degraded": "yellow", "unconfigured": "dim", "down": "bold red"}

ON_THEIR_SIDE_MAX = 6
"""chosen: so many rows of a table that is too wide stand side by side as columns."""

TEXT_WIDTH = 24
"""chosen: where room is short, so much of a text tells it from others, and eight figures fit beside it."""

KEY_WIDTH = 9
"""chosen: eight of a key's hexadecimal digits and the sign that more follow, as Git shortens its own."""

SPREAD = ("p50_s", "p95_s", "max_s")
"""Of durations, what is drawn of them."""

Row = Mapping[str, Any]

Drawings = Mapping[str, Callable[[Row], str]]
"""What is drawn beside a column."""


class Look(NamedTuple):
    """How a report is shown: moments in which zone, and what bars are drawn with."""

    zone: tzinfo | None
    chart: Chart

    def cell(self, name: str, value: Any) -> Text:
        """One figure."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        text = one_line(shown(name, value, self.zone))
        style = STATUS_STYLES.get(text, "") if name == "status" else ""
        return Text(text, style=style, justify="right" if is_number else "left", no_wrap=is_number)


def report_view(body: Mapping[str, Any], chart: Chart = NO_CHART) -> RenderableType:
    """All of a report."""
    zone = zone_of(body["tz"]) if "tz" in body else None
    return Group(*_section("", body, Look(zone, chart)))


def _section(title: str, body: Mapping[str, Any], look: Look) -> list[RenderableType]:
    """The figures of an object, then its lists and the objects within, each under its name."""
    figures = {name: value for name, value in body.items() if not _is_section(value)}
    parts: list[RenderableType] = [Text(f"\n{label(title)}", style="bold")] if title else []
    if figures:
        parts.append(_figures(figures, look))
    for name, value in body.items():
        if isinstance(value, Mapping) and _is_section(value):
            parts += _section(name, value, look)
        elif _is_section(value) and (value or name != "rows" or body.get("by")):
            parts += _table(name, value, look)
    return parts


def _is_section(value: Any) -> bool:
    """Whether the value is a list of objects, or an object that is not empty."""
    return bool(value) if isinstance(value, Mapping) else _is_table(value)


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(i, Mapping) for i in value)
    )


def _figures(figures: Mapping[str, Any], look: Look) -> RenderableType:
    width = max(len(label(name)) for name in figures)
    lines = [
        Text.assemble((f"{one_line(label(name)):<{width}}  ", "dim"), look.cell(name, value))
        for name, value in figures.items()
    ]
    return Group(*lines)


def _table(name: str, rows: Sequence[Row], look: Look) -> list[RenderableType]:
    """A table, and one for each list of objects within its rows, which begin as the row does."""
    title = Text(f"\n{label(name)}", style="bold")
    if not rows:
        return [Text.assemble(title, ("  none", "dim"))]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    times = [column for column in columns if column in TIMES and "time" in columns]
    line = look.chart.line(rows, times[0], _measured(columns, rows)) if times else ""
    within = [column for column in columns if all(_is_table(row.get(column)) for row in rows)]
    shown_columns = [column for column in columns if column not in {"time", *within}]
    parts: list[RenderableType] = [
        title,
        *([Text(line)] if line else []),
        _Fitting(shown_columns, rows, look),
    ]
    first = columns[0]
    for column in within:
        parts += _table(column, [{first: row[first], **one} for row in rows for one in row[column]], look)
    return parts


def _measured(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The column that bars show: the first with amounts, which are above zero somewhere; `""` if none is."""
    for column in columns:
        values = [row.get(column) for row in rows]
        if is_amount(column) and all(type(value) is int and value >= 0 for value in values) and any(values):
            return column
    return ""


class _Fitting:
    """A table that fits, if need be without what is nothing everywhere, or in another form.

    First only one thing is drawn, then long texts are cut, then nothing is drawn, then rows become columns,
    and at last each row stands for itself. No figure is ever cut.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[Row], look: Look) -> None:
        self._columns, self._rows, self._look = columns, rows, look

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for table in self._from_wide_to_narrow():
            if Measurement.get(console, options.update(width=10_000), table).maximum <= options.max_width:
                yield table
                return
        yield self._row_by_row()

    def _from_wide_to_narrow(self) -> Iterator[RenderableType]:
        telling = [column for column in self._columns if any(row.get(column) for row in self._rows)]
        everything = {**self._amounts(), **self._shares(), **self._spreads()}
        foremost = self._spreads() or self._amounts()
        for columns in (self._columns, telling):
            yield self._upright(columns, everything)
            yield self._upright(columns, foremost)
        yield self._upright(telling, foremost, is_cut=True)
        yield self._upright(telling, {}, is_cut=True)
        if len(self._rows) <= ON_THEIR_SIDE_MAX:
            yield self._on_its_side(telling)

    def _amounts(self) -> Drawings:
        """Bars beside the first column with amounts, against the largest of them."""
        measured = _measured(self._columns, self._rows) if len(self._rows) > 1 else ""
        most = max((row[measured] for row in self._rows), default=0) if measured else 0
        chart = self._look.chart
        return {measured: lambda row: chart.bar(row[measured], most)} if chart.parts and measured else {}

    def _shares(self) -> Drawings:
        """Bars beside the first column with shares, against the whole."""
        share = next((column for column in self._columns if column.endswith("_ratio")), "")
        chart = self._look.chart
        if not chart.parts or not share or len(self._rows) < 2:
            return {}
        return {share: lambda row: chart.bar(row.get(share) or 0.0, 1.0)}

    def _spreads(self) -> Drawings:
        """From the median by the 95th percentile to the longest, where a row has durations."""
        chart = self._look.chart
        durations = [value for row in self._rows for name in SPREAD if (value := row.get(name))]
        if not chart.spread_of or not durations or SPREAD[-1] not in self._columns:
            return {}
        least, most = min(durations), max(durations)
        return {
            SPREAD[-1]: lambda row: (
                chart.spread([row[name] for name in SPREAD], least, most) if all(map(row.get, SPREAD)) else ""
            )
        }

    def _upright(self, columns: Sequence[str], drawings: Drawings, *, is_cut: bool = False) -> RenderableType:
        headings = [
            heading for column in columns for heading in _heading(column, is_drawn=column in drawings)
        ]
        cells = []
        for row in self._rows:
            line: list[Text] = []
            for column in columns:
                cell = self._look.cell(column, row.get(column))
                if is_cut and isinstance(row.get(column), str):
                    cell.truncate(KEY_WIDTH if column == "key" else TEXT_WIDTH, overflow="ellipsis")
                line.append(cell)
                if column in drawings:
                    line.append(Text(drawings[column](row), style="cyan", no_wrap=True))
            cells.append(line)
        return output.table(headings, cells)

    def _row_by_row(self) -> RenderableType:
        first, *others = self._columns
        parts: list[RenderableType] = []
        for row in self._rows:
            figures = (
                f"{one_line(label(column))} {self._look.cell(column, row[column]).plain}"
                for column in others
                if row.get(column)
            )
            parts += [
                self._look.cell(first, row.get(first)),
                Padding(Text(" · ".join(figures)), (0, 0, 0, 2)),
            ]
        return Group(*parts)

    def _on_its_side(self, columns: Sequence[str]) -> RenderableType:
        first, *others = columns
        headings = ["", *(self._look.cell(first, row.get(first)).plain for row in self._rows)]
        cells = [
            [
                Text(one_line(label(column)), style="dim"),
                *(self._look.cell(column, row.get(column)) for row in self._rows),
            ]
            for column in others
        ]
        return output.table(headings, cells)


def _heading(column: str, *, is_drawn: bool) -> list[str]:
    return [label(column), ""] if is_drawn else [label(column)]
