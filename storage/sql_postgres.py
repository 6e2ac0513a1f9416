"""The ways of PostgreSQL: one server for the recorders of many machines, reached through asyncpg.

Every wait has an end, on both sides of the connection: a server that does not answer is an error here, and a
client that does not go on (a recorder that was stopped with a lock in its hands) is cut off there. Advisory
locks keep writers apart; they belong to a transaction, so they end with it, however it ends.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, Text, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestrator.errors import EventLogUnavailable
from storage.sql_address import Address
from storage.sql_upsert import columns, on_conflict

CONNECT_TIMEOUT_S = 5.0
"""chosen: for a connection or a free place in the pool; a report answers 503 before its client gives up."""

LOCK_TIMEOUT_S = 5.0
"""chosen: like SQLite's busy timeout. A migration that waits for a table makes everybody queue behind it, so
it must give up soon and try again."""

IDLE_TIMEOUT_S = 10.0
"""chosen: a transaction of ours pauses only to fold a batch, some 0.1 s; one that pauses for long may hold a
lock that all recorders wait for, so the server ends it."""

ANSWER_MARGIN_S = 5.0
"""chosen: so much longer than the server's own limit the client waits, for a server that is gone."""

WORK_MEM = "32MB"
"""chosen: a report on a month sorts half a million rows at most, which then fit; with the default of 4 MB
they go to the disk and it takes twice as long."""

READER_CONNECTIONS_MAX = 5
"""chosen: reports of one process at once; PostgreSQL's 100 connections are then enough for ten instances."""

WRITER_CONNECTIONS_MAX = 2
"""chosen: a recorder does one thing at a time; the second is for a look beside it."""

LOG_LOCK, ROLLUPS_LOCK, SCHEMA_LOCK, TRACES_LOCK, UPKEEP_LOCK = range(0x414D4F53_01, 0x414D4F53_06)
"""chosen: keys of advisory locks, `AMOS` in ASCII and a number, so that other programs have others."""

REASONS = {
    "08": "the server cannot be talked to",
    "28": "the server refuses AMOS's user or password",
    "3D": "the server has no database of that name",
    "42501": "AMOS's user lacks a privilege in the database",
    "53100": "the server's disk is full",
    "53300": "the server has no connection left",
    "53": "the server is short of resources",
    "55P03": "somebody else holds a lock there",
    "57014": "the server took too long",
    "57P03": "the server is starting up or stopping",
    "57": "the server was shut down",
    "25006": "the server is read-only",
}
"""What a SQLSTATE, or its class, means for the operator (PostgreSQL, appendix A)."""


class Postgres:
    """The Dialect of PostgreSQL."""

    def open(self, address: Address, *, writer: bool, timeout_s: float) -> AsyncEngine:
        """An engine with a bounded pool.

        Connections are tried before they are used: after a restart of the server nobody meets a dead one. It
        costs a round trip, of which each transaction has several.
        """
        return create_async_engine(
            "postgresql+asyncpg://",  # without the address: an engine shows its own
            connect_args={
                # asyncpg reads libpq's parameters, those of TLS above all, from an address only.
                "dsn": address.url.replace("+asyncpg", "", 1),
                "timeout": CONNECT_TIMEOUT_S,
                "command_timeout": timeout_s + ANSWER_MARGIN_S,
                "server_settings": {
                    "application_name": "amos recorder" if writer else "amos",
                    "statement_timeout": _ms(timeout_s),
                    "lock_timeout": _ms(LOCK_TIMEOUT_S),
                    "idle_in_transaction_session_timeout": _ms(IDLE_TIMEOUT_S),
                    "work_mem": WORK_MEM,
                    # Whatever the server's defaults: a commit is on the disk when it returns.
                    "synchronous_commit": "on",
                },
            },
            # A writer's statements see what was committed before each of them, also while it waited for its
            # lock. A report is several statements about one state, as SQLite's readers have it anyway.
            isolation_level="READ COMMITTED" if writer else "REPEATABLE READ",
            pool_size=WRITER_CONNECTIONS_MAX if writer else READER_CONNECTIONS_MAX,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_S,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    def prepare(self, address: Address) -> None:
        """Database and user are the operator's to make."""

    def is_missing(self, engine: AsyncEngine) -> bool:
        """Only a connection can tell."""
        return False

    def has_no_table(self, error: Exception) -> bool:
        """Whether a relation was not found."""
        return _sqlstate(error) == "42P01"

    def explain(self, error: Exception) -> str:
        """By SQLSTATE if the server has spoken, else by what the network said."""
        state = _sqlstate(error)
        if state:
            return REASONS.get(state) or REASONS.get(state[:2]) or f"SQLSTATE {state}"
        cause = getattr(error, "orig", None) or error
        if isinstance(cause, TimeoutError | PoolTimeoutError):
            return "the server does not answer in time"
        if isinstance(cause, FileNotFoundError | PermissionError):
            return "a file or socket its address names cannot be opened"
        if isinstance(cause, ssl.SSLError) or "SSL" in str(cause):
            return "no TLS as sslmode asks for"
        if isinstance(cause, OSError):
            return f"the server cannot be reached ({type(cause).__name__})"
        return type(cause).__name__

    def insert(self, table: Table) -> Any:
        """PostgreSQL's own INSERT."""
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
        """One statement for all rows, with an array for each column: a tenth of the time of one row each."""
        arrays = ", ".join(
            f"CAST(CAST(${number} AS TEXT{'[]' if _is_text(column) else ''}) AS"
            f" {column.type.compile(connection.dialect)}[])"
            for number, column in enumerate(table.columns, 1)
        )
        text = (
            f"INSERT INTO {table.name} ({columns(table)}) "  # noqa: S608 - names of our tables
            f"SELECT * FROM unnest({arrays}) {on_conflict(table, adds, sets)}"
        )
        values = zip(table.columns, zip(*rows, strict=True), strict=True)
        await connection.exec_driver_sql(text, tuple(_array(column, found) for column, found in values))

    def storable(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Text without U+0000, which PostgreSQL refuses: a refused frame would stop the record."""
        return tuple(_storable(value) if isinstance(value, str) else value for value in row)

    def index_of(self, text: ColumnElement[str], part: str) -> ColumnElement[int]:
        """PostgreSQL's own function."""
        return func.strpos(text, part)

    async def lock_log(self, connection: AsyncConnection) -> None:
        """Positions are handed out before commits, so appends must not overlap: see decision 0005."""
        await connection.execute(_LOCK, {"key": LOG_LOCK})

    async def lock_rollups(self, connection: AsyncConnection) -> bool:
        """Whoever does not get it leaves the work to who has it."""
        return bool((await connection.execute(_TRY_LOCK, {"key": ROLLUPS_LOCK})).scalar())

    @asynccontextmanager
    async def hold_upkeep(self, connection: AsyncConnection) -> AsyncIterator[bool]:
        """A lock of the session, which ends with the connection on which the work itself is done."""
        has_lock = (await connection.execute(_TRY_SESSION_LOCK, {"key": UPKEEP_LOCK})).scalar()
        await connection.commit()
        yield bool(has_lock)

    async def lock_traces(self, connection: AsyncConnection) -> bool:
        """A lock of the session: an export takes seconds, and no transaction may pause for so long."""
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        has_lock = bool((await connection.execute(_TRY_SESSION_LOCK, {"key": TRACES_LOCK})).scalar())
        await connection.commit()  # of nothing: else the next call could not set its options
        return has_lock

    async def overwrite_deleted(self, connection: AsyncConnection) -> None:
        """Nothing that a transaction could do: VACUUM, by itself or by hand, gives the place away."""

    async def lock_schema(self, connection: AsyncConnection) -> None:
        """The second of two instances waits and finds the work done."""
        if (await connection.execute(text("SHOW server_encoding"))).scalar() != "UTF8":
            raise EventLogUnavailable("The database must be made with ENCODING 'UTF8'.")
        await connection.execute(_LOCK, {"key": SCHEMA_LOCK})


_LOCK = text("SELECT pg_advisory_xact_lock(CAST(:key AS bigint))")
_TRY_SESSION_LOCK = text("SELECT pg_try_advisory_lock(CAST(:key AS bigint))")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(CAST(:key AS bigint))")


def _array(column: Column[Any], values: Sequence[Any]) -> str | list[str]:
    """The values of a column as a parameter; of numbers as one text: the driver looks at each of a list."""
    if _is_text(column):
        return [_storable(value) for value in values]
    return "{" + ",".join(map(str, values)) + "}"


def _is_text(column: Column[Any]) -> bool:
    return isinstance(column.type, Text)


def _storable(value: str) -> str:
    return value.replace("\0", "\ufffd")


def _ms(seconds: float) -> str:
    return str(round(seconds * 1_000))


def _sqlstate(error: Exception) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""
