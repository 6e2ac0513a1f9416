"""The Python client as other people install it: built alone, in an environment with nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.gateway_server import serving

SDK = Path(__file__).resolve().parents[2] / "api" / "sdk"

PROGRAM = """
import importlib.metadata, sys
from amos_sdk import Client
with Client(sys.argv[1]) as amos:
    answer = amos.search("harbour museum", max_results=1)
    account = amos.execution(answer.why.execution_id)
print(answer.results[0].url, account.status, sorted(
    dist.name for dist in importlib.metadata.distributions() if dist.name.startswith(("amos", "httpx"))
))
"""


def run(*command: str, cwd: Path) -> str:
    """What the command prints, with nothing of ours in its environment."""
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow  # it builds with pip, in an environment of its own, twice
async def test_the_client_is_built_and_used_alone(tmp_path, tavily):
    """The wheel of api/sdk alone, in a new environment, searches on a running server."""

    def install() -> str:
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
        run(*pip, "wheel", "--no-deps", "-w", "wheels", str(SDK), cwd=tmp_path)
        (wheel,) = (tmp_path / "wheels").iterdir()
        venv.create(tmp_path / "env", with_pip=True)
        python = str(tmp_path / "env" / "bin" / "python")
        run(python, "-m", "pip", "--disable-pip-version-check", "install", str(wheel), cwd=tmp_path)
        return python

    python = await asyncio.to_thread(install)
    async with serving(tmp_path, tavily=tavily) as amos:

        async def bring_in():
            while True:
                await amos.drain()
                await asyncio.sleep(0.2)

        recorder = asyncio.create_task(bring_in(), name="recorder")
        said = await asyncio.to_thread(run, python, "-c", PROGRAM, amos.base_url, cwd=tmp_path)
        recorder.cancel()

    assert said.split(maxsplit=2)[1:] == ["answered", "['amos-sdk', 'httpx']\n"]
