"""Real Prometheus and Alertmanager on free ports, started with a configuration as a deployment has it.

    async with Prometheus(configuration, rules={"amos.yml": rules}) as prometheus:
        assert await prometheus.query("up") == {(("instance", "…"), ("job", "amos")): 1.0}

Both keep what they write in a folder that is gone afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.support.debian import FOLDER, binary
from tests.support.ports import free_port

Labels = tuple[tuple[str, str], ...]
"""Sorted, without the name of the metric."""

READY_S = 15.0
"""A start that takes longer has failed; it takes a fifth of a second when the machine is not busy."""

TOOL_S = 60.0
"""A check that takes longer hangs."""


def promtool(*arguments: str | Path, page: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool; `page` is its input. What it prints is in `stdout` and `stderr`."""
    return _tool("promtool", arguments, page)


def amtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run amtool; what it prints is in `stdout` and `stderr`."""
    return _tool("amtool", arguments, None)


def _tool(
    name: str, arguments: tuple[str | Path, ...], page: bytes | None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [binary(name), *arguments], input=page or b"", capture_output=True, check=False, timeout=TOOL_S
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


class _Server(ABC):
    """One server with a configuration of its own; an async context manager. `folder` is its own."""

    name = ""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._program = binary(self.name)
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"amos-{self.name}-"))
        (self.folder / "config.yml").write_text(yaml.safe_dump(dict(configuration)), encoding="utf-8")
        self.client = httpx.AsyncClient(base_url=self.base_url, trust_env=False)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                self._program, f"--config.file={self.folder / 'config.yml'}",
                f"--web.listen-address=127.0.0.1:{self.port}", *self.options(),
                cwd=self.folder, env={}, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            await self._wait_until_ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.client.aclose()
        assert self._process is not None
        if self._process.returncode is None:
            # Not in good order: Prometheus takes seconds for that, and what it wrote is thrown away.
            self._process.kill()
            await self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """Everything it has printed so far."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @abstractmethod
    def options(self) -> list[str]:
        """Its command line beyond the configuration and the address."""

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        give_up_at = time.monotonic() + READY_S
        while True:
            assert self._process.returncode is None, f"{self.name} ended:\n{self.log}"
            assert time.monotonic() < give_up_at, f"{self.name} is not ready:\n{self.log}"
            with contextlib.suppress(httpx.TransportError):
                if (await self.client.get("/-/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


class Prometheus(_Server):
    """A Prometheus. Each of `rules` (file name and content) is read beside what the configuration names."""

    name = "prometheus"

    def __init__(
        self, configuration: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        given = dict(configuration)
        if rules:
            given["rule_files"] = ["rules/*.yml"]
        super().__init__(given)
        (self.folder / "rules").mkdir()
        for name, content in (rules or {}).items():
            (self.folder / "rules" / name).write_text(yaml.safe_dump(dict(content)), encoding="utf-8")

    def options(self) -> list[str]:
        """Data of its own."""
        return [f"--storage.tsdb.path={self.folder / 'data'}"]

    async def query(self, expression: str, at: float | None = None) -> dict[Labels, float]:
        """An instant query, now or at a moment in epoch seconds: the values by their labels."""
        answer = await self.get("query", query=expression, **({} if at is None else {"time": str(at)}))
        if answer["resultType"] == "scalar":
            return {(): float(answer["result"][1])}
        return {
            tuple(sorted((key, value) for key, value in one["metric"].items() if key != "__name__")): float(
                one["value"][1]
            )
            for one in answer["result"]
        }

    async def total(self, expression: str) -> float:
        """The sum of an instant query; 0 if there is nothing."""
        return sum((await self.query(expression)).values())

    async def get(self, path: str, **parameters: str) -> Any:
        """The `data` of any question to its API. Raises AssertionError with its complaint."""
        answer = await self.client.get(f"/api/v1/{path}", params=parameters)
        told = answer.json()
        assert told["status"] == "success", f"{parameters}: {told.get('error')}"
        return told["data"]

    async def until_scraped(self, job: str, within_s: float = READY_S) -> None:
        """Wait until the last scrape of every target of a job was a success."""
        give_up_at = time.monotonic() + within_s
        while True:
            active = (await self.get("targets", state="active"))["activeTargets"]
            health = [target["health"] for target in active if target["labels"]["job"] == job]
            if set(health) == {"up"}:
                return
            assert time.monotonic() < give_up_at, f"{job} is not scraped: {health}"
            await asyncio.sleep(0.05)


class Alertmanager(_Server):
    """An Alertmanager that belongs to no cluster."""

    name = "alertmanager"

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        super().__init__(configuration)
        if self._program.parent == FOLDER:
            (self.folder / "templates").symlink_to(FOLDER / "templates")

    def options(self) -> list[str]:
        """Data of its own."""
        return [f"--storage.path={self.folder / 'data'}", "--cluster.listen-address="]
