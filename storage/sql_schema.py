"""Brings a database to the schema of this version, in the process, quietly, whoever else does the same.

All migrations of one call run in one transaction under a lock: of two instances that start at once the second
waits and finds the work done, and one that is interrupted leaves the schema as it was.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from orchestrator.errors import EventLogUnavailable
from storage.sql_engine import NoEventLog, dialect_of, open_engine, prepare, transaction

MIGRATION_TIMEOUT_S = 600.0
"""chosen: for one statement; an index over the log of a year takes minutes."""

ALEMBIC_DIRECTORY = Path(__file__).resolve().parent.parent / "alembic"
"""Beside the code: AMOS runs from a checkout or an image, and both contain it."""


async def upgrade(url: str) -> None:
    """Bring the database to the newest schema, creating it if need be; nothing to do is no work.

    Raises EventLogUnavailable: it is locked for long, cannot be opened, or has a schema newer than this
    version.
    """
    await asyncio.to_thread(upgrade_blocking, url)


async def current(url: str) -> str | None:
    """The revision of the database, `None` without a schema. Raises EventLogUnavailable."""
    return await asyncio.to_thread(current_blocking, url)


def head() -> str | None:
    """The newest revision this version knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def upgrade_blocking(url: str) -> None:
    """`upgrade` for callers without an event loop."""
    asyncio.run(_upgrade(url))


def current_blocking(url: str) -> str | None:
    """`current` for callers without an event loop."""
    return asyncio.run(_current(url))


async def _upgrade(url: str) -> None:
    prepare(url)
    engine = open_engine(url, writer=True, timeout_s=MIGRATION_TIMEOUT_S)
    try:
        async with transaction(engine) as connection:
            await dialect_of(engine).lock_schema(connection)
            await connection.run_sync(_migrate)
    except CommandError as error:
        raise EventLogUnavailable("The database has a schema that this version does not know.") from error
    finally:
        await engine.dispose()


async def _current(url: str) -> str | None:
    engine = open_engine(url)
    try:
        async with transaction(engine) as connection:
            return await connection.run_sync(_revision)
    except NoEventLog:
        return None
    finally:
        await engine.dispose()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _migrate(connection: Connection) -> None:
    config = _config()
    # env.py takes the connection from here: no second one could get past our write lock.
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    # Without the ini file, whose logging section would take over the logging of the process.
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(ALEMBIC_DIRECTORY).replace("%", "%%"))
    return config
