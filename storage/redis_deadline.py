"""How long we wait for Redis: a time in which the event loop really turned, and then a few turns more.

A busy loop may need longer for one turn than Redis for its answer; a new connection needs a dozen turns. A
plain timeout would then blame Redis for our own slowness, at the very moment when many calls come at once. So
the time is counted in slices, each begun when the one before is over: however long the loop stands still, it
loses one slice by it. When all are used up a few turns follow, because an answer may lie in the socket,
unread. On an idle loop all that is exact to the microsecond.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

SLICES_COUNT = 20
"""chosen: a connection is made, greeted and asked in a dozen turns."""

TURNS_COUNT = 4
"""chosen: the stream reads, the client wakes and parses, the caller wakes; and one to spare."""


class RedisDeadline:
    """`async with RedisDeadline(0.05): …` raises TimeoutError in its body when both are used up."""

    def __init__(self, timeout_s: float) -> None:
        self._slice_s = timeout_s / SLICES_COUNT
        self._timeout = asyncio.timeout(None)
        self._handle: asyncio.Handle | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._slice(asyncio.get_running_loop(), SLICES_COUNT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _slice(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        if left:
            self._handle = loop.call_later(self._slice_s, self._slice, loop, left - 1)
        else:
            self._turn(loop, TURNS_COUNT)

    def _turn(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        if left:
            self._handle = loop.call_soon(self._turn, loop, left - 1)
        else:
            self._timeout.reschedule(loop.time())
