"""The conformance suite of MCP: what it has, and what it finds amiss."""

from __future__ import annotations

import asyncio
import re
import subprocess

from tests.support.npm import NODE, install_packages
from tests.support.processes import ROOT

FOLDER = ROOT / "tests/mcp_conformance"
PROGRAM = str(FOLDER / "node_modules/@modelcontextprotocol/conformance/dist/index.js")

SCENARIO_S = 60

_LISTED = re.compile(r"^ +- (\S+) \[(\S+)\]$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[\d*m")


def install_conformance_suite() -> None:
    """Install what the lock names, unless that has been done. Where it cannot, skips the test (not in CI)."""
    install_packages(FOLDER)


async def listed_scenarios() -> dict[str, tuple[str, ...]]:
    """Every scenario for servers that the suite has, with the revisions it exists for, or `extension`."""
    _, output = await _told("list", "--server")
    return {name: tuple(revisions.split(",")) for name, revisions in _LISTED.findall(output)}


async def run_scenario(url: str, scenario: str, version: str) -> str:
    """What the suite prints about the server at this address. Raises AssertionError if it is not all well."""
    status, output = await report_on(url, scenario, version)
    assert status == 0, output
    return output


async def report_on(url: str, scenario: str, version: str) -> tuple[int, str]:
    """The suite's exit status for the server at this address, 0 if all is well, and what it prints."""
    return await _told("server", "--url", url, "--scenario", scenario, "--spec-version", version)


async def _told(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(NODE, PROGRAM, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SCENARIO_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, _COLOUR.sub("", output.decode())
