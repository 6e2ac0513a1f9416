"""An engine of a database's writer, and what databases are like at other times."""

from __future__ import annotations

import pytest

from storage import sql_postgres, sql_sqlite
from storage.sql_engine import open_engine, sqlite_url
from tests.support.postgres import shared_postgres


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
