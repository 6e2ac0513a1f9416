"""What is in the database of an installation, asked with the bare drivers: nothing of ours is in between."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

Row = dict[str, Any]


class NoTable(LookupError):
    """The database, or the table that was asked for, is not there yet."""


def query(database: Path | str, statement: str) -> list[Row]:
    """The rows of a file, or of the PostgreSQL at an address. Blocks. Raises NoTable."""
    if isinstance(database, Path):
        return _query_file(database, statement)
    # In a thread of its own, because most who ask are in a running loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _query_server(database, statement)).result()


def _query_file(database: Path, statement: str) -> list[Row]:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]
    except sqlite3.OperationalError as error:
        raise NoTable(str(error)) from error


async def _query_server(url: str, statement: str) -> list[Row]:
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(statement)]
    except asyncpg.UndefinedTableError as error:
        raise NoTable(str(error)) from error
    finally:
        await connection.close()
