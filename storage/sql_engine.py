"""Opens databases: which driver, which guarantees, and whose errors come out.

SQLite runs in WAL mode: one writer and any number of readers do not wait for each other. A writer begins
with BEGIN IMMEDIATE, so that two writers queue at the beginning of a transaction, where waiting is safe,
and not in its middle, where one of them would have to fail.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestrator.errors import EventLogUnavailable, SettingsError
from storage.folders import make_private

BUSY_TIMEOUT_MS = 5_000
"""chosen: how long a writer waits for another before it reports that the log is unavailable."""


def sqlite_url(path: Path) -> str:
    """The address of a SQLite file, as `AMOS_DATABASE_URL` takes it."""
    return f"sqlite:///{path}"


def prepare_file(url: str) -> None:
    """Make the database's file and its folder, for their owner only; what exists keeps its mode.

    SQLite would give the file the mode of the day, and gives its companions the file's own. Raises
    EventLogUnavailable.
    """
    path = Path(str(_driver_url(url, "aiosqlite").database)).absolute()
    try:
        make_private(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise EventLogUnavailable(f"The database cannot be opened: {error.strerror}.") from error


def open_engine(url: str, *, writer: bool = False) -> AsyncEngine:
    """An engine for the database at `url`; dispose of it when done.

    A `writer` syncs each commit to the disk, because the journal's copy is deleted after it. Raises
    SettingsError for an address we cannot serve.
    """
    engine = create_async_engine(_driver_url(url, "aiosqlite"), connect_args={"isolation_level": None})
    _configure(engine.sync_engine, writer=writer)
    return engine


def open_blocking_engine(url: str, *, writer: bool = False) -> Engine:
    """`open_engine` for code that blocks, in a thread of its own: migrations."""
    engine = create_engine(_driver_url(url, "pysqlite"), connect_args={"isolation_level": None})
    _configure(engine, writer=writer)
    return engine


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed at the end. Raises EventLogUnavailable for any fault of the database."""
    _require_file(engine)
    try:
        async with engine.begin() as connection:
            yield connection
    except (SQLAlchemyError, OSError) as error:
        # The driver's message may quote values of a row; only its kind goes on.
        raise EventLogUnavailable(f"The event log is out of reach ({type(error).__name__}).") from error


def exists(engine: AsyncEngine) -> bool:
    """Whether there is a database yet; on a fresh folder the recorder makes it within the first second."""
    return Path(str(engine.url.database)).is_file()


def _require_file(engine: AsyncEngine) -> None:
    # Migrations alone create a database. Without this look SQLite would make an empty one for a mere reader,
    # and aiosqlite leave a thread that reports to an event loop which may be gone by then.
    if not exists(engine):
        raise EventLogUnavailable("There is no event log yet.")


def _driver_url(url: str, driver: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError("The database URL cannot be read.") from error
    if parsed.get_backend_name() != "sqlite":
        raise SettingsError(f"A database of type {parsed.get_backend_name()} is not supported; use sqlite.")
    if not parsed.database or parsed.database == ":memory:":
        raise SettingsError("The database must be a file: several processes share it.")
    return parsed.set(drivername=f"sqlite+{driver}")


def _configure(engine: Engine, *, writer: bool) -> None:
    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if writer:
            # The mode stays with the file; setting it again needs a lock that only the first one should take.
            cursor.execute("PRAGMA journal_mode")
            if cursor.fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {'FULL' if writer else 'NORMAL'}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")
