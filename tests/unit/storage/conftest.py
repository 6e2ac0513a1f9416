"""A migrated database on each engine, and an engine of its writer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import sql_postgres, sql_sqlite
from storage.sql_engine import open_engine, sqlite_url
from storage.sql_schema import upgrade_blocking
from tests.support.postgres import shared_postgres

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def new_database(tmp_path_factory) -> Callable[[str, Path], str]:
    """Makes a database with the newest schema: of a kind, in a folder; migrating once each is enough."""

    @functools.cache
    def migrated(kind: str) -> bytes | str:
        if kind == "postgresql":
            url = shared_postgres().new_database()
            upgrade_blocking(url)
            return url
        path = tmp_path_factory.mktemp("schema") / "amos.sqlite"
        upgrade_blocking(sqlite_url(path))
        return path.read_bytes()

    def make(kind: str, folder: Path) -> str:
        template = migrated(kind)
        if isinstance(template, str):
            return shared_postgres().new_database(template)
        path = folder / "amos.sqlite"
        path.write_bytes(template)
        return sqlite_url(path)

    return make


@pytest.fixture(params=ENGINES)
def kind(request):
    """On which engine the test runs: the contract is the same on all."""
    return request.param


@pytest.fixture
def database_url(tmp_path, kind, new_database):
    """A database of this test alone."""
    return new_database(kind, tmp_path)


@pytest.fixture
async def engine(database_url):
    """A writer's engine of that database."""
    engine = open_engine(database_url, writer=True)
    yield engine
    await engine.dispose()


@pytest.fixture
def impatience(monkeypatch):
    """Waiting for a lock ends almost at once in whatever is opened from now on."""
    monkeypatch.setattr(sql_sqlite, "BUSY_TIMEOUT_MS", 1)
    monkeypatch.setattr(sql_postgres, "LOCK_TIMEOUT_S", 0.01)


@pytest.fixture
def fresh_url(tmp_path, kind):
    """A database in which there is nothing yet."""
    if kind == "postgresql":
        return shared_postgres().new_database()
    return sqlite_url(tmp_path / "amos.sqlite")
