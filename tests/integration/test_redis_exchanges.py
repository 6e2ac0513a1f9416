"""Whoever waits for Redis is told how it ended, however the exchange that carries the question ends."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from orchestrator.errors import CacheUnavailable
from storage.redis_client import open_redis


async def test_an_exchange_cut_before_its_first_step_is_told(valkey):
    """An outage that is found between the making of an exchange and its start leaves nobody waiting."""
    async with aclosing(await open_redis(valkey.url)) as redis:
        asking = asyncio.create_task(redis.execute("GET", "amos:any", error=CacheUnavailable))
        await asyncio.sleep(0)  # it has asked; the exchange is made in the next turn, and cut in the same
        asyncio.get_running_loop().call_soon(redis._lose, TimeoutError())

        async with asyncio.timeout(5):
            with pytest.raises(CacheUnavailable):
                await asking
