"""How `amos doctor` is read by somebody tired: what is wrong, the worst first; what is well in one line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from api.cli.doctor_finding import FAILURE, OK, UNCONFIGURED, WARNING, Finding
from api.cli.terminal_text import one_line
from api.quantities import moment, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

INDENT = 9
"""The width of a state and the blank behind it."""

STYLES = {FAILURE: "bold red", WARNING: "yellow"}


def doctor_view(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """All findings, in the order in which they come."""
    yield Text(_summary(findings), style="bold")
    for finding in findings:
        if finding.is_bad:
            yield Text()
            yield from _bad(finding)
    yield Text()
    if well := [finding.name for finding in findings if finding.status == OK]:
        yield Text.assemble(("In order: ", "green"), one_line(", ".join(well)), ".")
    idle = [f"{one.name} ({one.detail.removesuffix('.')})" for one in findings if one.status == UNCONFIGURED]
    if idle:
        yield Text(f"Not in use: {one_line(', '.join(idle))}.", style="dim")


def _summary(findings: Sequence[Finding]) -> str:
    counts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for word in (FAILURE, WARNING)
        if (count := sum(finding.status == word for finding in findings))
    ]
    return f"{' and '.join(counts)}, the worst first." if counts else "Nothing is wrong."


def _bad(finding: Finding) -> Iterator[RenderableType]:
    yield Text.assemble(
        (f"{finding.status:<8}", STYLES[finding.status]),
        f" {one_line(finding.name)}: ",
        one_line(finding.detail),
    )
    lines = (("since", _since(finding.since)), ("callers", finding.effect), ("next", finding.next_step))
    for word, text in lines:
        if text:
            line = Text.assemble((f"{word:<8}", "dim"), " ", one_line(text))
            yield Padding(line, (0, 0, 0, INDENT), expand=False)


def _since(at: float) -> str:
    return f"{moment(at)}, {seconds(max(time.time() - at, 0.0))} ago" if at else ""
