"""`amos db`: the schema of the database."""

from __future__ import annotations

import asyncio

import typer

from api.cli import output
from api.cli.options import JsonOption
from storage.sql_address import read_address

app = typer.Typer(help="Show or upgrade the database's schema.")


@app.command()
def upgrade(as_json: JsonOption = False) -> None:
    """Bring the database to the schema of this version.

    It is made if need be; nothing to do is no failure.
    """
    from api.settings import load  # noqa: PLC0415
    from storage import sql_schema  # noqa: PLC0415

    url = load().database_url
    before = asyncio.run(sql_schema.current(url))
    with output.waiting("upgrading the database"):
        asyncio.run(sql_schema.upgrade(url))
    after = asyncio.run(sql_schema.current(url))
    name = read_address(url).shown
    if as_json:
        output.data_json({"database": name, "before": before, "current": after})
        return
    if before == after:
        output.message(f"{name} is up to date: schema {after}.")
    else:
        output.message(f"{name} is now at schema {after}; it was at {before or 'none'}.")


@app.command()
def current(as_json: JsonOption = False) -> None:
    """Print the schema of the database.

    The one this version needs is said beside it.
    """
    from api.settings import load  # noqa: PLC0415
    from storage import sql_schema  # noqa: PLC0415

    url = load().database_url
    found, newest = asyncio.run(sql_schema.current(url)), sql_schema.head()
    if as_json:
        output.data_json({"database": read_address(url).shown, "current": found, "newest": newest})
        return
    output.line(found or "none")
    if found != newest:
        output.message(f"This version needs {newest}; `amos db upgrade` brings the database there.")
