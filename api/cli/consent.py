"""Asks a person before something is done that cannot be undone; where nobody is, it is refused."""

from __future__ import annotations

import sys

import typer

from api.cli import output
from api.cli.failure import EXIT_USAGE, CommandError

YES_OR_LOOK = "Say so with --yes, or look with --dry-run."
"""What to do where nobody can be asked."""


def require_person(deed: str, next_step: str) -> None:
    """Raise CommandError unless somebody at a terminal can be asked about the deed, `Erasing`."""
    # Without a standard input (`<&-`) nobody is there either.
    if sys.stdin is None or not sys.stdin.isatty():
        raise CommandError(
            f"{deed} cannot be undone, and nobody is here to be asked.", next_step, exit_code=EXIT_USAGE
        )


def is_agreed(question: str) -> bool:
    """Whether the person says yes to the question; who does not is told that nothing was changed."""
    if typer.confirm(question, err=True):
        return True
    output.message("Nothing was changed.")
    return False
