"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import output
from api.cli.failure import EXIT_USAGE, CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="Ask this server; without it the gateway runs in this process."
    ),
]

KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="With --url, show the API key in this file; without it the one in AMOS_KEY.",
    ),
]


def kind_names() -> list[str]:
    """The kinds of providers of this installation, with those of plug-ins, for the completion of shells."""
    from api.providers import built_in  # noqa: PLC0415
    from api.settings import load  # noqa: PLC0415
    from orchestrator.providers.registry import Kinds  # noqa: PLC0415

    return list(Kinds(built_in(load({}))).names)


STDIN = "-"
"""An argument that stands for the lines of standard input."""

STDIN_LINES_MAX = 10_000
"""chosen: a batch somebody means; each line may cost money at a provider."""


def lines_of_stdin() -> list[str]:
    """The lines of standard input without blank ones. Raises CommandError when there are none, or too many.

    All are read before the first is used: once the event loop runs, Ctrl-C would not end a wait for a line.
    """
    stdin = sys.stdin or io.TextIOWrapper(io.BytesIO())  # started without one (`<&-`) it is empty
    if stdin.isatty():
        output.message("Reading lines from the terminal; Ctrl-D ends them.")
    lines: list[str] = []
    for line in stdin.buffer:
        if text := line.decode("utf-8", errors="replace").strip():
            lines.append(text)
        if len(lines) > STDIN_LINES_MAX:
            raise CommandError(f"Standard input has more than {STDIN_LINES_MAX} lines.", exit_code=EXIT_USAGE)
    if not lines:
        raise CommandError(
            "Standard input is empty.", "Give one line for each, or the text itself.", exit_code=EXIT_USAGE
        )
    return lines


def from_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `-` replaced by the lines of standard input."""
    found: list[str] = []
    for argument in arguments:
        found += lines_of_stdin() if argument == STDIN else [argument]
    return found
