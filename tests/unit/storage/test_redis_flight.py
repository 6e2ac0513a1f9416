"""How often who waits for a flight looks by itself; tests/contract/test_flights.py has the rest."""

from __future__ import annotations

import asyncio

import pytest

from storage.redis_flight import LOOK_S, LOOK_UNTOLD_S, RedisFlights
from storage.redis_wakeups import RedisWakeups


class Client:
    """A Redis on which the flight of `leader` goes on for ever."""

    def __init__(self):
        self.looks = 0

    async def evaluate(self, script, keys, arguments, *, error):
        """Say who leads, and that there is no outcome."""
        self.looks += 1
        return [b"leader", None]


@pytest.mark.parametrize(("is_heard", "every_s"), [(True, LOOK_S), (False, LOOK_UNTOLD_S)])
async def test_it_looks_more_often_while_nothing_can_be_heard(is_heard, every_s):
    """Messages are a convenience: a user of Redis who may not subscribe waits hardly longer."""
    client = Client()
    wakeups = RedisWakeups(client)
    wakeups.is_heard = is_heard

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10.25 * LOOK_S):
            await RedisFlights(client, wakeups).outcome("k1", "leader")

    assert client.looks == 1 + int(10.25 * LOOK_S / every_s + 1e-9)
    assert len(wakeups) == 0
