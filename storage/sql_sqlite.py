"""The ways of SQLite: a file in WAL mode, where one writer and many readers do not wait for each other.

A writer begins with BEGIN IMMEDIATE, so that two writers queue at the beginning of a transaction, where
waiting is safe, and not in its middle, where one of them would have to fail. That lock is the only one needed
here: it keeps appends, projections and migrations apart.
"""

from __future__ import annotations

import fcntl
import math
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, event, func
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from storage.folders import make_private
from storage.sql_address import Address
from storage.sql_upsert import columns, on_conflict

BUSY_TIMEOUT_MS = 5_000
"""chosen: how long a writer waits for another before it reports that the log is unavailable."""

CONNECTIONS_MAX = 4
"""chosen: transactions of a process at once. Each is a thread that wants Python's one lock: of fifteen, which
SQLAlchemy would open, serving got its turn ten times as late."""

PLACE_S_MAX = 5.0
"""chosen: as on PostgreSQL; who waits longer for a place learns more from an error."""


STEPS = 100_000
"""chosen: instructions of SQLite between two looks at the clock: some milliseconds, so looking is free."""


class Sqlite:
    """The Dialect of SQLite."""

    def open(self, address: Address, *, writer: bool, timeout_s: float) -> AsyncEngine:
        """An engine on the file."""
        url = URL.create("sqlite+aiosqlite", database=str(address.path))
        engine = create_async_engine(
            url,
            connect_args={"isolation_level": None},
            pool_size=CONNECTIONS_MAX,
            max_overflow=0,
            pool_timeout=PLACE_S_MAX,
            hide_parameters=True,
        )
        _configure(engine.sync_engine, writer=writer)
        if not writer:
            _limit(engine.sync_engine, timeout_s)
        return engine

    def prepare(self, address: Address) -> None:
        """Make the file and its folder, for their owner only; what exists keeps its mode.

        SQLite would give the file the mode of the day, and gives its companions the file's own.
        """
        path = Path(address.url.partition(":///")[2]).absolute()
        make_private(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def is_missing(self, engine: AsyncEngine) -> bool:
        """Whether there is no file: on a fresh folder the recorder makes it within the first second.

        Without this look SQLite would make an empty one for a mere reader, and aiosqlite leave a thread that
        reports to an event loop which may be gone by then.
        """
        return not Path(str(engine.url.database)).is_file()

    def has_no_table(self, error: Exception) -> bool:
        """The file comes with its tables, in one transaction."""
        return "no such table" in str(getattr(error, "orig", ""))

    def explain(self, error: Exception) -> str:
        """The kind of the error says enough, and nothing else is known to be free of values."""
        if isinstance(error, PoolTimeoutError):
            return "too many ask at once, and none was through in time"
        if getattr(getattr(error, "orig", None), "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            return "a statement took too long"
        return type(error).__name__

    def insert(self, table: Table) -> Any:
        """SQLite's own INSERT."""
        return insert(table)

    async def upsert(
        self,
        connection: AsyncConnection,
        table: Table,
        rows: Sequence[tuple[Any, ...]],
        *,
        adds: Sequence[str] = (),
        sets: Sequence[str] = (),
    ) -> None:
        """One prepared statement for all rows, which SQLite runs without a round trip."""
        places = ", ".join("?" * len(table.columns))
        text = (
            f"INSERT INTO {table.name} ({columns(table)}) VALUES ({places}) {on_conflict(table, adds, sets)}"  # noqa: S608 - names of our tables
        )
        await connection.exec_driver_sql(text, list(rows))

    def storable(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """SQLite takes everything."""
        return row

    def index_of(self, text: ColumnElement[str], part: str) -> ColumnElement[int]:
        """SQLite's own function."""
        return func.instr(text, part)

    async def lock_log(self, connection: AsyncConnection) -> None:
        """BEGIN IMMEDIATE has done it."""

    async def lock_rollups(self, connection: AsyncConnection) -> bool:
        """BEGIN IMMEDIATE has done it."""
        return True

    @asynccontextmanager
    async def hold_upkeep(self, connection: AsyncConnection) -> AsyncIterator[bool]:
        """A file beside the database: SQLite's own locks would last for a transaction only."""
        fd = os.open(f"{connection.engine.url.database}-upkeep", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _locked(fd)
        finally:
            os.close(fd)

    async def lock_traces(self, connection: AsyncConnection) -> bool:
        """The recorder of the data folder has the file to itself."""
        return True

    async def overwrite_deleted(self, connection: AsyncConnection) -> None:
        """With zeros; many builds of SQLite leave what was deleted in the file until its place is needed."""
        await connection.exec_driver_sql("PRAGMA secure_delete = ON")

    async def lock_schema(self, connection: AsyncConnection) -> None:
        """BEGIN IMMEDIATE has done it."""


def _configure(engine: Engine, *, writer: bool) -> None:
    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: Any) -> None:
        record.info["file"] = _identity(engine)
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if writer:
            # The mode stays with the file; setting it again needs a lock that only the first one should take.
            cursor.execute("PRAGMA journal_mode")
            if cursor.fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {'FULL' if writer else 'NORMAL'}")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def see_the_file(_connection: Any, record: Any, _proxy: Any) -> None:
        # A connection goes on with a file that was deleted or replaced: what others change is never seen
        # there, and what is written is lost.
        if record.info["file"] != _identity(engine):
            raise DisconnectionError("The file was replaced.")

    @event.listens_for(engine, "invalidate")
    def let_go(connection: Any, _record: Any, _error: Any) -> None:
        # Of a cancelled transaction some frame may still hold a cursor. SQLite keeps a connection that is
        # closed with one, and with it the lock, until the cursor is gone.
        with suppress(Exception):
            connection.rollback()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")


def _limit(engine: Engine, timeout_s: float) -> None:
    """Give up each statement after so long."""

    @event.listens_for(engine, "connect")
    def watch(connection: Any, record: Any) -> None:
        info = record.info
        info["ends_at"] = math.inf
        connection.run_async(
            lambda driver: driver.set_progress_handler(lambda: time.monotonic() > info["ends_at"], STEPS)
        )

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection: Connection, *_statement: Any) -> None:
        connection.info["ends_at"] = time.monotonic() + timeout_s


def _locked(fd: int) -> bool:
    """Whether the file could be locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _identity(engine: Engine) -> tuple[int, int] | None:
    """Which file has the database's name now, `None` if none has."""
    try:
        found = Path(str(engine.url.database)).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
