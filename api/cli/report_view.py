"""Shows any report to a person: single figures first, then a table for each list.

It knows no report by name: the unit of a figure is the end of its name, so a report that gains a figure shows
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from api.cli import output
from api.cli.quantities import label, shown
from api.cli.terminal_text import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

STATUS_STYLES = {"ok": "green", "degraded": "yellow", "unconfigured": "dim", "down": "bold red"}


def report_view(body: Mapping[str, Any]) -> RenderableType:
    """All of a report."""
    return Group(*_section("", body))


def _section(title: str, body: Mapping[str, Any]) -> list[RenderableType]:
    """The figures of an object, then its lists and the objects within, each under its name."""
    figures = {name: value for name, value in body.items() if not _is_section(value)}
    parts: list[RenderableType] = [Text(f"\n{label(title)}", style="bold")] if title else []
    if figures:
        parts.append(_figures(figures))
    for name, value in body.items():
        if isinstance(value, Mapping) and _is_section(value):
            parts += _section(name, value)
        elif _is_section(value):
            parts += _table(name, value)
    return parts


def _is_section(value: Any) -> bool:
    """Whether the value is a list of objects, or an object that is not empty."""
    if isinstance(value, Mapping):
        return bool(value)
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(i, Mapping) for i in value)
    )


def _figures(figures: Mapping[str, Any]) -> RenderableType:
    width = max(len(label(name)) for name in figures)
    lines = [
        Text.assemble((f"{one_line(label(name)):<{width}}  ", "dim"), _cell(name, value))
        for name, value in figures.items()
    ]
    return Group(*lines)


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    title = Text(f"\n{label(name)}", style="bold")
    if not rows:
        return [Text.assemble(title, ("  none", "dim"))]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(column, row.get(column)) for column in columns] for row in rows]
    return [title, output.table([label(column) for column in columns], cells)]


def _cell(name: str, value: Any) -> Text:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = one_line(shown(name, value))
    style = STATUS_STYLES.get(text, "") if name == "status" else ""
    return Text(text, style=style, justify="right" if is_number else "left", no_wrap=is_number)
