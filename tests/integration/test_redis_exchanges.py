"""Whoever waits for Redis is told how it ended, however the exchange that carries the question ends."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, contextmanager

import pytest

from orchestrator.errors import CacheUnavailable
from storage.redis_client import PROBE_S, open_redis
from tests.support.processes import until


async def test_an_exchange_cut_before_its_first_step_is_told(valkey):
    """An outage that is found between the making of an exchange and its start leaves nobody waiting."""
    async with aclosing(await open_redis(valkey.url)) as redis:
        asking = asyncio.create_task(redis.execute("GET", "amos:any", error=CacheUnavailable))
        await asyncio.sleep(0)  # it has asked; the exchange is made in the next turn, and cut in the same
        asyncio.get_running_loop().call_soon(redis._lose, TimeoutError())

        async with asyncio.timeout(5):
            with pytest.raises(CacheUnavailable):
                await asking


SLOW_TURN_S = 0.06


@contextmanager
def slow_turns():
    """Every turn of the event loop takes longer than Redis may."""
    loop = asyncio.get_running_loop()
    is_busy = True

    def work():
        if is_busy:
            time.sleep(SLOW_TURN_S)
            loop.call_soon(work)

    work()
    try:
        yield
    finally:
        is_busy = False


async def test_a_busy_loop_is_no_outage(valkey):
    """Many answers at once, each turn slower than Redis may be: all of them arrive."""
    async with aclosing(await open_redis(valkey.url)) as redis:
        value = b"x" * 5_000
        await redis.execute("SET", "amos:any", value, error=CacheUnavailable)

        with slow_turns():
            asked = (redis.execute("GET", "amos:any", error=CacheUnavailable) for _ in range(128))
            replies = await asyncio.gather(*asked)

        assert replies == [value] * 128
        assert redis.outage is None


async def test_an_outage_ends_on_a_busy_loop(valkey):
    """The prober finds Redis again although a handshake takes many slow turns."""
    async with aclosing(await open_redis(valkey.url)) as redis:
        with slow_turns():
            redis._lose(TimeoutError())

            await until(lambda: redis.outage is None, 20.0, lambda: "still out of reach")


async def test_a_loop_that_stood_still_is_no_outage(valkey):
    """A process that was stopped for longer than a probe may take does not blame Redis for it."""
    async with aclosing(await open_redis(valkey.url)) as redis:
        probing = asyncio.create_task(redis._probe())
        await asyncio.sleep(0)
        time.sleep(PROBE_S * 1.2)  # noqa: ASYNC251 - that is what is tested
        await probing

        assert redis.outage is None
