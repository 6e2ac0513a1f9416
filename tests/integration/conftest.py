"""What integration tests share: simulated providers, official clients, a collector, a log written by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.settings import Settings
from tests.support.clock import FakeClock
from tests.support.gateway_server import GatewayServer
from tests.support.jina_simulator import JinaSimulator
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.tavily_clients import IDS, KINDS, MakeClient, clients
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


@pytest.fixture
async def log(database_url, tmp_path):
    """An empty event log on each database, to be written by hand."""
    log = Log(Settings(data_dir=tmp_path, database_url=database_url, key_pepper="p" * 32), FakeClock())
    yield log
    await log.aclose()


@pytest.fixture(params=KINDS, ids=IDS)
async def make_client(
    request: pytest.FixtureRequest, amos: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MakeClient]:
    """Makes Tavily's official clients of one kind, pointed at the gateway of the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("TAVILY_API_KEY", raising=False)
    async with clients(request.param, amos.base_url) as make:
        yield make
