"""The conformance suite of MCP: installed once, run by scenario."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.npm import NODE, install_packages, node_environment

FOLDER = Path(__file__).resolve().parent.parent / "mcp_conformance"

SCENARIO_S = 60


def install_conformance_suite() -> None:
    """Install what the lock names, unless that has been done."""
    install_packages(FOLDER)


async def run_scenario(url: str, scenario: str, version: str) -> str:
    """What the suite prints about the server at this address. Raises AssertionError if it is not all well."""
    program = FOLDER / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    process = await asyncio.create_subprocess_exec(
        *(NODE, str(program), "server", "--url", url, "--scenario", scenario, "--spec-version", version),
        env={**node_environment(), "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SCENARIO_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()
