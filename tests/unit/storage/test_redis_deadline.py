"""The wait for Redis ends in time, and is not used up by an event loop that stands still."""

from __future__ import annotations

import asyncio
import time

import pytest

from storage.redis_deadline import RedisDeadline

TIMEOUT_S = 0.1


async def test_it_ends_in_time():
    """Who gets no answer is told so after the time and hardly later."""
    begun = time.monotonic()

    with pytest.raises(TimeoutError):
        async with RedisDeadline(TIMEOUT_S):
            await asyncio.sleep(10.0)

    assert TIMEOUT_S * 0.9 < time.monotonic() - begun < 5.0


async def test_a_quick_answer_is_not_touched():
    """Nothing of it is left when the body is done."""
    async with RedisDeadline(TIMEOUT_S):
        await asyncio.sleep(0)

    await asyncio.sleep(TIMEOUT_S * 2)


async def test_a_loop_that_stands_still_is_not_the_fault_of_redis():
    """However long each turn takes, a dozen of them fit into the time."""
    async with RedisDeadline(TIMEOUT_S):
        for _ in range(12):
            time.sleep(TIMEOUT_S)  # noqa: ASYNC251 - the loop is to stand still
            await asyncio.sleep(0)
