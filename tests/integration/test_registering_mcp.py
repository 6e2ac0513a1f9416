"""A search tool of a remote MCP server, registered at run time on one of two instances, serves both.

The instances are processes on machines of their own, as far as they can tell: they share a PostgreSQL, and no
folder. The remote server is the official SDK's, in a process of its own.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx

from orchestrator.registrations import REFRESH_S
from tests.support.mcp_remote_server import RemoteServer
from tests.support.postgres import shared_postgres
from tests.support.processes import AmosProcesses

if TYPE_CHECKING:
    from pathlib import Path

WITHIN_S = 3 * REFRESH_S
"""Drained within a second, looked for every two; the rest is for a busy machine."""


async def provider_of(client: httpx.AsyncClient, amos: AmosProcesses, query: str) -> str:
    """Who answers a search that nobody has asked before."""
    answer = await client.post(f"{amos.base_url}/search", json={"query": query})
    assert answer.status_code == 200, answer.text
    name: str = answer.json()["amos"]["provider"]
    return name


async def test_a_remote_tool_registered_on_one_instance_serves_both(tmp_path: Path):
    """Both ask it without a restart, and answer with its results; disabled on the other, none asks it."""
    settings = {
        "AMOS_DATABASE_URL": shared_postgres().new_database(),
        "AMOS_KEY_PEPPER": "p" * 32,
        "AMOS_PROVIDERS": "local",
        "AMOS_PROVIDER_SECRETS": '{"remote": "a-secret-of-ours"}',
    }
    async with (
        AmosProcesses(tmp_path / "a", settings) as a,
        AmosProcesses(tmp_path / "b", settings) as b,
        httpx.AsyncClient(trust_env=False, timeout=30.0) as client,
    ):
        with RemoteServer("sdk") as remote:
            headers = {"Authorization": "Bearer {secret:remote}"}
            options = {"url": remote.url, "tool": "find", "headers": headers}
            wish = {"name": "remote", "kind": "mcp", "priority": 50, "options": options}
            before = [await provider_of(client, amos, "tide tables before") for amos in (a, b)]
            made = await client.post(f"{a.base_url}/providers", json=wish)
            here = await provider_of(client, a, "tide tables here")
            there, number, begun = "", 0, time.monotonic()
            while there != "remote" and time.monotonic() - begun < WITHIN_S:
                there, number = await provider_of(client, b, f"tide tables there {number}"), number + 1
                await asyncio.sleep(0.1)
            answer = (await client.post(f"{b.base_url}/search", json={"query": "ebb and flow"})).json()
            await client.patch(f"{b.base_url}/providers/remote", json={"enabled": False})
            after, begun = "", time.monotonic()
            while after != "local" and time.monotonic() - begun < WITHIN_S:
                after, number = await provider_of(client, a, f"tide tables after {number}"), number + 1
                await asyncio.sleep(0.1)
        listed = (await client.get(f"{a.base_url}/providers")).text

    assert before == ["local", "local"]
    assert (made.status_code, here, there, after) == (201, "remote", "remote", "local"), made.text
    assert answer["results"]
    assert all(one["url"].startswith("https://") for one in answer["results"])
    assert "a-secret-of-ours" not in listed
