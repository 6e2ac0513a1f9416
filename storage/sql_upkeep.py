"""Long work on a database that is in use: one at a time, in short transactions with rests between them.

Whoever rebuilds or prunes holds a lock, and works on the very connection that the lock lives in: a connection
that is lost takes the lock and the work with it, so nobody ever works without it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.errors import EventLogUnavailable
from storage.sql_engine import NoEventLog, dialect_of, explained, open_engine
from storage.sql_schema import current, head

UPKEEP_TIMEOUT_S = 600.0
"""chosen: for one statement; a look at every frame of a year takes a minute."""

REST_SHARE = 0.5
"""chosen: of a transaction's time. SQLite has one writer and no queue: a recorder that tries again and again
for 5 s meets a rest for certain."""

REST_S_MIN = 0.005
"""chosen: longer than the first tries of who waits for SQLite's lock are apart (1, 2 and 5 ms)."""

AGAIN_S = 0.02
"""chosen: pause before the lock of the rollups is tried again; a recorder holds it for some 10 ms."""


class UpkeepBusy(RuntimeError):
    """Somebody else rebuilds or prunes this database."""


class Upkeep:
    """The connection of whoever does such work, and an engine for long looks that hold up nobody."""

    def __init__(self, connection: AsyncConnection, reader: AsyncEngine) -> None:
        self._connection = connection
        self.engine = connection.engine
        self.reader = reader
        self.dialect = dialect_of(reader)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A short transaction, and a rest after it. Raises EventLogUnavailable."""
        begun_at = time.monotonic()
        with explained(self.reader):
            async with self._connection.begin():
                yield self._connection
        await asyncio.sleep(max((time.monotonic() - begun_at) * REST_SHARE, REST_S_MIN))

    @asynccontextmanager
    async def still(self) -> AsyncIterator[AsyncConnection]:
        """A transaction in which nobody projects: a recorder leaves the counting to us until its end."""
        while True:
            async with self.transaction() as connection:
                if await self.dialect.lock_rollups(connection):
                    yield connection
                    return
            await asyncio.sleep(AGAIN_S)


@asynccontextmanager
async def upkeep(database_url: str) -> AsyncIterator[Upkeep]:
    """Be the one who does long work on a database with our tables. Raises UpkeepBusy, EventLogUnavailable.

    Not on a schema of another version: it may have rollups that a replay or a prune of this one would lose.
    """
    if await current(database_url) not in (head(), None):
        raise EventLogUnavailable("The database has the schema of another version of AMOS.")
    engine = open_engine(database_url, writer=True, timeout_s=UPKEEP_TIMEOUT_S)
    reader = open_engine(database_url, timeout_s=UPKEEP_TIMEOUT_S)
    try:
        if dialect_of(engine).is_missing(engine):
            raise NoEventLog("There is no event log yet.")
        with explained(engine):
            connection = await engine.connect()
        try:
            async with dialect_of(engine).hold_upkeep(connection) as is_ours:
                if not is_ours:
                    raise UpkeepBusy("Another verify, replay or prune is at work on this database.")
                yield Upkeep(connection, reader)
        finally:
            await connection.close()
    finally:
        await engine.dispose()
        await reader.dispose()
