"""What the supervisor's children have in common: how they begin, and how they learn that they should stop.

They stop at a signal, or at the death of the supervisor that started them.

The supervisor holds the other end of each child's standard input and never writes to it. When it ends, the
supervisor has closed it on purpose or died; a worker that lived on would serve unrecorded, and a recorder
would keep the data directory. Unlike a signal the end of the input also reaches a child that is only
starting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from api.logs.configure import configure_logging
from api.settings import Settings, load
from orchestrator.errors import SettingsError

MISCONFIGURED = 78
"""sysexits.h, EX_CONFIG: the settings cannot be, and would not the next time either."""

_log = logging.getLogger("amos.child")


def run_child(name: str, work: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """A child's whole life: read the settings, then work.

    What is wrong with the installation, and not with the program, is one line in the log and exit status 1,
    or MISCONFIGURED if it is the settings; with AMOS_LOG_LEVEL=debug it comes with its traceback.
    """
    try:
        settings = load()
        configure_logging(settings)
        asyncio.run(work(settings))
    except (SettingsError, OSError) as error:
        reason = " ".join(str(error).split())  # that of settings has a line for each fault
        _log.error("the %s cannot work: %s", name, reason, exc_info=_log.isEnabledFor(logging.DEBUG))
        sys.exit(MISCONFIGURED if isinstance(error, SettingsError) else 1)


@contextlib.asynccontextmanager
async def stop_requested(*, watches_parent: bool) -> AsyncIterator[asyncio.Event]:
    """An event that is set on SIGTERM, on SIGINT and, if `watches_parent`, when standard input ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch = loop.create_task(_wait_for_end_of_input()) if watches_parent else None
    if watch is not None:
        watch.add_done_callback(lambda _: stop.set())
    try:
        yield stop
    finally:
        if watch is not None:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch


async def _wait_for_end_of_input() -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while await reader.read(1_024):
            pass
    finally:
        transport.close()
