"""A way to a server that is cut on order, between what is asked and the answer, or just before it.

async with CuttingWay(server.port) as way:
    way.cut(b"COMMIT", nth=3, delivered=True)       # the server commits, and its client never hears of it
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class CuttingWay:
    """Passes bytes between clients and a server on this machine; `cuts` counts what it has cut."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.cuts = 0
        self._target = port
        self._word = b""
        self._left = 0
        self._is_delivered = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was cut is closed in the next turn of the loop

    def cut(self, word: bytes, *, nth: int, delivered: bool) -> None:
        """Cut the connection that sends `word` for the nth time from now on.

        With `delivered` the server gets it and has answered; else it never hears of it.
        """
        self._word, self._left, self._is_delivered = word, nth, delivered

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
        answers = asyncio.create_task(_copy(back_reader, writer))
        try:
            while data := await reader.read(1 << 20):
                is_cut = self._is_cut_by(data)
                if not is_cut:
                    back_writer.write(data)
                    await back_writer.drain()
                    continue
                if self._is_delivered:
                    answers.cancel()
                    await asyncio.gather(answers, return_exceptions=True)
                    back_writer.write(data)
                    await back_reader.read(1 << 20)
                self.cuts += 1
                return
        finally:
            answers.cancel()
            back_writer.transport.abort()
            await asyncio.gather(answers, return_exceptions=True)

    def _is_cut_by(self, data: bytes) -> bool:
        if not self._left or self._word not in data:
            return False
        self._left -= 1
        return not self._left


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 20):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()
