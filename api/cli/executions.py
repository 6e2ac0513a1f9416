"""`amos executions`: past executions that fit, newest first."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from api.cli import output
from api.cli.options import JsonOption, KeyFileOption, UrlOption

if TYPE_CHECKING:
    from api.cli.connection import Connection
    from orchestrator.executions import FoundExecutions

LOOK_S = 10.0
"""chosen: so long a person waits for what may not be there; then the answer says how far back it looked."""


def executions(  # noqa: PLR0917 - each is an option of the command line
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Recorded since: an age (90m, 24h, 7d), a moment. [default: 24h]"),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Recorded before that. [default: now]")
    ] = None,
    client: Annotated[str | None, typer.Option(metavar="NAME", help="Whose they are.")] = None,
    operation: Annotated[str | None, typer.Option(metavar="NAME", help="Such as search or extract.")] = None,
    door: Annotated[str | None, typer.Option(metavar="NAME", help="http, mcp, cli or console.")] = None,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="Who answered.")] = None,
    cache: Annotated[
        str | None, typer.Option(metavar="NAME", help="l1, l2, collapsed, miss, mixed or relayed.")
    ] = None,
    outcome: Annotated[Literal["answered", "failed"] | None, typer.Option(help="How they ended.")] = None,
    error: Annotated[
        str | None, typer.Option(metavar="CODE", help="The code of the failure, such as rate_limited.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the query or the page's URL contains.")
    ] = None,
    min_duration: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="They stayed at least as long.")
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on where another page ended.")
    ] = None,
    limit: Annotated[str | None, typer.Option(metavar="N", help="At most so many. [default: 50]")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find past executions: who asked, who answered, and how.

    `amos events show ID` tells all about one of them. It looks back until there are enough, for ten seconds
    at most.
    """
    if as_csv and as_json:
        raise typer.BadParameter("give either --csv or --json.")
    given = {
        "since": since,
        "until": until,
        "client": client,
        "operation": operation,
        "door": door,
        "provider": provider,
        "cache": cache,
        "outcome": outcome,
        "error": error,
        "text": text,
        "min_duration": min_duration,
        "before": before,
        "limit": limit,
    }
    parameters = {key: value for key, value in given.items() if value is not None}
    found = asyncio.run(_find(parameters, url, key_file))
    _show(found, as_csv=as_csv, as_json=as_json)


async def _find(parameters: dict[str, str], url: str | None, key_file: Path | None) -> FoundExecutions:
    from api.cli.connection import connect  # noqa: PLC0415

    async with connect(url, key_file) as gateway:
        with output.waiting("executions"):
            return await filled_page(gateway, parameters, time.monotonic() + LOOK_S)


async def filled_page(gateway: Connection, parameters: dict[str, str], gives_up_at: float) -> FoundExecutions:
    """A page that is full unless there are no more, or the (monotonic) moment has come to give up."""
    from orchestrator.executions import LIMIT_DEFAULT, FoundExecutions  # noqa: PLC0415

    read = msgspec.json.Decoder(FoundExecutions).decode
    page = read(await gateway.executions(parameters))
    missing = int(parameters.get("limit", LIMIT_DEFAULT)) - len(page.executions)
    while page.next is not None and missing and time.monotonic() < gives_up_at:
        following = parameters | {"before": str(page.next), "limit": str(missing)}
        more = read(await gateway.executions(following))
        page = msgspec.structs.replace(more, executions=page.executions + more.executions)
        missing -= len(more.executions)
    return page


def _show(found: FoundExecutions, *, as_csv: bool, as_json: bool) -> None:
    from api.cli.executions_view import executions_view  # noqa: PLC0415
    from api.cli.terminal_text import many_lines  # noqa: PLC0415
    from api.quantities import moment  # noqa: PLC0415
    from api.rest.executions_search import as_csv as csv_of  # noqa: PLC0415

    if as_json:
        output.data_json(found)
    elif as_csv:
        table = csv_of(found)
        output.data_bytes(many_lines(table.decode()).encode() if sys.stdout.isatty() else table)
    else:
        output.data(executions_view(found))
    if found.next is not None and not as_json:
        output.message(f"Looked back to {moment(found.searched_since)}; --before {found.next} goes on there.")
