"""What the integration tests share: simulated providers, a collector, a log written by hand."""

from __future__ import annotations

import pytest

from api.settings import Settings
from storage.sql_engine import sqlite_url
from storage.sql_schema import upgrade_blocking
from tests.support.clock import FakeClock
from tests.support.jina_simulator import JinaSimulator
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.postgres import shared_postgres
from tests.support.tavily_simulator import TavilySimulator
from tests.support.traces import Log


@pytest.fixture
async def tavily():
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest.fixture
async def jina():
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running


@pytest.fixture
async def receiver():
    """A collector of traces."""
    async with OtlpReceiver() as running:
        yield running


@pytest.fixture(scope="session")
def migrated():
    """A PostgreSQL database with the newest schema, to be copied: that takes a tenth of migrating."""
    url = shared_postgres().new_database()
    upgrade_blocking(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request, tmp_path):
    """A database of each kind with an empty log."""
    if request.param == "postgresql":
        return shared_postgres().new_database(request.getfixturevalue("migrated"))
    url = sqlite_url(tmp_path / "amos.db")
    upgrade_blocking(url)
    return url


@pytest.fixture
async def log(log_url, tmp_path):
    """An empty event log on each database, to be written by hand."""
    log = Log(Settings(data_dir=tmp_path, database_url=log_url, key_pepper="p" * 32), FakeClock())
    yield log
    await log.aclose()
