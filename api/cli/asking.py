"""One question to the gateway, shown, and out: what most commands are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from api.cli.batch import View
    from api.cli.connection import Connection


def show_answer(
    what: str,
    ask: Callable[[Connection], Awaitable[bytes]],
    view: View,
    url: str | None,
    key_file: Path | None,
    *,
    as_json: bool,
) -> NoReturn:
    """Ask, show the answer as JSON or by `view`, and leave with its exit code.

    `what` is what a person calls it. Raises GatewayError and CommandError, and Exit in the end.
    """
    # Imported only now: `--help` needs none of it.
    from api.cli.batch import Question, ask_all  # noqa: PLC0415

    work = ask_all([Question(what, ask)], view, url=url, key_file=key_file, as_json=as_json)
    raise typer.Exit(asyncio.run(work))
