"""Commands to Redis: what redis-py does not do by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from storage.redis_line import Sentinels

HOSTS = [("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)]


class Witness:
    """A Sentinel that takes a turn of the loop to answer: with the primary, or not at all."""

    def __init__(self, *, knows: bool) -> None:
        self._knows = knows

    async def sentinel_masters(self) -> dict[str, Any]:
        """What it says."""
        await asyncio.sleep(0)
        if not self._knows:
            raise RedisConnectionError("gone")
        state = {"ip": "127.0.0.1", "port": 6379, "is_master": True, "is_odown": False, "is_sdown": False}
        return {"amos": state | {"num-other-sentinels": 2}}


async def test_no_sentinel_is_forgotten_when_two_ask_at_once():
    """The one that is gone is asked again later, however many look for the primary at the same time."""
    sentinels = Sentinels(HOSTS)
    for client in sentinels.sentinels:
        await client.aclose()
    witnesses = [Witness(knows=False), Witness(knows=True), Witness(knows=True)]
    sentinels.sentinels = list(witnesses)

    found = await asyncio.gather(*(sentinels.discover_master("amos") for _ in range(2)))

    assert found == [("127.0.0.1", 6379)] * 2
    assert set(sentinels.sentinels) == set(witnesses)
