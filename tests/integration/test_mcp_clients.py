"""Clients that people really use work unchanged: fastmcp's, and Agno's agents."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from tests.support.gateway_server import serving
from tests.support.processes import ROOT, environment
from tests.support.tavily_simulator import TavilySimulator

CLIENT_S = 60.0


@pytest.mark.parametrize("client", ["fastmcp", "agno"])
async def test_a_client_searches_the_web(tmp_path, tavily: TavilySimulator, client: str):
    """It finds the tool, calls it, and has the whole answer, with why it is this one."""
    async with serving(tmp_path / "var", tavily=tavily) as amos:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.mcp_clients", client, f"{amos.base_url}/mcp"),
            cwd=ROOT,
            env=environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, complaints = await asyncio.wait_for(process.communicate(), CLIENT_S)

    assert process.returncode == 0, complaints.decode()
    answer = json.loads(output.splitlines()[-1])
    assert len(answer["results"]) == 2
    assert answer["amos"]["provider"] == "tavily"
