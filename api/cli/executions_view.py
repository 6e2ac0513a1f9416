"""Shows past executions to a person: a table, and where that is too wide two lines for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.measure import Measurement
from rich.text import Text

from api.cli import output
from api.cli.terminal_text import one_line
from api.quantities import ABSENT, moment, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

    from orchestrator.executions import FoundExecution, FoundExecutions

COLUMNS = ("recorded", "client", "operation", "answer", "took", "execution", "asked")

ASKED_WIDTH = 60
"""chosen: so much of a text tells it from others, and leaves room for the rest on a wide terminal."""


def executions_view(found: FoundExecutions) -> RenderableType:
    """All that were found, newest first."""
    if not found.executions:
        return Text("No execution fits.", style="dim")
    return _Fitting(found.executions)


class _Fitting:
    """A table if the terminal is wide enough for it."""

    def __init__(self, executions: tuple[FoundExecution, ...]) -> None:
        self._rows = [_cells(execution) for execution in executions]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = output.table(COLUMNS, self._rows)
        if Measurement.get(console, options.update(width=10_000), table).maximum <= options.max_width:
            yield table
            return
        for *facts, execution, asked in self._rows:
            yield Group(Text("  ").join(facts), Text.assemble("  ", execution, "  ", asked))


def _cells(execution: FoundExecution) -> list[Text]:
    asked = Text(one_line(execution.text or ABSENT))
    asked.truncate(ASKED_WIDTH, overflow="ellipsis")
    return [
        Text(moment(execution.recorded_at), style="dim", no_wrap=True),
        Text(one_line(execution.client or ABSENT)),
        Text(one_line(execution.operation)),
        _answer(execution),
        Text(seconds(execution.duration_s), justify="right", no_wrap=True),
        Text(one_line(execution.execution_id), style="cyan", no_wrap=True),
        asked,
    ]


def _answer(execution: FoundExecution) -> Text:
    """Who answered and which way, or why nobody did."""
    if execution.outcome == "failed":
        return Text(one_line(execution.error), style="red")
    provider, cache = execution.provider or ABSENT, execution.cache
    return Text(one_line(provider if cache == "miss" else f"{provider} · {cache}"))
