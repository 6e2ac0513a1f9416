"""How long we wait for Redis: a time in which the event loop really turned, and then some turns more.

A busy loop may need longer for a turn than Redis for its answer. A plain timeout would then blame Redis for
our own slowness, at the very moment when many calls come at once. So when the time is used up some turns
follow, because an answer may lie in the socket, unread; on an idle loop they take microseconds. And the time
has two halves: a loop that stands still, perhaps before it has sent anything, loses one of them by it.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

SLICES_COUNT = 2

TURNS_COUNT = 15
"""chosen: an exchange of 64 answers of 20 KB comes in pieces, and each takes two turns to be read. At turns
of 20 to 60 ms some were cut with 12, none with 16. A silent Redis costs the first caller as many."""


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
