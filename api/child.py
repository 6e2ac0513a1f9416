"""How a process of ours learns that it should stop: a signal, or the death of the supervisor that started it.

The supervisor holds the other end of each child's standard input and never writes to it. When it ends, the
supervisor has closed it on purpose or died; a worker that lived on would serve unrecorded, and a recorder
would keep the data directory. Unlike a signal the end of the input also reaches a child that is only
starting.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator


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
