"""`amos events export`: takes recorded events elsewhere, as they were written, however many there are."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli import output
from api.cli.failure import EXIT_USAGE, CommandError
from api.cli.options import STDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api.cli.export_formats import Format
    from storage.sql_raw_events import Selection

LEFT_OUT_SHOWN_MAX = 10
"""chosen: enough to begin looking at."""

WHEN = "an age (24h, 7d), a moment (2026-11-22T10:00:00Z), epoch seconds or now"


def export(  # noqa: PLR0917 - each is an option of the command line
    format_: Annotated[
        Literal["jsonl", "csv", "parquet"],
        typer.Option("--format", help="JSON lines, CSV, or Parquet, which needs the package pyarrow."),
    ] = "jsonl",
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help=f"Recorded at or after: {WHEN}.")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Recorded before.")] = "",
    type_: Annotated[
        str,
        typer.Option("--type", metavar="TYPE", help="Only this type, or part of one: attempt, cache.hit."),
    ] = "",
    client: Annotated[
        str, typer.Option("--client", metavar="NAME", help="Only what was done for this client.")
    ] = "",
    stream: Annotated[
        str, typer.Option("--stream", metavar="ID", help="Only this execution, or another stream.")
    ] = "",
    to: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Write a file, which appears when it is whole."),
    ] = Path("-"),
) -> None:
    """Write recorded events as JSON lines, CSV or Parquet."""
    from api.cli.export_formats import FORMATS  # noqa: PLC0415
    from storage.sql_raw_events import Selection  # noqa: PLC0415

    is_stdout = str(to) == STDIN
    if is_stdout and format_ == "parquet" and sys.stdout is not None and sys.stdout.isatty():
        raise CommandError("Parquet is not for a terminal.", "Name a file: -o FILE.", exit_code=EXIT_USAGE)
    begin, end = _window(since, until, time.time())
    selection = Selection(begin, end, stream, client)
    asyncio.run(_export(FORMATS[format_](), selection, type_, None if is_stdout else to))


def _window(since: str, until: str, now: float) -> tuple[float, float]:
    """The moments in epoch seconds; without any all of the log. Raises InvalidRequest."""
    from api.moments import moment  # noqa: PLC0415
    from orchestrator.errors import InvalidRequest  # noqa: PLC0415

    begin = moment("since", since, now) if since else 0.0
    end = moment("until", until, now) if until else float("inf")
    if begin >= end:
        raise InvalidRequest("since: must be before until.", field="since")
    return begin, end


async def _export(format_: Format, selection: Selection, type_: str, to: Path | None) -> None:
    from api.cli.events import matches  # noqa: PLC0415
    from api.cli.in_process import open_record  # noqa: PLC0415
    from api.cli.output_file import whole_file  # noqa: PLC0415
    from api.settings import load  # noqa: PLC0415

    count = left_out = 0
    first_left_out: list[int] = []
    async with open_record(load()) as record:
        with whole_file(to) if to else nullcontext(_to_stdout()) as write, _progress(to) as advance:
            write(format_.begin())
            async for page in record.log.raw_events(selection):
                events = [event for event in page.events if matches(event.head.type, type_)]
                write(format_.page(events))
                count += len(events)
                left_out += len(page.unreadable)
                first_left_out = [*first_left_out, *page.unreadable][:LEFT_OUT_SHOWN_MAX]
                advance(page.share)
            write(format_.end())
    if to:
        output.message(f"{count} events written to {to}")
    if left_out:
        shown = ", ".join(map(str, first_left_out))
        more = f" and {left_out - len(first_left_out)} more" if left_out > len(first_left_out) else ""
        raise CommandError(
            f"Rows of the log that hold no events are left out, at the positions {shown}{more}.",
            "Everything else was written.",
        )


def _to_stdout() -> Callable[[bytes], None]:
    """Writes to standard output; on a terminal nothing in it acts."""
    from api.cli.terminal_text import json_for_terminal  # noqa: PLC0415

    if sys.stdout is None or not sys.stdout.isatty():
        return output.data_bytes
    return lambda chunk: output.data_bytes(json_for_terminal(chunk.decode()).encode())


@contextmanager
def _progress(to: Path | None) -> Iterator[Callable[[float], None]]:
    """Shows the share that is done, unless the data itself goes to the terminal."""
    if to is None and (sys.stdout is None or sys.stdout.isatty()):
        yield lambda _: None
        return
    with output.progress("exporting, per cent") as advance:
        yield lambda share: advance(round(share * 100), 100)
