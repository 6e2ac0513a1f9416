"""Makes Hypercorn wait for a connection's next request with a timer instead of with a task.

Written for Hypercorn 0.18, which begins and cancels a task with two timers around every request. That task
outlives the client's end of the connection and holds the descriptor for all of `keep_alive_timeout`: a
thousand short connections within that time use up a common limit of descriptors. And it costs a cached answer
a sixth of its time.

Hypercorn offers no other place for this: the class that serves a connection is named in one of its modules
only. tests/unit/api/test_connections.py fails when another version no longer fits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.asyncio import run
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData

IDLE_S = 0.5
"""chosen: a connection that is silent for so long gets the task that Hypercorn gives it at once. Stopping
waits for that task to see it, so a longer time would show."""


class IdleTimer:
    """Begins the task of an idle connection once it has been idle for `IDLE_S`; Hypercorn's SingleTask."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def restart(self, task_group: Any, action: Callable[[], Awaitable[None]]) -> None:
        """The connection is idle from now on: `action` waits, and closes it in the end."""
        await self.stop()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._begin, task_group, action)

    async def stop(self) -> None:
        """The connection is idle no longer, or gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait({task})

    def _begin(self, task_group: Any, action: Callable[[], Any]) -> None:
        self._timer = None
        self._task = task_group._task_group.create_task(action())  # noqa: SLF001 - as Hypercorn's own does


class Connection(TCPServer):
    """One connection. It is let go of when its client has closed it and its calls are done."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.idle_task = IdleTimer()  # type: ignore[assignment]

    async def _read_data(self) -> None:
        """Hand on what the client sends until it sends no more, then stop waiting for it.

        Without `config.read_timeout`, which we do not set and Hypercorn would pay for with each read.
        """
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except OSError:
                break
            await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())
        await self.idle_task.stop()


def use_our_connections() -> None:
    """Have Hypercorn serve every connection of this process with a `Connection` from now on."""
    run.TCPServer = Connection  # type: ignore[attr-defined, assignment]
