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
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from orchestrator.errors import EventLogUnavailable
from storage.sql_engine import sqlite_url, transaction
from storage.sql_schema import ALEMBIC_DIRECTORY, current, head, upgrade, upgrade_blocking
from storage.sql_tables import metadata


async def test_migrations_and_tables_agree(engine):
    """A migrated database has no difference to the tables the code uses."""

    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with transaction(engine) as connection:
        assert await connection.run_sync(differences) == []


async def test_primary_keys_of_rollups_agree(engine):
    """The key of each rollup, on which counts are added, is all its dimensions in order."""

    def keys(connection):
        inspector = inspect(connection)
        return {name: inspector.get_pk_constraint(name)["constrained_columns"] for name in metadata.tables}

    async with transaction(engine) as connection:
        found = await connection.run_sync(keys)
    for table in metadata.tables.values():
        assert found[table.name] == [column.name for column in table.primary_key.columns]


async def test_upgrading_twice_changes_nothing(fresh_url):
    """A second upgrade finds nothing to do; the revision is the newest."""
    await upgrade(fresh_url)
    await upgrade(fresh_url)

    assert await current(fresh_url) == head()


async def test_a_file_is_in_wal_mode(tmp_path):
    """Readers do not wait for the recorder: the first upgrade has set the mode for good."""
    await upgrade(sqlite_url(tmp_path / "var" / "amos.sqlite"))

    with closing(sqlite3.connect(tmp_path / "var" / "amos.sqlite")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_database_without_schema_has_no_revision(fresh_url, tmp_path):
    """Before the first upgrade there is no revision, that is no error, and looking makes nothing."""
    assert await current(fresh_url) is None
    assert list(tmp_path.iterdir()) == []


def test_several_processes_may_upgrade_at_once(fresh_url):
    """Several processes that start together all find the newest schema."""
    program = f"from storage.sql_schema import upgrade_blocking; upgrade_blocking({fresh_url!r})"

    started = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=ALEMBIC_DIRECTORY.parent, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    faults = [process.communicate()[1] for process in started]

    assert [process.returncode for process in started] == [0, 0, 0], faults


async def test_a_newer_schema_is_refused(engine, database_url):
    """A database that a later version has migrated is not touched by this one."""
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(EventLogUnavailable, match="does not know"):
        await upgrade(database_url)


async def test_an_interrupted_upgrade_leaves_the_old_schema(fresh_url, monkeypatch):
    """What fails in the last migration has undone the first; the next upgrade does it all."""
    honest = MigrationContext.run_migrations

    def interrupted(context, **options):
        honest(context, **options)
        raise OSError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(MigrationContext, "run_migrations", interrupted)
        with pytest.raises(EventLogUnavailable):
            await upgrade(fresh_url)
    assert await current(fresh_url) is None

    await upgrade(fresh_url)
    assert await current(fresh_url) == head()


async def test_down_and_up_again(engine, database_url):
    """Every migration can be undone, and what is there after it is done again is what the code uses."""

    def down(connection):
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(ALEMBIC_DIRECTORY))
        config.set_main_option("path_separator", "os")
        command.downgrade(config, "base")
        return inspect(connection).get_table_names()

    async with transaction(engine) as connection:
        assert await connection.run_sync(down) == ["alembic_version"]
    await engine.dispose()
    await upgrade(database_url)

    await test_migrations_and_tables_agree(engine)


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
