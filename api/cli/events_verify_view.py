"""Shows the verdict of a recount to a person: one line if all is well, else every fault by its name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from api.cli.terminal_text import one_line
from api.quantities import number
from orchestrator.projections.fold import EVER
from orchestrator.reports.report import TIMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from storage.sql_comparison import Difference
    from storage.sql_rebuild import Verdict

SPANS = {**{span_s: name for name, span_s in TIMES.items()}, EVER: "ever"}

SHOWN_MAX = 20
"""chosen: of each kind of fault so many are shown, which is a screen; --json lists more."""


def verdict_view(verdict: Verdict, damaged: Sequence[str]) -> RenderableType:
    """The verdict, its faults, and what to do about them."""
    return Group(
        *_figures(verdict),
        *_holes(verdict),
        *_doubled(verdict),
        *_damaged(damaged),
        *_uncounted(verdict),
    )


def _figures(verdict: Verdict) -> list[RenderableType]:
    counted = f"{number(verdict.frames)} frames counted again, {number(verdict.rows)} rows compared: "
    if not verdict.differences:
        same = Text.assemble(counted, ("all equal", "green"))
        return [same, Text("The new rows are in use.")] if verdict.is_replaced else [same]
    parts: list[RenderableType] = [
        Text.assemble(counted, (_differ(verdict.differences), "bold red")),
        *(Text(f"  {_difference(one)}") for one in verdict.differing[:SHOWN_MAX]),
        *_more(verdict.differences),
    ]
    if verdict.is_replaced:
        parts.append(Text("The counted rows are in use now."))
    elif verdict.missing_frames:
        parts.append(Text("Frames are missing, so the rows in use may know more than the log."))
    elif verdict.spoiled_frames:
        parts.append(Text("Frames cannot be read any more, so the rows in use may know more than the log."))
    else:
        parts.append(Text("`amos events replay` puts the counted rows in their place."))
    return parts


def _differ(count: int) -> str:
    return "1 differs" if count == 1 else f"{number(count)} differ"


def _difference(one: Difference) -> str:
    """Which row, and the measures that differ: `rollup_health hour 2026-11-28 08:00: calls 3, counted 1`."""
    names = [
        SPANS.get(one.span_s, str(one.span_s)),
        _moment(one),
        *(f"{k}={v}" for k, v in one.dimensions.items()),
    ]
    row = " ".join([one.table, *(name for name in names if name and not name.endswith("="))])
    return one_line(f"{row}: {_measures(one.live, one.recounted)}")


def _measures(live: Mapping[str, int] | None, recounted: Mapping[str, int] | None) -> str:
    if live is None:
        counted = ", ".join(f"{name} {value}" for name, value in (recounted or {}).items() if value)
        return f"no such row, counted {counted or 'one of zeros'}"
    if recounted is None:
        there = ", ".join(f"{name} {value}" for name, value in live.items() if value)
        return f"{there or 'a row of zeros'}, counted no such row"
    return ", ".join(
        f"{name} {value}, counted {recounted[name]}"
        for name, value in live.items()
        if value != recounted[name]
    )


def _moment(one: Difference) -> str:
    if not one.span_s:
        return ""
    try:
        return datetime.fromtimestamp(one.start, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):  # a row somebody has invented
        return str(one.start)


def _holes(verdict: Verdict) -> list[RenderableType]:
    if not verdict.missing_frames:
        return []
    lines = [
        Text(
            f"  {one_line(hole.instance)}: {hole.first}"
            + (f" to {hole.last}" if hole.last > hole.first else "")
        )
        for hole in verdict.holes[:SHOWN_MAX]
    ]
    if len(verdict.holes) > SHOWN_MAX:
        lines.append(Text("  ...", style="dim"))
    are = "1 frame is" if verdict.missing_frames == 1 else f"{number(verdict.missing_frames)} frames are"
    title = f"{are} missing, by the numbers their writers gave them"
    return [Text(title, style="bold red"), *lines]


def _doubled(verdict: Verdict) -> list[RenderableType]:
    if not verdict.doubled:
        return []
    lines = [Text(f"  {one_line(stream)}") for stream in verdict.doubled[:SHOWN_MAX]]
    return [Text("Executions that ended twice", style="bold red"), *lines]


def _damaged(damaged: Sequence[str]) -> list[RenderableType]:
    if not damaged:
        return []
    title = "Segments of the journal with unreadable stretches; delete them when you have looked at them"
    return [Text(title, style="bold red"), *(Text(f"  {one_line(name)}") for name in damaged)]


def _uncounted(verdict: Verdict) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if verdict.unknown_events:
        count = verdict.unknown_events
        are = "1 event is of a type" if count == 1 else f"{number(count)} events are of types"
        parts.append(Text(f"{are} of another version, and in no figure"))
    if verdict.parked_frames:
        count = verdict.parked_frames
        hold = "1 frame holds" if count == 1 else f"{number(count)} frames hold"
        title = f"{hold} something that cannot be counted; no figure has it"
        parts.append(Text(title, style="yellow"))
        parts += [
            Text(
                f"  position {one.position}: {one.reason}" + (f", {one.events} events" if one.events else "")
            )
            for one in verdict.parked[:SHOWN_MAX]
        ]
        parts += _more(verdict.parked_frames)
    return parts


def _more(count: int) -> list[RenderableType]:
    """A line for those of `count` that are not shown."""
    rest = count - SHOWN_MAX
    return (
        [Text(f"  ... and {number(rest)} more; --json lists some of them", style="dim")] if rest > 0 else []
    )
