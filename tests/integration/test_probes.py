"""Two processes on one Valkey, 64 clients, a Tavily that is down: one probe for each cooldown."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.database import query
from tests.support.faults import Fault
from tests.support.jina_simulator import JinaSimulator
from tests.support.processes import AmosProcesses
from tests.support.tavily_simulator import TavilySimulator
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CLIENTS = 64

STEPS = "1,2,4"

PROBES = 3

PATIENCE_S = 90.0
"""On a busy machine it takes its time until so many probes have arrived; on an idle one 8 s."""

APART_S = 0.8
"""Less than the shortest cooldown with its jitter."""

REST_S = 0.3
"""What each client waits between two calls: both processes have some to spare."""


def settings(tavily: TavilySimulator, jina: JinaSimulator, valkey: Valkey) -> dict[str, str]:
    """What both processes are told."""
    return {
        "AMOS_PROVIDERS": "tavily,jina",
        "AMOS_REDIS_URL": valkey.url,
        "AMOS_REDIS_TIMEOUT_S": "1",
        "AMOS_CIRCUIT_COOLDOWNS_S": STEPS,
        "TAVILY_API_KEY": tavily.api_key,
        "JINA_API_KEY": jina.api_key,
        "AMOS_TAVILY_BASE_URL": tavily.base_url,
        "AMOS_JINA_SEARCH_URL": f"{jina.base_url}/s",
        "AMOS_JINA_READER_URL": f"{jina.base_url}/r",
    }


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, valkey: Valkey) -> AsyncIterator[list[AmosProcesses]]:
    """Two gateways that share a Valkey and a Tavily."""
    async with contextlib.AsyncExitStack() as stack:
        jina = await stack.enter_async_context(JinaSimulator(balance=10**12))
        given = settings(tavily, jina, valkey)
        amos = [AmosProcesses(tmp_path / name, given) for name in ("first", "second")]
        for one in amos:
            stack.push_async_callback(one.kill_all)
        await asyncio.gather(*(one.start() for one in amos))
        yield amos


def probes_of(tavily: TavilySimulator) -> int:
    """How many calls to Tavily came clearly later than the one before, as only those after a cooldown do."""
    times = [call.at for call in tavily.calls]
    return sum(end - begin > APART_S for begin, end in itertools.pairwise(times))


async def ask(amos: AmosProcesses, name: str, tavily: TavilySimulator, until_s: float) -> set[str]:
    """One client: the providers that answered it until enough has been seen of Tavily."""
    providers = set()
    async with httpx.AsyncClient(base_url=amos.base_url, timeout=30.0, trust_env=False) as client:
        number = 0
        while probes_of(tavily) < PROBES and asyncio.get_running_loop().time() < until_s:
            number += 1
            answer = await client.post("/search", json={"query": f"{name} {number}"})
            assert answer.status_code == 200, answer.text
            providers.add(answer.json()["amos"]["provider"])
            await asyncio.sleep(REST_S)
    return providers


def changes(amos: list[AmosProcesses]) -> list[dict[str, Any]]:
    """What all have recorded of Tavily's circuit, oldest first."""
    rows = [
        row
        for one in amos
        for row in query(one.database, "SELECT occurred_at, stream, event FROM events")
        if row["stream"] == "circuit:tavily"
    ]
    return [json.loads(row["event"]) for row in sorted(rows, key=lambda row: row["occurred_at"])]


async def test_one_probe_for_each_cooldown(amos: list[AmosProcesses], tavily: TavilySimulator):
    """After the first opening each cooldown ends in one call to Tavily, of all clients at both processes."""
    tavily.always(Fault.status(500))
    until_s = asyncio.get_running_loop().time() + PATIENCE_S

    answered = await asyncio.gather(
        *(ask(amos[n % 2], f"client {n}", tavily, until_s) for n in range(CLIENTS))
    )
    calls = tavily.calls
    for one in amos:
        assert await one.stop() == 0
    facts = changes(amos)

    assert set().union(*answered) == {"jina"}
    opened = [fact for fact in facts if fact["type"] == "amos.circuit.opened.v1"]
    probes = [fact for fact in facts if fact["type"] == "amos.circuit.half_opened.v1"]
    assert [fact.get("openings", 1) for fact in opened] == list(range(1, len(opened) + 1))
    assert len(probes) in (len(opened) - 1, len(opened))
    assert len(probes) >= PROBES - 1
    # The last calls that arrived are the probes, each at least a cooldown after the one before.
    times = [call.at for call in calls]
    first, *later = times[-len(probes) - 1 :]
    gaps_s = [end - begin for begin, end in zip([first, *later], later, strict=False)]
    for gap_s, fact in zip(gaps_s, opened, strict=False):
        assert gap_s >= fact["cooldown_s"] - 0.05
    # Everything before them was under way when the circuit opened.
    assert len(calls) - len(probes) <= CLIENTS + 20
