"""How many calls a provider has to bear at once: few of a stranger, many of one that has shown it can."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from typing_extensions import override

from orchestrator.filters.provider_room import ProviderRoomPolicy
from tests.support.gateway_server import GatewayServer, serving
from tests.support.http_server import Request, Wire
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

AT_FIRST = ProviderRoomPolicy().calls_at_first


class Crowded(TavilySimulator):
    """Tavily, which counts how many calls it has at once."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(delay_s=delay_s)
        self.now = self.most = 0

    @override
    async def _handle(self, request: Request, wire: Wire) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await super()._handle(request, wire)
        finally:
            self.now -= 1


@pytest.fixture
async def tavily():
    """Tavily, simulated."""
    async with Crowded(delay_s=0.2) as running:
        yield running


@pytest.fixture
async def jina():
    """Jina, simulated, with enough for all."""
    async with JinaSimulator(balance=10**12) as running:
        yield running


async def crowd(amos: GatewayServer, count: int, about: str) -> list[httpx.Response]:
    """So many different searches at once."""
    return await asyncio.gather(*(amos.search(f"{about} {n}") for n in range(count)))


async def test_a_provider_that_answers_gets_more_and_more(
    tmp_path: Path, tavily: Crowded, jina: JinaSimulator
) -> None:
    """A crowd is answered by the first provider, which sees twice as many calls from round to round."""
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        began = time.monotonic()
        answers = await crowd(amos, 60, "question")
        rounds = (time.monotonic() - began) / tavily.delay_s
        figures = (await amos.client.get("/metrics/instance")).text

    assert {answer.json()["amos"]["provider"] for answer in answers} == {"tavily"}
    assert AT_FIRST < tavily.most < 60
    assert rounds >= 3, "10, 20, and the other 30"
    shown = {
        line.partition("{")[0]: line.rpartition(" ")[2] for line in figures.splitlines() if "tavily" in line
    }
    assert shown["amos_provider_calls_under_way"] == shown["amos_provider_calls_waiting"] == "0.0"
    assert float(shown["amos_provider_calls_max"]) > AT_FIRST


async def test_the_operator_sets_the_most(tmp_path: Path, tavily: Crowded, jina: JinaSimulator) -> None:
    """However many answers came, no more calls are under way than AMOS_TAVILY_CONCURRENCY."""
    tavily.delay_s = 0.02
    async with serving(tmp_path, tavily=tavily, jina=jina, tavily_concurrency=4) as amos:
        answers = await crowd(amos, 40, "question")

    assert {answer.json()["amos"]["provider"] for answer in answers} == {"tavily"}
    assert tavily.most == 4


async def test_a_dead_provider_has_to_swallow_a_handful(
    tmp_path: Path, tavily: Crowded, jina: JinaSimulator
) -> None:
    """A crowd meets a provider that fails: it sees a handful of calls, the next provider all the others."""
    tavily.always(Fault.status(500))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        answers = await crowd(amos, 200, "question")

    assert {answer.json()["amos"]["provider"] for answer in answers} == {"jina"}
    assert tavily.most <= AT_FIRST
    assert tavily.count <= 2 * AT_FIRST
