"""AMOS and the simulated upstreams as processes of their own, to be killed, stopped and started again.

A process belongs to an installation if its environment names that data folder, whoever its parent is now:
orphans are found as well. Linux only, as it reads /proc.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent

READY_S = 30.0
"""A start that takes longer has failed."""

STOP_S = 30.0
"""An orderly stop that takes longer has failed."""

ROLES = {"api.server": "worker", "api.recorder": "recorder", "api.cli": "supervisor"}
"""What a process of ours is, by the module on its command line."""

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "COVERAGE_PROCESS_START")
"""The variables of the test's own environment that a process sees."""


class AmosProcesses:
    """One installation of AMOS, started by `start` as often as one likes on the same data folder."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self.database: Path | str = settings.get("AMOS_DATABASE_URL", data_dir / "amos.db")
        self.journal = data_dir / "journal"
        self.base_url = ""
        self.settings = dict(settings)
        self._log = data_dir.parent / f"{data_dir.name}.log"
        self._supervisor: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.kill_all()

    @property
    def log(self) -> str:
        """Everything the processes have printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    async def start(self) -> None:
        """`amos serve` on a free port; returns when it says that it is ready."""
        begin = len(self.log)
        with self._log.open("ab") as log:
            self._supervisor = await self._spawn("serve", log)

        def announced() -> bool:
            return "AMOS is ready on" in self.log[begin:]

        await until(announced, READY_S, lambda: f"AMOS did not start:\n{self.log[begin:]}")
        self.base_url = self.log[begin:].partition("AMOS is ready on ")[2].split()[0]

    async def stop(self) -> int:
        """End in good order, everything drained; returns the exit status."""
        assert self._supervisor is not None
        self._supervisor.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._supervisor.wait(), STOP_S)

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Another `amos` command on the same data folder; its exit status and all it printed."""
        process = await self._spawn(*arguments, asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), STOP_S)
        return process.returncode or 0, output.decode()

    def alive(self) -> dict[int, str]:
        """The processes of this installation that run or are stopped, with their roles."""
        found = {}
        for pid in _pids():
            role = _role(pid, self.data_dir)
            if role:
                found[pid] = role
        return found

    def signal(self, role: str, number: int) -> bool:
        """Send a signal to the process in that role; tells whether there was one."""
        pids = [pid for pid, its_role in self.alive().items() if its_role == role]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return bool(pids)

    def pid(self, role: str) -> int:
        """The process in that role. Raises StopIteration if there is none now."""
        return next(pid for pid, its_role in self.alive().items() if its_role == role)

    async def kill_all(self) -> None:
        """SIGKILL for all processes: the supervisor first, so that it starts nothing again."""
        for role in ("supervisor", "worker", "recorder"):
            self.signal(role, signal.SIGKILL)
        if self._supervisor is not None:
            await self._supervisor.wait()
        await self.gone(STOP_S)

    async def gone(self, within_s: float) -> None:
        """Wait until no process is left. Raises TimeoutError with those that are."""
        await until(lambda: not self.alive(), within_s, lambda: f"still there: {self.alive()}")

    async def _spawn(self, *arguments: Any) -> asyncio.subprocess.Process:
        *words, output = arguments
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api.cli", *words),
            cwd=self.data_dir.parent,  # no .env of a developer there
            env=environment({"AMOS_DATA_DIR": str(self.data_dir), "AMOS_PORT": "0", **self.settings}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            # A group of its own: a signal for the whole group of the tests is none of its business.
            start_new_session=True,
        )


class UpstreamProcess:
    """A simulated upstream in a process that survives whatever happens to AMOS. A context manager.

    `module` is the simulator's in tests.support; it answers after `delay_ms`.
    """

    def __init__(self, module: str, delay_ms: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.support.{module}", "--port", "0", "--delay-ms", str(delay_ms)],
            cwd=ROOT,
            env=environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()
        assert self.base_url, "the simulator did not start"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    def obey(self, orders: Mapping[str, Any]) -> None:
        """Give it the orders (`simulator.Orders` as JSON)."""
        httpx.post(f"{self.base_url}/_control", json=dict(orders), trust_env=False).raise_for_status()

    def calls(self) -> list[dict[str, Any]]:
        """All calls that arrived since it was last told to clear, oldest first."""
        answer = httpx.get(f"{self.base_url}/_control/calls", timeout=STOP_S, trust_env=False).json()
        calls: list[dict[str, Any]] = answer["calls"]
        assert answer["count"] == len(calls), "the simulator forgot calls"
        return calls


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """What a process sees: little of ours, and the settings."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**inherited, "PYTHONPATH": f"{ROOT}:{ROOT}/api/sdk", "PYTHONSAFEPATH": "1", **settings}


async def until(
    condition: Callable[[], bool], within_s: float, why: Callable[[], str], every_s: float = 0.02
) -> None:
    """Wait until the condition holds. Raises TimeoutError with `why()`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(why())
        await asyncio.sleep(every_s)


def _pids() -> Iterable[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _role(pid: int, data_dir: Path) -> str:
    """What the process is in the installation, `""` if it is no part of it; the dead are no part either."""
    folder = Path(f"/proc/{pid}")
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
        if f"AMOS_DATA_DIR={data_dir}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
            return ""
    except OSError:
        return ""
    return next((role for module, role in ROLES.items() if module.encode() in words), "")
