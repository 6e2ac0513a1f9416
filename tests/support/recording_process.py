"""Writers and recorders as processes of their own, to be killed: at any moment, or at a chosen step.

They are forked from a server that has everything imported, so that one is there in some milliseconds. A
`Fate` names the step and how often it may be reached; then the process ends itself by SIGKILL, right there.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, event

from storage import recorder_process
from storage.file_reader import JournalReader
from storage.recorder_process import RecorderBusy, record_forever
from storage.sql_rebuild import replay
from tests.support.seeded_writer import SeededWriter

BUSY_STATUS = 3
"""The exit status of a recorder that found another one."""

STATUS_S = 0.05
"""How often the recorders of these tests write their status, so that nobody waits for it."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "storage.sql_schema", "sqlalchemy.dialects.sqlite.aiosqlite"])


class Fate(NamedTuple):
    """To die at the end of a step that is reached for the `nth` time.

    `step` is the beginning of SQL statements (`INSERT INTO frames`), `stored` (a batch is committed and its
    segments are still there) or `write` (of a writer: half of it).
    """

    step: str | tuple[str, ...]
    nth: int = 1


def start_recorder(folder: Path, url: str, fate: Fate | None = None) -> ForkServerProcess:
    """A recorder; SIGTERM ends it in good order."""
    return _start(_record, folder, url, fate)


def start_writer(folder: Path, name: str, seed: int, fate: Fate | None = None) -> ForkServerProcess:
    """A writer that goes on until it is killed; `told` reads what it was told."""
    return _start(_write, folder, name, seed, fate)


def start_replay(url: str, fate: Fate | None = None) -> ForkServerProcess:
    """`amos events replay`."""
    return _start(_replay, url, fate)


def told(folder: Path, name: str) -> tuple[set[str], set[str]]:
    """The executions and the spans of a writer that it had acknowledged before it died."""
    path = _told_file(folder, name)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    words = [line.split() for line in lines if line.endswith("\n")]
    return tuple({name for kind, name in words if kind == what} for what in ("answered", "intended"))  # type: ignore[return-value]


def _start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    process = _context.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def _record(folder: Path, url: str, fate: Fate | None) -> None:
    logging.disable()
    recorder_process.STATUS_S = STATUS_S
    if fate is not None:
        _meet(fate)

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await record_forever(folder, url, stop)

    try:
        asyncio.run(main())
    except RecorderBusy:
        os._exit(BUSY_STATUS)


def _replay(url: str, fate: Fate | None) -> None:
    if fate is not None:
        _meet(fate)
    asyncio.run(replay(url, lambda *_: None))


def _write(folder: Path, name: str, seed: int, fate: Fate | None) -> None:
    logging.disable()
    writes = 0

    def write(fd: int, data: memoryview) -> int:
        nonlocal writes
        writes += 1
        if fate is not None and writes == fate.nth:
            os.write(fd, data[: len(data) // 2])
            _die()
        return os.write(fd, data)

    async def main() -> None:
        with _told_file(folder, name).open("a", buffering=1) as file:
            writer = SeededWriter(folder, name, seed, tell=lambda line: file.write(line + "\n"), write=write)
            while True:
                await writer.calls(8)
                await asyncio.sleep(0.002)

    asyncio.run(main())


def _meet(fate: Fate) -> None:
    """Arrange the death."""
    reached = 0

    def step() -> None:
        nonlocal reached
        reached += 1
        if reached == fate.nth:
            _die()

    if fate.step == "stored":
        _before(JournalReader, "commit", step)
        return

    @event.listens_for(Engine, "after_cursor_execute")
    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(fate.step):
            step()


def _before(owner: type, name: str, step: Callable[[], None]) -> None:
    honest = getattr(owner, name)

    def call(*arguments: Any) -> Any:
        step()
        return honest(*arguments)

    setattr(owner, name, call)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _told_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.told"
