"""Hundreds of searches with a dead Tavily: at most twenty of them reach it, and all are answered.

Twenty is what the outage may cost however it looks: refused, failing, silent, or talking nonsense.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from orchestrator.cooldown import CircuitPolicy
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming
from tests.support.gateway_server import GatewayServer, serving
from tests.support.http_server import DeadPort
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SEARCHES = 1_000

CALLS_MAX = 20
"""Of any number of searches one after the other, how many may reach a dead provider."""

AT_ONCE = 32
"""As many may be under way when the first of them fails; they are not called back."""

PATIENCE_S = 2.0
"""What an attempt may take here; beside the five seconds of real life a silent provider costs less time."""

HASTY = Policies(timing=ProviderTiming(search_s=PATIENCE_S))
"""For a provider that is silent only: Jina has no more time then either, on a machine that may be busy."""

FAULTS = {
    "500": Fault.status(500),
    "refused": None,
    "silent": Fault.hang(),
    "no JSON": Fault.body('{"results": [{"title"'),
    "not the shape": Fault.body('{"results": 7}'),
    "a page of HTML": Fault.body("<!doctype html><title>Tavily</title>", content_type="text/html"),
    "error pages": Fault.body(
        '{"results": [{"url": "https://a.example/", "title": "Just a moment...",'
        ' "content": "Enable JavaScript and cookies to continue", "score": 0.9}]}'
    ),
}

THOROUGH = ("500", 1)
"""The others get an eighth of the searches: once the circuit is open all are the same."""


@pytest.fixture
async def jina():
    """Jina, simulated, with a balance that lasts."""
    async with JinaSimulator(balance=10**12) as running:
        yield running


async def search_all(amos: GatewayServer, queries: Sequence[str], at_once: int) -> set[str]:
    """The providers that answered, asked by `at_once` clients."""
    waiting = iter(queries)
    providers: set[str] = set()

    async def client() -> None:
        for query in waiting:
            response = await amos.search(query)
            assert response.status_code == 200, response.text
            providers.add(response.json()["amos"]["provider"])

    await asyncio.gather(*(client() for _ in range(at_once)))
    return providers


def calls_to(amos: GatewayServer, provider: str) -> int:
    """How many calls to the provider are on record."""
    lines = [line["event"] for frame in amos.frames() for line in frame["events"]]
    return sum(e["type"] == "amos.attempt.started.v1" and e["provider"] == provider for e in lines)


@pytest.mark.parametrize("at_once", [1, AT_ONCE])
@pytest.mark.parametrize("kind", FAULTS)
async def test_a_dead_tavily_is_called_twenty_times_at_most(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator, kind: str, at_once: int
):
    """Twenty calls at most, whether the searches come one after the other or many at once."""
    with contextlib.ExitStack() as stack:
        upstream: Any = tavily
        if (fault := FAULTS[kind]) is None:
            upstream = stack.enter_context(DeadPort())
        else:
            tavily.always(fault)
        policies = HASTY if kind == "silent" else None
        async with serving(tmp_path, tavily=upstream, jina=jina, policies=policies) as amos:
            count = SEARCHES if (kind, at_once) == THOROUGH else SEARCHES // 8
            providers = await search_all(amos, [f"question {n}" for n in range(count)], at_once)
            await amos.drain()
            calls = calls_to(amos, "tavily")

    assert providers == {"jina"}
    assert calls <= CALLS_MAX
    if upstream is tavily:
        assert tavily.count == calls


class Opening(NamedTuple):
    """An opening of Tavily's circuit as it is on record."""

    opened_at: float
    openings: int
    cooldown_s: float


async def openings(amos: GatewayServer) -> list[Opening]:
    """All so far, oldest first."""
    await amos.drain()
    lines = [line for frame in amos.frames("circuit:tavily") for line in frame["events"]]
    return [
        Opening(line["at"], line["event"].get("openings", 1), line["event"]["cooldown_s"])
        for line in lines
        if line["event"]["type"] == "amos.circuit.opened.v1"
    ]


STEPS_S = (0.5, 1.0, 2.0)

BACK_S = 2.0
"""So long after the cooldown in force Tavily is in use again."""


async def test_tavily_is_back_soon_after_the_cooldown_in_force(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """Under steady traffic the first call after the cooldown probes, also after the longest step."""
    tavily.always(Fault.status(500))
    policies = Policies(circuit=CircuitPolicy(cooldowns_s=STEPS_S))
    async with serving(tmp_path, tavily=tavily, jina=jina, policies=policies) as amos:
        asked = 0

        async def one() -> str:
            nonlocal asked
            asked += 1
            response = await amos.search(f"question {asked}")
            await asyncio.sleep(0.02)
            provider: str = response.json()["amos"]["provider"]
            return provider

        while len(await openings(amos)) < len(STEPS_S) + 1:
            assert await one() == "jina"
        tavily.recover()
        opened = await openings(amos)
        ends_at = opened[-1].opened_at + opened[-1].cooldown_s
        while await one() != "tavily":
            assert time.time() < ends_at + BACK_S
        back_s = time.time() - ends_at

    assert back_s < BACK_S
    assert [one.openings for one in opened] == [1, 2, 3, 4]
    for opening, step_s in zip(opened, (*STEPS_S, STEPS_S[-1]), strict=True):
        assert 0.9 * step_s <= opening.cooldown_s <= step_s


async def test_without_traffic_the_first_call_probes(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """Nobody has to come by in between: whoever comes after the cooldown is answered by Tavily."""
    tavily.always(Fault.status(500))
    policies = Policies(circuit=CircuitPolicy(cooldowns_s=(0.5,)))
    async with serving(tmp_path, tavily=tavily, jina=jina, policies=policies) as amos:
        await search_all(amos, [f"before {n}" for n in range(3)], 1)
        tavily.recover()
        await asyncio.sleep(0.55)

        assert await search_all(amos, ["after"], 1) == {"tavily"}
