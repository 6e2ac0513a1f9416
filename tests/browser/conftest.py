"""A browser, and a gateway with some history to look at, both for all tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from orchestrator.api_keys import SCOPES
from orchestrator.key_admin import KeyWish
from tests.support.chromium import chromium
from tests.support.console_visitor import RECORDS_EVERY_S, Guarded, Lived
from tests.support.faults import Fault
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.tavily_simulator import TavilySimulator

PEPPER = "p" * 32


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, started once."""
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lived(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lived]:
    """A gateway without keys, of which this machine may ask everything, after some calls of each kind."""
    async with (
        TavilySimulator(delay_s=0.02) as tavily,
        JinaSimulator(delay_s=0.02) as jina,
        serving(tmp_path_factory.mktemp("var"), tavily=tavily, jina=jina, key_pepper=PEPPER) as amos,
        amos.draining(RECORDS_EVERY_S),
    ):
        yield await _live(amos, tavily, jina)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    """A gateway with one key, without which nothing is to be had."""
    async with (
        TavilySimulator() as tavily,
        serving(tmp_path_factory.mktemp("var"), tavily=tavily, key_pepper=PEPPER) as amos,
        amos.draining(RECORDS_EVERY_S),
    ):
        keys = amos.gateway.keys
        assert keys is not None
        made = await keys.create(KeyWish(client="boss", scopes=SCOPES), by="test")
        yield Guarded(amos, made.raw)


async def _live(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator) -> Lived:
    for query in ("tide tables", "Tide  Tables", "heat pump noise", "x"):
        await amos.search(query)
    tavily.script(Fault.status(503), times=2)
    answer = await amos.search("sqlite wal checkpoint")  # retried, and then answered by the second provider
    tavily.script(Fault.status(503), times=2)
    jina.script(Fault.status(503), times=2)
    await amos.search("nobody answers this")
    return Lived(amos, answer.json()["amos"]["execution_id"])
