"""Keys at `/mcp`: the same ones as at every other door, shown with each request."""

from __future__ import annotations

import re

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from orchestrator.key_admin import KeyWish
from tests.support import mcp_wire
from tests.support.gateway_server import GatewayServer, serving
from tests.support.mcp_wire import LEGACY, MODERN
from tests.support.tavily_simulator import TavilySimulator

BURST = 3


@pytest.fixture
async def amos(tmp_path, tavily: TavilySimulator):
    """A gateway that lets every caller call three times, and then every twenty seconds."""
    async with serving(tmp_path, tavily=tavily, rate_burst=BURST, rate_per_minute=BURST) as running:
        await running.drain()  # which migrates the database
        yield running


async def key(amos: GatewayServer, **wish: object) -> str:
    """A new key, as its holder has it."""
    assert amos.gateway.keys is not None
    made = await amos.gateway.keys.create(KeyWish(client="acme", **wish), by="test")  # type: ignore[arg-type]
    return made.raw


async def test_a_client_with_a_key_is_served_and_one_without_is_not(amos: GatewayServer):
    """Once there are keys each request needs one, the handshake and the list of tools too."""
    raw = await key(amos)
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {raw}"})
    async with http, Client(streamable_http_client(f"{amos.base_url}/mcp", http_client=http)) as client:
        result = await client.call_tool("web_search", {"query": "tide tables"})

    refused = [
        await amos.client.post("/mcp", json=mcp_wire.message(version, method), headers=headers | shown)
        for version, method in ((LEGACY, "initialize"), (MODERN, "server/discover"), (MODERN, "tools/list"))
        for shown in ({}, {"Authorization": f"Bearer {raw[:-1]}"})
        for headers in [mcp_wire.headers(version, method)]
    ]

    assert result.structured_content["results"]
    assert {answer.status_code for answer in refused} == {401}
    assert all(raw[:-1] not in answer.text for answer in refused)


async def test_a_key_without_the_scope_is_told_by_the_tool(amos: GatewayServer, tavily: TavilySimulator):
    """It may list the tools and use those it has the scope for; the others say that it lacks one."""
    shown = {"Authorization": f"Bearer {await key(amos, scopes=('search',))}"}
    headers, body = mcp_wire.call(MODERN, "extract", {"urls": ["https://almanac.example/tides"]})

    answer = await amos.client.post("/mcp", content=body, headers=headers | shown)

    assert answer.status_code == 200
    assert answer.json()["result"]["isError"] is True
    assert "tell the user" in answer.json()["result"]["content"][0]["text"]
    assert tavily.count == 0


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_a_used_up_limit_is_a_tool_error_with_the_time_to_wait(amos: GatewayServer, version: str):
    """A model can act on that; lists are not charged, and neither door is a way around the other."""
    shown = {"Authorization": f"Bearer {await key(amos)}"}
    for number in range(BURST - 1):
        await amos.search(f"tides {number}", headers=shown)
    headers, body = mcp_wire.call(version, "web_search", {"query": "tides 0"})

    for _ in range(3):
        listed = await amos.client.post(
            "/mcp",
            json=mcp_wire.message(version, "tools/list"),
            headers=mcp_wire.headers(version, "tools/list") | shown,
        )
    within = await amos.client.post("/mcp", content=body, headers=headers | shown)
    beyond = await amos.client.post("/mcp", content=body, headers=headers | shown)

    assert listed.json()["result"]["tools"]
    assert "isError" not in within.json()["result"] or within.json()["result"]["isError"] is False
    assert beyond.json()["result"]["isError"] is True
    text = beyond.json()["result"]["content"][0]["text"]
    assert re.search(r"Retry after \d+ seconds\..* Do not call again before that\.$", text)
