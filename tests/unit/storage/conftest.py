"""A migrated database, an engine of its writer, and frames as rows."""

from __future__ import annotations

import pytest

from storage.sql_engine import open_engine, sqlite_url
from storage.sql_schema import upgrade_blocking


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """The bytes of a database with the newest schema: migrating once is enough."""
    path = tmp_path_factory.mktemp("schema") / "amos.sqlite"
    upgrade_blocking(sqlite_url(path))
    return path.read_bytes()


@pytest.fixture
def database_url(tmp_path, migrated):
    """A database of this test alone."""
    path = tmp_path / "amos.sqlite"
    path.write_bytes(migrated)
    return sqlite_url(path)


@pytest.fixture
async def engine(database_url):
    """A writer's engine of that database."""
    engine = open_engine(database_url, writer=True)
    yield engine
    await engine.dispose()
