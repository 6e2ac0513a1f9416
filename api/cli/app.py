"""The command `amos`: which commands there are, and how a run ends.

Every failure becomes one sentence on stderr and an exit code: 0 done, 1 failed, 2 the command line is wrong,
130 Ctrl-C. A traceback is shown only with `AMOS_LOG_LEVEL=debug`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api import __version__
from api.cli import (
    EXIT_INTERRUPTED,
    budget,
    cache,
    completion,
    db,
    doctor,
    events,
    executions,
    extract,
    index,
    keys,
    man,
    output,
    providers,
    report,
    search,
    serve,
    stdio,
)
from api.cli.command_tree import documented
from api.cli.failure import EXIT_USAGE, CommandError, Failure, explain
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP_COLUMNS_MAX = 100
"""chosen: longer lines are hard to read; a narrower terminal has narrower help."""

app = typer.Typer(
    name="amos",
    help="AMOS, a search gateway: it falls back when a provider fails, does not pay twice, and says why.",
    epilog="Try: amos search circuit breaker. With a server running: amos search --url 127.0.0.1:8000 ...",
    invoke_without_command=True,
    # Plain help: importing rich for its panels would take twice as long as all the rest of `amos --help`.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,  # completion.py says why
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_COLUMNS_MAX},
)

app.command()(serve.serve)
app.command()(serve.recorder)
app.command()(search.search)
app.command()(extract.extract)
app.command()(stdio.mcp)
app.command()(report.report)
app.command()(budget.budget)
app.command()(executions.executions)
app.add_typer(events.app, name="events")
app.add_typer(providers.app, name="providers")
app.command()(index.index)
app.command()(doctor.doctor)
app.add_typer(cache.app, name="cache")
app.add_typer(keys.app, name="keys")
app.add_typer(providers.app, name="providers")
app.add_typer(db.app, name="db")
app.command()(completion.completion)
app.command()(man.man)


def _print_version(wanted: bool) -> None:
    if wanted:
        output.line(f"amos {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """AMOS, a search gateway: it falls back when a provider fails, does not pay twice, and says why."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str] | None) -> int:
    """Run one command line and return its exit code. Raises nothing but KeyboardInterrupt."""
    try:
        command = documented(app)
        result = command.main(args=arguments, prog_name="amos", standalone_mode=False)
        output.flush()
    except (output.ReaderGone, BrokenPipeError):
        output.stop_writing()
        return 0  # whoever closed the pipe had all they wanted
    except typer.TyperException as error:
        return _usage_error(error)
    except typer.Abort:
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, a person gets a sentence
        return _failed(error)
    return result if isinstance(result, int) else 0


def _usage_error(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    step = f"`{context.command_path} --help` shows how to use it." if context else "See `amos --help`."
    if context and getattr(error, "option_name", "") == "--url":
        step = (
            f"`{context.command_path}` works on the data folder and database of the settings: run it there."
        )
    format_message = getattr(error, "format_message", lambda: str(error))
    # pydantic, which checks the values for typer, puts the kind of its error before the sentence; typer puts
    # each choice of an argument that is missing on a line of its own.
    sentence = " ".join(format_message().replace("Value error, ", "").split())
    output.failure(Failure(sentence, step))
    return EXIT_USAGE


def _failed(error: Exception) -> int:
    failure = explain(error)
    try:
        output.flush()
    except (output.ReaderGone, CommandError):
        output.stop_writing()
    if _is_debugging():
        output.print_traceback(error)
    output.failure(failure)
    return failure.exit_code


def _is_debugging() -> bool:
    from api.settings import load  # noqa: PLC0415

    try:
        return load().log_level == "debug"
    except SettingsError:
        return False
