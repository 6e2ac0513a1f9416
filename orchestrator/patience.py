"""A time limit that costs nothing until somebody has to wait.

Setting a timer and cancelling it again costs as much as all stages of a cached answer together, and a cached
answer waits for nothing. So the work runs until it first has to wait; only then is there something to limit.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def within(moment: float, work: Awaitable[T]) -> T:
    """The result of the work, which is cancelled at `moment` of the event loop's clock.

    Raises TimeoutError then, like `asyncio.timeout_at`. Work that never waits is not limited, even after the
    moment. Safe to cancel.
    """
    steps: Any = work.__await__()
    try:
        first_wait = next(steps)
    except StopIteration as done:
        result: T = done.value
    else:
        async with asyncio.timeout_at(moment):
            result = await _rest(steps, first_wait)
    return result


@types.coroutine
def _rest(steps: Any, wait: Any) -> Generator[Any, Any, Any]:
    """Go on with work that has come as far as its first wait: what the event loop does, passed through."""
    while True:
        try:
            yield wait
        except BaseException as error:  # noqa: BLE001 - cancellation too is for the work to see
            go_on = partial(steps.throw, error)
        else:
            go_on = partial(next, steps)
        try:
            wait = go_on()
        except StopIteration as done:
            return done.value
