"""`amos events`: what was recorded, as it comes in, for one execution, all of it, and whether it is sound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import typer

from api.cli import events_erase, events_export, output
from api.cli.asking import show_answer
from api.cli.options import JsonOption, KeyFileOption, UrlOption

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from orchestrator.events import Envelope
    from storage.sql_event_log import SqlEventLog, StoredFrame

app = typer.Typer(help="Look at recorded events. Also checks, recounts, prunes, exports, erases.")

POLL_S = 0.5
"""chosen: how long after its commit an event may appear with --follow; a look costs a millisecond."""

BATCH_FRAMES = 500
"""chosen: frames read at once; a few hundred kilobytes."""

TailLines = Annotated[
    int,
    typer.Option("-n", "--lines", min=0, metavar="COUNT", help="Begin with this many of the last events."),
]


@app.command()
def tail(
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with new events until Ctrl-C.")
    ] = False,
    lines: TailLines = 20,
    type_: Annotated[
        str,
        typer.Option("--type", metavar="TYPE", help="Only this type, or part of one: attempt, cache.hit."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Print the last events of the database, oldest first."""
    asyncio.run(_tail(follow=follow, lines=lines, type_=type_, as_json=as_json))


@app.command()
def show(
    execution_id: Annotated[str, typer.Argument(metavar="EXECUTION_ID", help="The id an answer gives.")],
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all events of one execution, and what they mean."""
    from api.cli.events_view import execution_view  # noqa: PLC0415

    ask = lambda gateway: gateway.execution(execution_id)  # noqa: E731 - it is passed on
    show_answer(f"execution {execution_id}", ask, execution_view, url, key_file, as_json=as_json)


@app.command()
def verify(as_json: JsonOption = False) -> None:
    """Count all frames again and name what differs or is missing.

    Works beside a running server. Exit code 1 if anything is wrong.
    """
    from api.cli.events_verify import run_verify  # noqa: PLC0415

    raise typer.Exit(run_verify(as_json=as_json))


@app.command()
def replay(
    despite_holes: Annotated[
        bool, typer.Option("--despite-holes", help="Also if frames are missing whose counts are then gone.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Count all frames again and let reports read the result.

    Works beside a running server: reports read the old figures until the new ones are complete.
    """
    from api.cli.events_verify import run_replay  # noqa: PLC0415

    raise typer.Exit(run_replay(despite_holes=despite_holes, as_json=as_json))


@app.command()
def prune(
    before: Annotated[
        str, typer.Option(metavar="AGE|MOMENT", help="What was recorded before: 90d, or 2026-01-01.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete old frames; every figure of every report stays.

    What goes are the details of old executions and their raw events. Works beside a running server.
    """
    from api.cli.events_prune import run_prune  # noqa: PLC0415

    run_prune(before, is_dry=dry_run, is_sure=yes, as_json=as_json)


app.command()(events_export.export)
app.command()(events_erase.erase)


class Line(NamedTuple):
    """One event as tail shows it, with the place and stream of its frame."""

    position: int
    stream: str
    envelope: Envelope

    @property
    def type(self) -> str:
        """The type name of the event; one of a type we do not know carries it as a field."""
        event = self.envelope.event
        return str(getattr(event, "type", None) or event.__struct_config__.tag)


def matches(type_name: str, wanted: str) -> bool:
    """Whether the type name has the wanted parts in a row; `""` fits every type.

    `attempt` and `attempt.failed` both fit `amos.attempt.failed.v1`; `fail` does not.
    """
    return not wanted or f".{wanted.strip('.').lower()}." in f".{type_name}."


async def _tail(*, follow: bool, lines: int, type_: str, as_json: bool) -> None:
    from api.cli.in_process import open_record, say_if_empty  # noqa: PLC0415
    from api.settings import load  # noqa: PLC0415

    settings = load()
    async with open_record(settings) as record:
        log = record.log
        await say_if_empty(settings, log)
        newest = await log.last_position()
        for line in await _last(log, newest, lines, type_):
            _print(line, as_json=as_json)
        if follow:
            async for line in _after(log, newest, type_):
                _print(line, as_json=as_json)


async def _last(log: SqlEventLog, newest: int, count: int, type_: str) -> list[Line]:
    """The last `count` events up to the position `newest`, found by looking back batch by batch."""
    found: list[Line] = []
    end = newest
    while end > 0 and len(found) < count:
        start = max(end - BATCH_FRAMES, 0)
        batch = [stored for stored in await log.read(start, BATCH_FRAMES) if stored.position <= end]
        found = [*_lines(batch, type_), *found]
        end = start
    return found[len(found) - count :] if len(found) > count else found


async def _after(log: SqlEventLog, position: int, type_: str) -> AsyncIterator[Line]:
    """Every event behind the position, without end."""
    while True:
        batch = await log.read(position, BATCH_FRAMES)
        for line in _lines(batch, type_):
            yield line
        position = batch[-1].position if batch else position
        if not batch:
            await asyncio.sleep(POLL_S)


def _lines(batch: list[StoredFrame], type_: str) -> Iterator[Line]:
    for position, frame in batch:
        for envelope in frame.events:
            line = Line(position, frame.stream, envelope)
            if matches(line.type, type_):
                yield line


def _print(line: Line, *, as_json: bool) -> None:
    envelope = msgspec.to_builtins(line.envelope)
    if as_json:
        output.data_json({"position": line.position, "stream": line.stream, **envelope})
        return
    from api.cli.events_view import event_line  # noqa: PLC0415

    output.data(event_line(line.envelope.at, line.stream, envelope["event"]))
