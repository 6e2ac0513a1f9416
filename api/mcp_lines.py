"""Lines of standard input, none longer than its bound, in a way that lets the process end while it waits.

A pipe is read by the event loop. A thread would do the same, but cannot be interrupted: a client that closes
our output and not our input would keep the process for ever. A file is read in a thread, which never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO

from orchestrator import limits

ReadLine = Callable[[], Awaitable[bytes]]
"""Gives the next line, `b""` at the end; of a line longer than `LINE_BYTES_MAX` so much as tells so."""

LINE_BYTES_MAX = limits.BODY_BYTES_MAX


@contextlib.asynccontextmanager
async def lines_of(source: IO[bytes]) -> AsyncIterator[ReadLine]:
    """Reads `source`, a pipe or a file, for as long as the context lasts."""
    if stat.S_ISREG(os.fstat(source.fileno()).st_mode):
        yield file_lines(source)
        return
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    try:
        yield pipe_lines(reader)
    finally:
        transport.close()


def file_lines(source: IO[bytes]) -> ReadLine:
    """Reads a file."""

    def read() -> bytes:
        line = rest = source.readline(LINE_BYTES_MAX + 1)
        while len(rest) > LINE_BYTES_MAX and not rest.endswith(b"\n"):
            rest = source.readline(LINE_BYTES_MAX + 1)
        return line

    async def read_line() -> bytes:
        return await asyncio.to_thread(read)

    return read_line


def pipe_lines(reader: asyncio.StreamReader) -> ReadLine:
    """Reads a stream whose limit is `LINE_BYTES_MAX`."""

    async def read_line() -> bytes:
        too_long = b""
        while True:
            try:
                line = await reader.readuntil()
            except asyncio.IncompleteReadError as end:
                line = end.partial
            except asyncio.LimitOverrunError as overrun:
                part = await reader.readexactly(overrun.consumed)
                too_long = too_long or part
                continue
            return too_long or line

    return read_line
