"""`/mcp` before the SDK, which the first request loads, and which is closed with the application."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx

from api.mcp_endpoint import McpEndpoint, tools_of
from api.middleware.failures import Failures
from api.middleware.guard import Guard
from tests.support import mcp_wire
from tests.support.mcp_wire import LEGACY, MODERN
from tests.support.memory_gateway import BASE, MemoryGateway
from tests.support.processes import ROOT, environment


def client_of(endpoint: McpEndpoint, memory: MemoryGateway) -> httpx.AsyncClient:
    """A client on this machine of the endpoint behind its guard."""
    app = Failures(Guard(endpoint, memory.gateway.refused))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE)


async def list_tools(client: httpx.AsyncClient, version: str) -> httpx.Response:
    """One request for the list of tools."""
    return await client.post(
        "/mcp",
        json=mcp_wire.message(version, "tools/list"),
        headers=mcp_wire.headers(version, "tools/list"),
    )


def test_a_worker_does_not_load_the_sdk_at_its_start():
    """Half a second and 25 MB are for those who use it."""
    loaded = "import api.server, sys; print(sorted({'mcp', 'mcp_types'} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, env=environment({}), capture_output=True, check=True
    )

    assert done.stdout == b"[]\n"


async def test_the_first_requests_may_come_together(memory: MemoryGateway):
    """They wait for the same loading, in both eras, and one that hangs up takes nothing from the others."""
    endpoint = McpEndpoint(memory.gateway, tools_of(memory.gateway))
    async with endpoint.running(), client_of(endpoint, memory) as client:
        asked = [asyncio.create_task(list_tools(client, version)) for version in (LEGACY, MODERN) * 5]
        await asyncio.sleep(0)
        asked[0].cancel()

        answers = await asyncio.gather(*asked[1:])

    assert [len(answer.json()["result"]["tools"]) for answer in answers] == [6] * 9


async def test_nobody_is_served_before_the_start_and_after_the_end(memory: MemoryGateway):
    """Then it is another instance's turn, which 503 tells a balancer; nothing is left running."""
    endpoint = McpEndpoint(memory.gateway, tools_of(memory.gateway))
    async with client_of(endpoint, memory) as client:
        before = await list_tools(client, MODERN)
        async with endpoint.running():
            during = await list_tools(client, MODERN)
            tasks = len(asyncio.all_tasks())
        after = await list_tools(client, MODERN)

    assert [answer.status_code for answer in (before, during, after)] == [503, 200, 503]
    assert len(asyncio.all_tasks()) < tasks
