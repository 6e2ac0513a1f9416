"""`amos serve` and `amos recorder`: the processes that run for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import output
from api.cli.failure import EXIT_USAGE, CommandError

if TYPE_CHECKING:
    from api.settings import Settings


def serve(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Listen on this address instead of AMOS_HOST.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Listen on this port instead of AMOS_PORT; 0 takes a free one."),
    ] = None,
    print_settings: Annotated[
        bool, typer.Option("--print-settings", help="Print the settings in force, keys masked, and stop.")
    ] = False,
) -> None:
    """Run the server and its recorder."""
    settings = settings_with({"host": host, "port": port})
    if print_settings:
        for name, value in settings.masked().items():
            output.line(f"{name}={value}")
        return
    from api.supervisor import serve as run_server  # noqa: PLC0415

    raise typer.Exit(run_server(settings))


def recorder() -> None:
    """Run the recorder alone, until Ctrl-C or SIGTERM.

    It brings what servers and commands have journalled into the database, as the one of `amos serve` does.
    """
    import asyncio  # noqa: PLC0415

    from api.logs.configure import configure_logging  # noqa: PLC0415
    from api.recorder import record  # noqa: PLC0415
    from storage.recorder_process import RecorderBusy  # noqa: PLC0415

    settings = settings_with({})
    configure_logging(settings)
    output.message(f"amos: recording {settings.data_dir}; Ctrl-C stops")
    try:
        asyncio.run(record(settings, watches_parent=False))
    except RecorderBusy as error:
        raise CommandError(
            f"Another process records {settings.data_dir} already.", "`amos doctor` shows how it is doing."
        ) from error


def settings_with(flags: dict[str, Any]) -> Settings:
    """The settings in force with the flags that were given in their place.

    Raises SettingsError for the configuration, and CommandError for a flag with a bad value.
    """
    from pydantic import ValidationError  # noqa: PLC0415

    from api.settings import Settings, load  # noqa: PLC0415

    settings = load()
    given = {name: value for name, value in flags.items() if value is not None}
    if not given:
        return settings
    try:
        return Settings(**{**settings.model_dump(), **given})
    except ValidationError as error:
        faults = [
            "".join(f"--{place}: " for place in fault["loc"]) + fault["msg"].removeprefix("Value error, ")
            for fault in error.errors()
        ]
        raise CommandError("\n".join(faults), exit_code=EXIT_USAGE) from error
