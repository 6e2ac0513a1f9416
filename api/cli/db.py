"""`amos db`: the schema of the database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from api.cli import output
from api.cli.options import JsonOption

if TYPE_CHECKING:
    from api.settings import Settings

app = typer.Typer(help="Show or upgrade the database's schema.")


@app.command()
def upgrade() -> None:
    """Bring the database to the schema of this version, making it if need be; nothing to do is no failure."""
    from api.settings import load  # noqa: PLC0415
    from storage import sql_schema  # noqa: PLC0415

    settings = load()
    before = asyncio.run(revision(settings))
    with output.waiting("upgrading the database"):
        asyncio.run(sql_schema.upgrade(settings.database_url))
    after = asyncio.run(revision(settings))
    if before == after:
        output.message(f"{database_path(settings)} is up to date: schema {after}.")
    else:
        output.message(f"{database_path(settings)} is now at schema {after}; it was at {before or 'none'}.")


@app.command()
def current(as_json: JsonOption = False) -> None:
    """Print the schema of the database, and the one this version needs."""
    from api.settings import load  # noqa: PLC0415
    from storage import sql_schema  # noqa: PLC0415

    settings = load()
    found, newest = asyncio.run(revision(settings)), sql_schema.head()
    if as_json:
        output.data_json({"database": str(database_path(settings)), "current": found, "newest": newest})
        return
    output.line(found or "none")
    if found != newest:
        output.message(f"This version needs {newest}; `amos db upgrade` brings the database there.")


def database_path(settings: Settings) -> Path:
    """The file of the database."""
    return Path(settings.database_url.partition(":///")[2])


async def revision(settings: Settings) -> str | None:
    """The revision of the database, `None` when there is none yet; looking does not create the file."""
    from storage import sql_schema  # noqa: PLC0415

    return await sql_schema.current(settings.database_url) if database_path(settings).exists() else None
