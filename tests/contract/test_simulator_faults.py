"""A simulated upstream breaks as it is told to, in its own process or in another."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.faults import Fault
from tests.support.http_server import DeadPort
from tests.support.tavily_simulator import TavilySimulator

ROOT = Path(__file__).resolve().parents[2]
QUERY = "tide tables harbour"


@pytest.fixture
async def client():
    """A plain HTTP client that ignores the environment."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as plain:
        yield plain


@pytest.fixture
async def simulator():
    """A simulated upstream; which one does not matter here."""
    async with TavilySimulator() as running:
        yield running


async def search(client, simulator, query=QUERY):
    """One search with a good key."""
    headers = {"Authorization": f"Bearer {simulator.api_key}"}
    return await client.post(f"{simulator.base_url}/search", json={"query": query}, headers=headers)


@pytest.mark.parametrize(
    "fault", [Fault.reset(), Fault.close(), Fault.cut(), Fault.truncate(), Fault.garbage()]
)
async def test_a_connection_breaks_on_demand(simulator, client, fault):
    """A client sees a broken connection, and a good one at the next call."""
    simulator.script(fault)

    with pytest.raises(httpx.TransportError):
        await search(client, simulator)

    assert (await search(client, simulator)).status_code == 200


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.drip(0.05), Fault.delay(5)])
async def test_an_answer_is_late_on_demand(simulator, client, fault):
    """A client with a limit loses patience."""
    simulator.script(fault)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await search(client, simulator)


async def test_a_dead_port_refuses():
    """Nobody listens, and nobody else can take the port meanwhile."""
    with DeadPort() as dead:
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(dead.base_url)


async def test_faults_come_in_order(simulator, client):
    """A script comes first, then a text in the query, then what always happens; recovering forgets all."""
    simulator.always(Fault.status(500))
    simulator.when("harbour", Fault.status(429))
    simulator.script(Fault.status(401), times=2)

    async def status_of(query):
        return (await search(client, simulator, query)).status_code

    seen = [await status_of(query) for query in ("harbour", "harbour", "harbour", "other")]
    simulator.recover()

    assert seen == [401, 401, 429, 500]
    assert await status_of("harbour") == 200
    assert simulator.count == 5
    assert simulator.counts == {"/search": 5}
    assert simulator.calls[0].json == {"query": "harbour"}


async def test_an_unknown_variant_is_a_fault_of_the_test(simulator):
    """A misspelled variant does not pass as a good answer."""
    with pytest.raises(ValueError, match="no variant"):
        simulator.script(Fault.variant("mispelled"))


@pytest.mark.parametrize("module", ["tavily_simulator", "jina_simulator"])
async def test_a_simulator_runs_as_a_process(client, module):
    """Started from the command line it prints its URL, takes orders over HTTP and tells what it counted."""
    process = subprocess.Popen(  # noqa: ASYNC220 - started once, and read one line of
        [sys.executable, "-m", f"tests.support.{module}", "--port", "0", "--delay-ms", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = (await asyncio.to_thread(process.stdout.readline)).strip()
        orders = {
            "clear": True,
            "delay_s": 0.0,
            "script": [{"kind": "status", "code": 429, "retry_after": "9"}],
        }
        obeyed = await client.post(f"{url}/_control", json=orders)
        refused = await client.post(f"{url}/_control", json={"always": {"kind": "explode"}})
        answer = await client.post(f"{url}/search", json={"query": QUERY})
        tally = (await client.get(f"{url}/_control")).json()
        calls = (await client.get(f"{url}/_control/calls")).json()["calls"]
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
        process.stdout.close()

    assert (obeyed.status_code, refused.status_code) == (200, 400)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "9")
    assert (tally["count"], tally["by_path"]) == (1, {"/search": 1})
    assert calls[0]["json"] == {"query": QUERY}
