"""The lag of the event loop: a loop that is held up is seen, an idle one is not."""

from __future__ import annotations

import asyncio
import time

from api.loop_lag import LOOK_S, LoopLag


async def test_a_blocked_loop_is_seen():
    """Whatever blocks it for long is in the sum and in the highest buckets."""
    lag = LoopLag()

    async with lag.watched():
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, LOOK_S + 0.6)
        await asyncio.sleep(LOOK_S)

    buckets = dict(lag.seen.buckets)
    assert buckets[float("inf")] - buckets[0.5] >= 1
    assert lag.seen.sum_s >= 0.5


async def test_looks_are_counted_as_they_come():
    """Every look is in the last bucket, and buckets add up from the left."""
    lag = LoopLag()

    async with lag.watched():
        await asyncio.sleep(4.5 * LOOK_S)

    counts = [count for _, count in lag.seen.buckets]
    assert 1 <= counts[-1] <= 4
    assert counts == sorted(counts)


async def test_the_look_ends_with_its_context():
    """No task is left behind."""
    before = asyncio.all_tasks()

    async with LoopLag().watched():
        assert len(asyncio.all_tasks()) == len(before) + 1

    assert asyncio.all_tasks() == before
