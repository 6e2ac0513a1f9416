"""Opens databases and runs transactions on them; whatever fails there comes out as EventLogUnavailable.

SQLite and PostgreSQL differ in a handful of ways. `Dialect` names them all; `sql_sqlite` and `sql_postgres`
are the two answers, and nothing else in the program asks which of them it has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.errors import EventLogUnavailable, SettingsError
from storage.sql_address import POSTGRESQL, SQLITE, Address, read_address
from storage.sql_postgres import Postgres
from storage.sql_sqlite import Sqlite

STATEMENT_TIMEOUT_S = 15.0
"""chosen: ten times what a report over a month takes; who waits longer learns more from an error."""


class NoEventLog(EventLogUnavailable):
    """There is no database yet, or no table of ours in it: nothing was ever recorded."""


class Dialect(Protocol):
    """What is done differently on SQLite and on PostgreSQL."""

    def open(self, address: Address, *, writer: bool, timeout_s: float) -> AsyncEngine:
        """An engine. A statement may take `timeout_s`; a writer's on SQLite takes what it takes."""

    def prepare(self, address: Address) -> None:
        """Make what must be there before the first connection. Raises OSError."""

    def is_missing(self, engine: AsyncEngine) -> bool:
        """Whether there is no database, as far as a look without a connection can tell."""

    def has_no_table(self, error: Exception) -> bool:
        """Whether the error says that a table is not there."""

    def explain(self, error: Exception) -> str:
        """What happened, for people, without a value or an address in it."""

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT."""

    async def upsert(
        self,
        connection: AsyncConnection,
        table: Table,
        rows: Sequence[tuple[Any, ...]],
        *,
        adds: Sequence[str] = (),
        sets: Sequence[str] = (),
    ) -> None:
        """Insert rows (all columns, in their order; at least one, no key twice).

        Of rows that are there the columns `adds` are added to and `sets` replaced.
        """

    def storable(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """The row with every value as a column takes it."""

    def index_of(self, text: ColumnElement[str], part: str) -> ColumnElement[int]:
        """Where the part begins in the text, counted from 1; 0 if it is not there."""

    async def lock_log(self, connection: AsyncConnection) -> None:
        """Let nobody else append before this transaction has committed: positions rise in that order."""

    async def lock_rollups(self, connection: AsyncConnection) -> bool:
        """Try to be the only one who projects until the end of the transaction; tells whether it is."""

    def hold_upkeep(self, connection: AsyncConnection) -> AbstractAsyncContextManager[bool]:
        """Try to be the only one who rebuilds or prunes while the context lasts; gives whether it is.

        It ends with the process or with the connection too, however those end.
        """

    async def lock_traces(self, connection: AsyncConnection) -> bool:
        """Try to be the only one who exports traces while the connection lasts; tells whether it is."""

    async def overwrite_deleted(self, connection: AsyncConnection) -> None:
        """See to it that what the transaction deletes is not left on the disk, as far as that can be done."""

    async def lock_schema(self, connection: AsyncConnection) -> None:
        """Let nobody else migrate until the end of the transaction. Raises EventLogUnavailable."""


_DIALECTS: dict[str, Dialect] = {SQLITE: Sqlite(), POSTGRESQL: Postgres()}


def dialect_of(engine: AsyncEngine) -> Dialect:
    """The ways of the engine's database."""
    return _DIALECTS[engine.dialect.name]


def sqlite_url(path: Path) -> str:
    """The address of a SQLite file, as `AMOS_DATABASE_URL` takes it."""
    return f"sqlite:///{path}"


def open_engine(url: str, *, writer: bool = False, timeout_s: float = STATEMENT_TIMEOUT_S) -> AsyncEngine:
    """An engine for the database at `url`; dispose of it when done. Nothing is connected yet.

    A `writer` syncs each commit to the disk, because the journal's copy is deleted after it. Raises
    SettingsError for an address we cannot serve.
    """
    address = _address(url)
    return _DIALECTS[address.engine].open(address, writer=writer, timeout_s=timeout_s)


def prepare(url: str) -> None:
    """Make what must be there before a writer connects: the file of SQLite, for its owner alone.

    Raises EventLogUnavailable, SettingsError.
    """
    address = _address(url)
    try:
        _DIALECTS[address.engine].prepare(address)
    except OSError as error:
        raise EventLogUnavailable(f"The database cannot be opened: {error.strerror}.") from error


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed at the end; safe to cancel, then nothing of it is left.

    Raises EventLogUnavailable for any fault of the database, NoEventLog if nothing was ever recorded there.
    """
    if dialect_of(engine).is_missing(engine):
        raise NoEventLog("There is no event log yet.")
    with explained(engine):
        async with engine.begin() as connection:
            yield connection


@contextmanager
def explained(engine: AsyncEngine) -> Iterator[None]:
    """Whatever fails there in the database comes out as EventLogUnavailable, in our own words."""
    dialect = dialect_of(engine)
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        if dialect.has_no_table(error):
            raise NoEventLog("There is no event log yet.") from error
        # The driver's message may quote values of a row or of the address; only our own words go on.
        raise EventLogUnavailable(f"The event log is out of reach: {dialect.explain(error)}.") from error


def _address(url: str) -> Address:
    try:
        return read_address(url)
    except ValueError as error:
        raise SettingsError(f"The database URL: {error}.") from error
