"""Valkey and Sentinel run by the very commands of docker-compose.yml, and fail over as deploy/sentinel says.

Only what names a place is exchanged: ports, the data folder, the names of containers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.ports import free_port
from tests.support.processes import ROOT, until
from tests.support.proxies import DEPLOY
from tests.support.valkey import binary

UP_S = 15.0
FAILOVER_S = 30.0


@pytest.fixture(scope="module", name="commands")
def _commands() -> dict[str, list[str]]:
    """The command of each service that has one."""
    compose = Path(sysconfig.get_path("scripts")) / "docker-compose"
    done = subprocess.run(
        [compose, "--profile", "ha", "config", "--format", "json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    services: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return {
        name: [word.replace("$$", "$") for word in service["command"]]
        for name, service in services.items()
        if service.get("command")
    }


@contextmanager
def running(command: list[str], places: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command with its places exchanged, in a folder that stands for /data."""
    folder.mkdir()
    for name in ("valkey-server", "valkey-sentinel"):
        (folder / name).symlink_to(binary())
    for place, here in {**places, "/data": str(folder)}.items():
        command = [word.replace(place, here) for word in command]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={"PATH": f"{folder}:{os.defpath}"}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(port: int, *words: str) -> Any:
    """One command; the reply, or None while nobody answers."""
    try:
        with redis.Redis(port=port, decode_responses=True, socket_timeout=2) as client:
            return client.execute_command(*words)
    except redis.RedisError:
        return None


async def test_the_commands_of_compose_fail_over(commands: dict[str, list[str]], tmp_path: Path) -> None:
    """Primary, replica and three Sentinels find each other; when the primary dies the replica takes over."""
    ports = {name: free_port() for name in commands if name.startswith(("valkey", "sentinel"))}

    def places(name: str) -> dict[str, str]:
        return {
            "/etc/valkey/sentinel.conf.template": str(DEPLOY / "sentinel/sentinel.conf.template"),
            "replicaof valkey-1 6379": f"replicaof 127.0.0.1 {ports['valkey-1']}",
            "port 6379": f"port {ports[name]}",
            "announce-ip valkey-2": "announce-ip 127.0.0.1",
            "/valkey-1/": "/127.0.0.1/",
            "/6379/": f"/{ports['valkey-1']}/",
            "/26379/": f"/{ports[name]}/",
        }

    with ExitStack() as stack:
        started = {}
        for name in sorted(ports, reverse=True):
            process = running(commands[name], places(name), tmp_path / name)
            started[name] = stack.enter_context(process)
            await until(lambda name=name: ask(ports[name], "PING"), UP_S, lambda name=name: log(name))

        def log(name: str) -> str:
            return (tmp_path / name / "log").read_text(encoding="utf-8")

        def knows(name: str, *words: str) -> Any:
            return ask(ports[name], "SENTINEL", *words, "amos")

        await until(
            lambda: (
                len(knows("sentinel-1", "REPLICAS") or ()) == 1
                and len(knows("sentinel-1", "SENTINELS") or ()) == 2
            ),
            FAILOVER_S,
            lambda: log("sentinel-1"),
        )
        assert knows("sentinel-2", "GET-MASTER-ADDR-BY-NAME") == ["127.0.0.1", str(ports["valkey-1"])]
        started["valkey-1"].send_signal(signal.SIGKILL)
        new = ["127.0.0.1", str(ports["valkey-2"])]
        for name in ("sentinel-1", "sentinel-2", "sentinel-3"):
            await until(
                lambda name=name: knows(name, "GET-MASTER-ADDR-BY-NAME") == new,
                FAILOVER_S,
                lambda name=name: log(name),
            )
        await asyncio.sleep(0)

        assert ask(ports["valkey-2"], "SET", "x", "1")
