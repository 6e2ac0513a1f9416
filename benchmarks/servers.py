"""Starts what is measured: AMOS as users start it, the bare server, a simulated provider, on their cores."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from benchmarks.load import Request, post
from tests.support.valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent

SERVER_CORE = 0
"""The worker, and the bare server when its turn comes."""

OTHER_CORE = 1
"""Load, recorder, simulated provider."""

START_S = 30.0
"""A server that is not up after this has failed."""


class Amos(msgspec.Struct, frozen=True):
    """A running AMOS. `start_s` is the time from the command to the first answer of /readyz."""

    port: int
    data_dir: Path
    worker_pid: int
    recorder_pid: int
    start_s: float

    def stored_frames(self) -> int:
        """Frames in SQL so far."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data_dir / 'amos.db'}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT COALESCE(MAX(position), 0) FROM frames").fetchone()[0])


class Peer(msgspec.Struct, frozen=True):
    """A running server that AMOS is compared with."""

    port: int
    pid: int


def cpu_s(pid: int) -> float:
    """The processor time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(pid: int, core: int) -> None:
    """Keep a process, all its threads included, on one core; on a single-core machine nothing happens."""
    if (os.cpu_count() or 1) < 2:
        return
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


@contextlib.contextmanager
def amos(settings: Mapping[str, str]) -> Iterator[Amos]:
    """`amos serve` on a free port and a fresh data directory, the worker on its own core."""
    data_dir = Path(tempfile.mkdtemp(prefix="amos-bench-"))
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AMOS_", "TAVILY", "JINA", "REDIS"))
        },
        "AMOS_PORT": "0",
        "AMOS_DATA_DIR": str(data_dir),
        **settings,
    }
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "serve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=(data_dir / "log").open("wb"),  # a line for each call
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        start_s = time.perf_counter() - begun
        port = int(line.rsplit(":", 1)[1])
        children = _children(process.pid)
        worker, recorder = _named(children, "api.server"), _named(children, "api.recorder")
        pin(worker, SERVER_CORE)
        pin(recorder, OTHER_CORE)
        yield Amos(port, data_dir, worker, recorder, start_s)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(data_dir)


def _children(pid: int) -> dict[int, str]:
    """The command lines of a process's children."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == pid:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def _named(processes: Mapping[int, str], part: str) -> int:
    return next(pid for pid, command in processes.items() if part in command)


@contextlib.contextmanager
def bare(headers: Mapping[str, str], body: bytes) -> Iterator[int]:
    """The bare server answering these bytes; yields its port."""
    with _peer("benchmarks.bare", (), json.dumps(dict(headers)).encode() + b"\n" + body) as peer:
        yield peer.port


@contextlib.contextmanager
def passthrough(url: str) -> Iterator[Peer]:
    """The bare server that hands each call on to this address."""
    with _peer("benchmarks.passthrough", (url,), b"") as peer:
        yield peer


@contextlib.contextmanager
def bare_mcp(result: Mapping[str, Any], mode: str) -> Iterator[Peer]:
    """The SDK's bare server, whose tool returns this result."""
    with _peer("benchmarks.bare_mcp", (mode,), json.dumps(result).encode()) as peer:
        yield peer


@contextlib.contextmanager
def _peer(module: str, arguments: Sequence[str], told: bytes) -> Iterator[Peer]:
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as listener:
        port = int(listener.getsockname()[1])
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(listener.fileno()), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
        )
        assert process.stdin is not None
        process.stdin.write(told)
        process.stdin.close()
        try:
            _wait_until_up(port)
            pin(process.pid, SERVER_CORE)
            yield Peer(port, process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_up(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.post(f"http://127.0.0.1:{port}/search", json={"query": "up"})
            return
        time.sleep(0.05)
    raise TimeoutError("the server did not come up")


def ask_tavily(settings: Mapping[str, str], query: str) -> tuple[int, Request]:
    """The simulated provider's port, and the request that a caller without AMOS would send there."""
    port = int(settings["AMOS_TAVILY_BASE_URL"].rsplit(":", 1)[1])
    body = json.dumps({"query": query, "include_usage": True}).encode()
    return port, post("/search", body, port, f"Authorization: Bearer {settings['AMOS_TAVILY_API_KEY']}\r\n")


@contextlib.contextmanager
def valkey() -> Iterator[Valkey]:
    """A Valkey on the core of the others."""
    server = Valkey()
    server.launch()
    try:
        pin(server.pid, OTHER_CORE)
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def tavily(delay_ms: float) -> Iterator[dict[str, str]]:
    """A simulated Tavily that answers after `delay_ms`; yields the settings that make AMOS use only it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.tavily_simulator", "--port", "0", "--delay-ms", str(delay_ms)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        pin(process.pid, OTHER_CORE)
        yield {
            "AMOS_PROVIDERS": "tavily",
            "AMOS_TAVILY_BASE_URL": url,
            "AMOS_TAVILY_API_KEY": "tvly-simulated",
            "AMOS_DEADLINE_S": "9",
        }
    finally:
        process.terminate()
        process.wait(30)
