"""An engine of a database's writer, what databases are like at other times, and some virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from storage import sql_postgres, sql_sqlite
from storage.sql_engine import open_engine, sqlite_url
from tests.support.clock import VirtualTimeLoop
from tests.support.postgres import shared_postgres

VIRTUAL = {"test_redis_flight.py", "test_redis_wakeups.py"}
"""Files whose tests talk to nobody."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """One kind of loop for each test."""
    if item.path.name in VIRTUAL:
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.SelectorEventLoop}


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
