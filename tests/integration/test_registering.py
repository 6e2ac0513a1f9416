"""Providers registered while instances run: both have them within seconds, and so has whoever starts later.

Two gateways share a PostgreSQL and no data folder, as on two machines; each writes its own journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest

from orchestrator.registrations import REFRESH_S
from tests.support.gateway_server import GatewayServer, serving
from tests.support.postgres import shared_postgres
from tests.support.processes import AmosProcesses, UpstreamProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.tavily_simulator import TavilySimulator

TAVILY = {"name": "tavily", "kind": "tavily", "priority": 50}

WITHIN_S = REFRESH_S + 3.0
"""A change is everywhere after a look, and what a busy machine takes for it."""


@pytest.fixture
def options(tavily: TavilySimulator) -> dict[str, Any]:
    """What both instances are made with: Tavily has a key, and the settings name only own documents."""
    return {
        "database_url": shared_postgres().new_database(),
        "key_pepper": "p" * 32,
        "providers": ("local",),
        "tavily": tavily,
    }


@contextlib.asynccontextmanager
async def two(folder: Path, options: dict[str, Any]) -> AsyncIterator[tuple[GatewayServer, GatewayServer]]:
    """Two running instances."""
    async with serving(folder / "a", **options) as one, serving(folder / "b", **options) as other:
        yield one, other


@contextlib.asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Nobody else reads or writes the event log."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE frames IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def asked(amos: GatewayServer) -> list[str]:
    """Who is asked by an instance, in order."""
    listed = (await amos.client.get("/providers")).json()["providers"]
    return [one["name"] for one in listed if one["status"] == "serving"]


async def until_asked(amos: GatewayServer, names: list[str]) -> None:
    """Wait until an instance asks just these. Raises TimeoutError."""
    deadline = time.monotonic() + WITHIN_S
    while (found := await asked(amos)) != names:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} instead of {names}")
        await asyncio.sleep(0.05)


def provider_of(answer: httpx.Response) -> str:
    """Who has answered a search."""
    assert answer.status_code == 200, answer.text
    name: str = answer.json()["amos"]["provider"]
    return name


async def test_both_instances_have_what_one_was_told(tmp_path: Path, options: dict[str, Any]):
    """Registered, moved, disabled and removed on one, in force on the other within seconds."""
    async with two(tmp_path, options) as (a, b):
        made = await a.client.post("/providers", json=TAVILY)
        assert made.status_code == 201
        assert provider_of(await a.search("high tide")) == "tavily"
        await a.drain()
        await until_asked(b, ["tavily", "local"])
        assert provider_of(await b.search("low tide")) == "tavily"
        health = {one.name for one in await b.gateway.health()}
        assert {"provider:tavily", "registrations"} <= health

        await b.client.patch("/providers/local", json={"priority": 10})
        await b.drain()
        await until_asked(a, ["local", "tavily"])
        await a.client.patch("/providers/local", json={"enabled": False})
        await a.drain()
        await until_asked(b, ["tavily"])
        await b.client.delete("/providers/tavily")
        await b.drain()
        await until_asked(a, [])

        assert (await a.search("neap tide")).status_code == 503
        kinds = [frame["events"][0]["event"]["type"].split(".")[2] for frame in a.frames("providers")]
    assert kinds == ["registered", "moved", "disabled", "removed"]


async def test_two_administrators_at_once(tmp_path: Path, options: dict[str, Any]):
    """The same name on both: both are told yes, and both instances have the one that is later in the log."""
    async with two(tmp_path, options) as (a, b):
        ends = await asyncio.gather(
            a.client.post("/providers", json={**TAVILY, "priority": 1}),
            b.client.post("/providers", json={**TAVILY, "priority": 900}),
        )
        assert [end.status_code for end in ends] == [201, 201]
        await b.drain()
        await a.drain()

        await until_asked(a, ["tavily", "local"])
        await until_asked(b, ["tavily", "local"])
        refused = await b.client.post("/providers", json=TAVILY)
    assert refused.status_code == 409


async def test_no_call_fails_for_a_removal(tmp_path: Path, options: dict[str, Any], tavily: TavilySimulator):
    """Calls that are under way at a provider when it is removed are answered by it."""
    tavily.delay_s = 0.7
    async with serving(tmp_path, **options) as amos:
        await amos.client.post("/providers", json=TAVILY)
        searches = [asyncio.create_task(amos.search(f"tide {n}")) for n in range(8)]
        await asyncio.sleep(0.3)
        removed = await amos.client.delete("/providers/tavily")
        answers = await asyncio.gather(*searches)
        after = await amos.search("tide tables")

    assert removed.status_code == 200
    assert {provider_of(answer) for answer in answers} == {"tavily"}
    assert after.json()["amos"]["provider"] != "tavily"


@pytest.mark.slow
async def test_a_database_out_of_reach_keeps_the_chain(tmp_path: Path, options: dict[str, Any]):
    """Locked, the list is what it was, changes are taken, and health tells; an instance starts without it."""
    async with two(tmp_path, options) as (a, b):
        await a.drain()  # which makes the tables
        async with locked(options["database_url"]):
            made = await a.client.post("/providers", json=TAVILY)
            async with serving(tmp_path / "c", **options) as late:
                assert await asked(late) == ["local"]
                assert (await late.client.post("/providers", json=TAVILY)).status_code == 503
                (told,) = [one for one in await late.gateway.health() if one.name == "registrations"]
            assert await asked(b) == ["local"]
        await a.drain()
        await until_asked(b, ["tavily", "local"])

    assert made.status_code == 201
    assert told.status == "degraded"


async def test_an_acknowledged_provider_survives_kill_9(tmp_path: Path):
    """All processes die right after the 201; those that start next have the provider within seconds."""
    with UpstreamProcess("tavily_simulator", 0) as upstream:
        settings = {
            "AMOS_PROVIDERS": "local",
            "TAVILY_API_KEY": "tvly-simulated",
            "AMOS_TAVILY_BASE_URL": upstream.base_url,
        }
        async with (
            AmosProcesses(tmp_path / "var", settings) as amos,
            httpx.AsyncClient(trust_env=False, timeout=30.0) as client,
        ):
            made = await client.post(f"{amos.base_url}/providers", json=TAVILY)
            await amos.kill_all()
            await amos.start()
            status, printed = await amos.command("providers", "disable", "local")
            deadline, names = time.monotonic() + WITHIN_S, []
            while names != ["tavily"] and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
                listed = (await client.get(f"{amos.base_url}/providers")).json()["providers"]
                names = [one["name"] for one in listed if one["status"] == "serving"]
            answer = await client.post(f"{amos.base_url}/search", json={"query": "tide tables"})

    assert made.status_code == 201
    assert (status, names) == (0, ["tavily"]), printed
    assert provider_of(answer) == "tavily"
