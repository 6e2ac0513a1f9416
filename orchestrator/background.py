"""Work that goes on beside everything else, for as long as a context lasts.

What goes wrong in it without having been foreseen is told in the log at once: nobody waits for its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from orchestrator.ports import Clock

AGAIN_S = 5.0
"""chosen: pause after a fault that was not foreseen; one that stays costs nothing worth mentioning, and one
that passes is soon made up for."""

_log = logging.getLogger("amos.background")


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Do the work in a task, cancelled and waited for at the end. A failure ends it and is logged at once."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def repeating(
    step: Callable[[], Awaitable[float]],
    clock: Clock,
    name: str,
    *,
    first_s: float = 0.0,
    again_s: float = AGAIN_S,
) -> contextlib.AbstractAsyncContextManager[None]:
    """Do a step after `first_s`, and again whenever as many seconds have passed as it returned.

    A step that fails is done again after `again_s`. The log tells once of each failure that follows another
    end, so a fault that stays does not fill it.
    """

    async def repeat() -> None:
        if first_s:
            await clock.sleep(first_s)
        known = ""
        while True:
            try:
                wait_s, known = await step(), ""
            except Exception as error:  # noqa: BLE001 - it goes on: nobody else does this work
                wait_s, was, known = again_s, known, repr(error)
                if known != was:
                    _log.error("%s has failed and is tried again", name, exc_info=error)
            await clock.sleep(wait_s)

    return running(repeat(), name)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s has ended by a fault it does not know", task.get_name(), exc_info=error)
