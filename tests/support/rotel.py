"""Rotel, an OpenTelemetry collector written by others (Rust): takes OTLP and passes it on to a receiver.

with Rotel(receiver.base_url) as rotel:
    ... rotel.base_url
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import rotel

from tests.support.ports import free_port

START_S = 10.0
"""A start that takes longer has failed."""


class Rotel:
    """One collector; a context manager. `target` is where it sends traces, without the path, if anywhere."""

    def __init__(self, target: str | None) -> None:
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._target = target
        self._folder = Path(tempfile.mkdtemp(prefix="rotel-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        options = {
            "otlp-http-endpoint": f"127.0.0.1:{self.port}",
            "otlp-grpc-endpoint": f"127.0.0.1:{free_port()}",
            "exporter": "blackhole",
            "pid-file": self._folder / "pid",
            "log-file": self._folder / "log",
        }
        if self._target is not None:
            options |= {
                "exporter": "otlp",
                "otlp-exporter-endpoint": self._target,
                "otlp-exporter-protocol": "http",
            }
        agent = Path(rotel.__file__).parent / "rotel-agent"
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [agent, "start", *(f"--{name}={value}" for name, value in options.items())],
                stdout=output, stderr=output, env={}, cwd=self._folder,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self._listens():
            assert self._process.poll() is None, f"Rotel did not start:\n{self.output}"
            assert time.monotonic() < deadline, f"Rotel does not listen:\n{self.output}"
            time.sleep(0.02)
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(START_S)
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything it has printed so far."""
        return (self._folder / "output").read_text(encoding="utf-8", errors="replace")

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False
