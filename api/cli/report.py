"""`amos report`: what the recorded events add up to."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from api.cli.asking import show_answer
from api.cli.options import JsonOption, KeyFileOption, UrlOption


def groupings() -> list[str]:
    """What reports can be grouped by, for the completion of shells."""
    from orchestrator.reports.catalogue import REPORTS  # noqa: PLC0415

    return list(dict.fromkeys(group for report in REPORTS.values() for group in report.by))


Name = Literal["health", "hit-rate", "latency", "queries", "cost", "clients", "providers"]

LOCAL_ZONE = Path("/etc/localtime")
"""A link to a file of the zone's name, on Linux (localtime(5), systemd) and macOS alike."""


def report(  # noqa: PLR0917 - each is an option of the command line
    name: Annotated[Name, typer.Argument(help="Which report.")],
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Begin: an age such as 90m, 24h, 7d, or a moment. [default: 24h]"),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="End, in the same forms. [default: now]")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP", autocompletion=groupings, help="Group by this, such as provider or hour."
        ),
    ] = None,
    limit: Annotated[
        str | None, typer.Option(metavar="ROWS", help="Rows of a ranking. [default: 20]")
    ] = None,
    tz: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Time zone, such as Europe/Berlin. [default: on a terminal that of this machine, else UTC]",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the recorded events add up to: one of seven reports.

    `--by` takes minute, hour, day and what the report has: docs/reports.md says what each figure means.
    """
    if as_csv and as_json:
        raise typer.BadParameter("give either --csv or --json.")
    is_for_people = not (as_csv or as_json) and sys.stdout is not None and sys.stdout.isatty()
    given = {"since": since, "until": until, "by": by, "limit": limit, "tz": tz}
    parameters = {key: value for key, value in given.items() if value is not None}
    if tz is None and is_for_people:
        parameters["tz"] = local_zone()
    if as_csv:
        raise typer.Exit(asyncio.run(_show_csv(name, parameters, url, key_file)))
    _show(name, parameters, url, key_file, as_json=as_json)


def local_zone() -> str:
    """The name of the time zone in force: of TZ, or of this machine; UTC if neither tells one."""
    from api.settings import time_zone  # noqa: PLC0415
    from orchestrator.errors import InvalidRequest  # noqa: PLC0415
    from orchestrator.reports.windows import zone_of  # noqa: PLC0415

    now = datetime.now(UTC)
    for name in (time_zone(), _zone_of_machine()):
        try:
            if now.astimezone(zone_of(name)).utcoffset() == now.astimezone().utcoffset():
                return name
        except InvalidRequest:
            continue
    return "UTC"


def _zone_of_machine() -> str:
    try:
        return str(LOCAL_ZONE.readlink()).partition("zoneinfo/")[2]
    except OSError:
        return ""


def _show(
    name: str, parameters: dict[str, str], url: str | None, key_file: Path | None, *, as_json: bool
) -> NoReturn:
    from api.cli.charts import chart_of_stdout  # noqa: PLC0415
    from api.cli.report_view import report_view  # noqa: PLC0415

    view = partial(report_view, chart=chart_of_stdout())
    ask = lambda gateway: gateway.report(name, parameters)  # noqa: E731 - it is passed on
    show_answer(f"{name} report", ask, view, url, key_file, as_json=as_json)


async def _show_csv(name: str, parameters: dict[str, str], url: str | None, key_file: Path | None) -> int:
    from api.cli import output  # noqa: PLC0415
    from api.cli.connection import connect  # noqa: PLC0415
    from api.cli.terminal_text import many_lines  # noqa: PLC0415
    from api.spreadsheet import report_csv  # noqa: PLC0415

    async with connect(url, key_file) as gateway:
        with output.waiting(f"{name} report"):
            table = report_csv(json.loads(await gateway.report(name, parameters)))
    output.data_bytes(many_lines(table.decode()).encode() if sys.stdout.isatty() else table)
    return 0
