"""The schema: migrations lead exactly to what the code uses, once, whoever begins."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from orchestrator.errors import EventLogUnavailable
from storage.sql_engine import sqlite_url
from storage.sql_schema import ALEMBIC_DIRECTORY, current, head, upgrade, upgrade_blocking
from storage.sql_tables import metadata


def test_migrations_and_tables_agree(database_url):
    """A migrated database has no difference to the tables the code uses."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []


def test_primary_keys_of_rollups_agree(database_url):
    """The key of each rollup, on which counts are added, is all its dimensions in order."""
    path = database_url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path)
    for table in metadata.tables.values():
        columns = connection.execute(f"SELECT name, pk FROM pragma_table_info('{table.name}')").fetchall()
        found = [name for name, place in sorted(columns, key=lambda column: column[1]) if place]
        assert found == [column.name for column in table.primary_key.columns], table.name
    connection.close()


async def test_upgrading_twice_changes_nothing(tmp_path):
    """A second upgrade finds nothing to do; the revision is the newest, in WAL mode."""
    url = sqlite_url(tmp_path / "var" / "amos.sqlite")

    await upgrade(url)
    await upgrade(url)

    assert await current(url) == head()
    connection = sqlite3.connect(tmp_path / "var" / "amos.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_a_database_without_schema_has_no_revision(tmp_path):
    """Before the first upgrade there is no revision, and that is no error."""
    assert await current(sqlite_url(tmp_path / "empty.sqlite")) is None


def test_two_processes_may_upgrade_at_once(tmp_path):
    """Several processes that start together all find the newest schema."""
    url = sqlite_url(tmp_path / "amos.sqlite")
    program = f"from storage.sql_schema import upgrade_blocking; upgrade_blocking({url!r})"

    started = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=ALEMBIC_DIRECTORY.parent, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    faults = [process.communicate()[1] for process in started]

    assert [process.returncode for process in started] == [0, 0, 0], faults


def test_a_newer_schema_is_refused(tmp_path):
    """A database that a later version has migrated is not touched by this one."""
    path = tmp_path / "amos.sqlite"
    upgrade_blocking(sqlite_url(path))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()

    with pytest.raises(EventLogUnavailable, match="does not know"):
        upgrade_blocking(sqlite_url(path))


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """Somebody else's file is not overwritten; the log is unavailable, in our words."""
    path = tmp_path / "amos.sqlite"
    path.write_bytes(b"this is a letter to my grandmother" * 100)

    with pytest.raises(EventLogUnavailable):
        upgrade_blocking(sqlite_url(path))
    assert path.read_bytes().startswith(b"this is a letter")


async def test_upgrading_leaves_the_logging_of_the_process_alone(tmp_path):
    """Migrating inside a program neither adds handlers nor silences loggers."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("amos").disabled)

    await asyncio.gather(upgrade(sqlite_url(tmp_path / "amos.sqlite")))

    assert (root.level, list(root.handlers), logging.getLogger("amos").disabled) == before


def test_a_new_database_is_its_owners_alone(tmp_path):
    """The file, its companions and its folder are closed to others, whatever the umask."""
    path = tmp_path / "var" / "amos.sqlite"
    before = os.umask(0)
    try:
        upgrade_blocking(sqlite_url(path))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE more (x)")
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == {"amos.sqlite": 0o600, "amos.sqlite-wal": 0o600, "amos.sqlite-shm": 0o600}
