"""The only place that prints: data goes to stdout, messages and progress to stderr.

Colour, links and spinners appear only on a terminal, never with `NO_COLOR` or `TERM=dumb`. Into a pipe
nothing is wrapped or cut, so that grep sees whole lines. A reader that closes the pipe (`| head`) ends the
command quietly: every function here that writes data raises `ReaderGone` then.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from api.cli.failure import CommandError
from api.cli.terminal_text import json_for_terminal, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, RenderableType
    from rich.text import Text

    from api.cli.failure import Failure

PIPE_WIDTH = 100_000
"""Columns assumed where there is no terminal: chosen so large that nothing wraps."""


class ReaderGone(Exception):
    """Nobody reads stdout any more."""


class Advance(Protocol):
    """Tells how far a long piece of work is."""

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` steps are done; `total` may grow."""


class AdvancePhase(Protocol):
    """Tells the same of a piece of work in several phases, one after the other."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """`done` of `total` steps of this phase are done."""


def data(*renderables: RenderableType) -> None:
    """Print for people, one below the other."""
    _require_stdout()
    console = _console(stderr=False)
    with _writing():
        for renderable in renderables:
            console.print(renderable)


def line(text: str) -> None:
    """Print one line for people and simple scripts alike."""
    data(_plain(text))


def _plain(text: str) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    return Text(one_line(text), overflow="fold")


def data_json(value: bytes | object) -> None:
    """Print for programs: one line of JSON a call; `bytes` are JSON already and leave untouched.

    On a terminal it is indented, and characters that a terminal would obey are escaped, which changes no
    value.
    """
    encoded = value if isinstance(value, bytes) else msgspec.json.encode(value)
    _require_stdout()
    if sys.stdout.isatty():
        encoded = json_for_terminal(msgspec.json.format(encoded, indent=2).decode()).encode()
    with _writing():
        sys.stdout.buffer.write(encoded + b"\n")
        sys.stdout.buffer.flush()


def data_bytes(chunk: bytes) -> None:
    """Print bulk data for programs as it is; it is theirs to end its lines."""
    _require_stdout()
    with _writing():
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def flush() -> None:
    """Write what is still buffered. Raises ReaderGone, CommandError."""
    if sys.stdout is not None:
        with _writing():
            sys.stdout.flush()


def _require_stdout() -> None:
    """Raise CommandError if the command was started without a standard output (`>&-`)."""
    if sys.stdout is None:
        raise CommandError("Standard output is closed.")


@contextmanager
def _writing() -> Iterator[None]:
    """While data is written: a closed pipe is ReaderGone, a full disk a failure in one sentence."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        raise CommandError(f"Standard output cannot be written: {error.strerror}.") from error


def message(text: str) -> None:
    """Say something to the person, on stderr."""
    _console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def failure(what: Failure) -> None:
    """Say what went wrong and what to do next, on stderr. Line breaks of the sentence are kept."""
    from rich.text import Text  # noqa: PLC0415

    console = _console(stderr=True)
    lines = [one_line_indented(line) for line in what.sentence.splitlines()] or [""]
    console.print(Text.assemble(("Error: ", "bold red"), "\n".join(lines)), soft_wrap=True)
    if what.next_step:
        console.print(Text(what.next_step), soft_wrap=True)


def one_line_indented(line: str) -> str:
    """The line made harmless, its indentation kept."""
    return line[: len(line) - len(line.lstrip(" "))] + one_line(line)


def print_traceback(error: BaseException) -> None:
    """Show where the error comes from, on stderr."""
    sys.stderr.write("".join(traceback.format_exception(error)))


def heading(text: str) -> RenderableType:
    """A line above what belongs to it, for `data`."""
    from rich.text import Text  # noqa: PLC0415

    return Text(one_line(text), style="bold underline")


def table(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> RenderableType:
    """A table for `data`; a column and its heading are aligned as its first cell is."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, column in enumerate(columns):
        grid.add_column(one_line(column), justify=rows[0][number].justify or "left" if rows else "left")
    for row in rows:
        grid.add_row(*row)
    return grid


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show that something is going on, on stderr and only to a terminal."""
    console = _console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    with console.status(one_line(text)):
        yield


@contextmanager
def progress(text: str) -> Iterator[Advance]:
    """Show how far a long piece of work is: a bar on a terminal, elsewhere nothing until the end."""
    from rich import progress as bars  # noqa: PLC0415

    console = _console(stderr=True)
    is_shown = console.is_terminal and not console.is_dumb_terminal
    bar = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        console=console,
        disable=not is_shown,
    )
    with bar:
        task = bar.add_task(one_line(text), total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


@contextmanager
def progress_by_phase() -> Iterator[AdvancePhase]:
    """The same for work that has several phases, each with a bar of its own."""
    with ExitStack() as bars:
        current: dict[str, Advance] = {}

        def advance(phase: str, done: int, total: int) -> None:
            if phase not in current:
                bars.close()
                current.clear()
                current[phase] = bars.enter_context(progress(phase))
            current[phase](done, total)

        yield advance


def stop_writing() -> None:
    """Send whatever is still buffered nowhere, so that the program does not fail again when it ends."""
    if sys.stdout is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console  # noqa: PLC0415

    class QuietConsole(Console):
        """A console that reports a closed pipe as `ReaderGone` and does not end the program itself."""

        def on_broken_pipe(self) -> None:
            raise ReaderGone

    # Without a stderr (`2>&-`) messages go nowhere.
    stream = (sys.stderr or io.StringIO()) if stderr else sys.stdout
    options: dict[str, Any] = {} if stream.isatty() else {"width": PIPE_WIDTH}
    return QuietConsole(file=stream, highlight=False, emoji=False, markup=False, **options)
