"""How long we wait for Redis: a time, and then a few turns of the event loop.

A busy loop may need longer for one turn than Redis for its answer. The answer then lies in the socket,
unread, when the time is up; a plain timeout fires first and blames Redis for our own slowness. So the time
is followed by as many turns as an answer needs to get from the socket to whoever waits. An idle loop makes
them in microseconds.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

TURNS_COUNT = 4
"""chosen: the stream reads, the client wakes and parses, the caller wakes; and one to spare."""


class RedisDeadline:
    """`async with RedisDeadline(0.05): …` raises TimeoutError in its body when both are used up."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._timeout = asyncio.timeout(None)
        self._handle: asyncio.Handle | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(self._timeout_s, self._turn, loop, TURNS_COUNT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _turn(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        if left:
            self._handle = loop.call_soon(self._turn, loop, left - 1)
        else:
            self._timeout.reschedule(loop.time())
