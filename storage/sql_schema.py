"""Brings a database to the schema of this version, in the process, quietly, whoever else does the same.

All migrations of one call run in one transaction that begins with the write lock: of two processes that
start at once the second waits and finds the work done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.errors import EventLogUnavailable
from storage.sql_engine import open_blocking_engine, prepare_file

ResultT = TypeVar("ResultT")

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
    prepare_file(url)
    _run(url, _upgrade, writer=True)


def current_blocking(url: str) -> str | None:
    """`current` for callers without an event loop."""
    return _run(url, lambda connection: MigrationContext.configure(connection).get_current_revision())


def _upgrade(connection: Connection) -> None:
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


def _run(url: str, work: Callable[[Connection], ResultT], *, writer: bool = False) -> ResultT:
    engine = open_blocking_engine(url, writer=writer)
    try:
        with engine.begin() as connection:
            return work(connection)
    except CommandError as error:
        raise EventLogUnavailable("The database has a schema that this version does not know.") from error
    except (SQLAlchemyError, OSError) as error:
        raise EventLogUnavailable(f"The event log is out of reach ({type(error).__name__}).") from error
    finally:
        engine.dispose()
