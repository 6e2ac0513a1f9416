"""The time an exchange has: a duration, and then some turns of the event loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from storage.redis_deadline import SLICES_COUNT, TURNS_COUNT, RedisDeadline

SHORT_S = 0.01


async def test_a_body_in_time_is_left_alone():
    """What is done in time raises nothing, also later."""
    async with RedisDeadline(SHORT_S):
        await asyncio.sleep(0)

    await asyncio.sleep(SHORT_S * 2)


async def test_a_body_that_takes_longer_is_ended():
    """When time and turns are used up the body gets no further."""
    with pytest.raises(TimeoutError):
        async with RedisDeadline(SHORT_S):
            await asyncio.sleep(60)


async def test_a_loop_that_was_stuck_does_not_count():
    """An answer that came while the loop was busy elsewhere is taken, although the time is up."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    async with RedisDeadline(SHORT_S):
        loop.call_soon(time.sleep, SHORT_S * 3)
        loop.call_soon(loop.call_soon, loop.call_soon, answer.set_result, "late for us only")

        assert await answer == "late for us only"


async def test_a_dozen_slow_turns_fit():
    """Replies that come in pieces while the loop is busy are not taken for an outage."""
    async with RedisDeadline(SHORT_S):
        for _ in range(12):
            asyncio.get_running_loop().call_soon(time.sleep, SHORT_S)
            await asyncio.sleep(0)


async def test_turns_are_counted():
    """The loop's own work gets some turns after the time, and no more."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    with pytest.raises(TimeoutError):
        async with RedisDeadline(0.0):
            await count()

    assert SLICES_COUNT + TURNS_COUNT <= turns <= SLICES_COUNT + TURNS_COUNT + 3


async def test_a_cancelled_body_stays_cancelled():
    """The deadline swallows no cancellation but its own."""
    task = asyncio.create_task(_wait())
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def _wait() -> None:
    async with RedisDeadline(60):
        await asyncio.sleep(60)
