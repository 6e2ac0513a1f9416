"""Messages of landings over real Redis, whatever becomes of it: who waits is told, or looks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from orchestrator.errors import FlightStoreUnavailable
from storage.redis_client import RedisClient, open_redis
from storage.redis_flight import LEASE_MS, LOOK_S, RedisFlights
from storage.redis_wakeups import RedisWakeups
from tests.support.processes import until
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENT_S = 1.0
"""What Redis may take where a busy test machine must not be taken for an outage."""

NOTICED_S = 10.0
"""What is not noticed for so long never will be."""


class Process(NamedTuple):
    """What one process has of Redis."""

    client: RedisClient
    wakeups: RedisWakeups
    flights: RedisFlights


@contextlib.asynccontextmanager
async def process(url: str) -> AsyncIterator[Process]:
    """A process that has just begun to listen."""
    async with (
        contextlib.aclosing(await open_redis(url, timeout_s=PATIENT_S)) as client,
        contextlib.aclosing(RedisWakeups(client)) as wakeups,
    ):
        wakeups.start()
        yield Process(client, wakeups, RedisFlights(client, wakeups))


async def heard(wakeups: RedisWakeups, is_heard: bool = True) -> None:
    """Wait until messages arrive, or until they do not any more."""
    await until(lambda: wakeups.is_heard == is_heard, NOTICED_S, lambda: f"heard: {wakeups.is_heard}")


async def waiting_is_answered(leader: Process, follower: Process, key: str) -> float:
    """Have one fly and the other wait for it; the seconds that the answer took from one to the other."""
    assert await leader.flights.claim(key, key) == key
    waiting = asyncio.create_task(follower.flights.outcome(key, key))
    await asyncio.sleep(LOOK_S / 2)
    begun = time.monotonic()
    await leader.flights.land(key, key, b"answer")
    assert await waiting == b"answer"
    return time.monotonic() - begun


@pytest.mark.parametrize("kind", ["valkey", "sentinels", "cluster"])
async def test_a_landing_is_heard_in_the_other_process(kind: str, request: pytest.FixtureRequest):
    """Of many flights most are heard of long before the next look, wherever on a Cluster their key lies."""
    url = request.getfixturevalue(kind).url
    async with process(url) as one, process(url) as two:
        await heard(two.wakeups)

        took_s = await asyncio.gather(*(waiting_is_answered(one, two, f"k{n}") for n in range(30)))

        assert sorted(took_s)[15] < LOOK_S / 5


async def test_a_wait_is_a_few_questions(valkey: Valkey):
    """Whoever waits for a second does not ask Redis all the time."""
    async with process(valkey.url) as one, process(valkey.url) as two:
        await heard(two.wakeups)
        await one.flights.claim("k", "a")
        waiting = asyncio.create_task(two.flights.outcome("k", "a"))
        before = asked(valkey)
        await asyncio.sleep(1.0)
        await one.flights.land("k", "a", b"answer")
        await waiting

        assert asked(valkey) - before <= 6


def asked(server: Valkey) -> int:
    """How many scripts the server was asked to run."""
    stats = server.command("INFO", "commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("evalsha", "eval"))


async def test_a_cut_connection_is_replaced(valkey: Valkey):
    """Somebody closed it: what lands meanwhile is seen by looking, and the next landing is heard."""
    async with process(valkey.url) as one, process(valkey.url) as two:
        await heard(two.wakeups)
        valkey.command("CLIENT", "KILL", "TYPE", "pubsub")

        assert await waiting_is_answered(one, two, "k1") < LOOK_S + PATIENT_S
        await heard(two.wakeups)
        assert await waiting_is_answered(one, two, "k2") < LOOK_S


async def test_a_user_who_may_not_subscribe_looks(valkey: Valkey):
    """Without a right to channels flights work, waits end with a look, and nobody takes it for an outage."""
    valkey.command("ACL", "SETUSER", "dumb", "on", ">secret", "~*", "+@all", "resetchannels")
    try:
        url = valkey.url.replace("redis://", "redis://dumb:secret@")
        async with process(url) as one, process(url) as two:
            took_s = [await waiting_is_answered(one, two, f"k{n}") for n in range(5)]

            assert not two.wakeups.is_heard
            assert sorted(took_s)[2] < LOOK_S
            assert one.client.outage is two.client.outage is None
    finally:
        valkey.command("ACL", "DELUSER", "dumb")


async def test_a_restarted_redis_is_heard_again():
    """Waits end with the outage, at once; when Redis is back messages arrive again."""
    async with Valkey() as server, process(server.url) as one, process(server.url) as two:
        await heard(two.wakeups)
        await one.flights.claim("k", "a")
        waiting = asyncio.create_task(two.flights.outcome("k", "a"))
        await asyncio.sleep(LOOK_S / 2)
        server.kill()

        with pytest.raises(FlightStoreUnavailable):
            await asyncio.wait_for(waiting, NOTICED_S)
        await heard(two.wakeups, is_heard=False)
        await server.start()
        await heard(two.wakeups)
        assert await waiting_is_answered(one, two, "k2") < LOOK_S + PATIENT_S


async def test_a_silent_redis_holds_nobody():
    """Stopped: who waits is let go within a look and the time Redis has; resumed, it is heard again."""
    async with Valkey() as server, process(server.url) as one, process(server.url) as two:
        await heard(two.wakeups)
        await one.flights.claim("k", "a")
        waiting = asyncio.create_task(two.flights.outcome("k", "a"))
        await asyncio.sleep(LOOK_S / 2)
        server.pause()
        begun = time.monotonic()

        with pytest.raises(FlightStoreUnavailable):
            await asyncio.wait_for(waiting, NOTICED_S)
        assert time.monotonic() - begun < LOOK_S + PATIENT_S + 2.0
        await heard(two.wakeups, is_heard=False)
        server.resume()
        await until(lambda: two.client.outage is None, NOTICED_S, lambda: "not noticed")
        await heard(two.wakeups)


async def test_a_full_memory_does_not_hold_the_key():
    """Where the outcome finds no place the lease is given back all the same, and the followers know."""
    async with (
        Valkey(maxmemory="100mb", maxmemory_policy="noeviction") as full,
        process(full.url) as one,
        process(full.url) as two,
    ):
        await heard(two.wakeups)
        await one.flights.claim("k", "a")
        waiting = asyncio.create_task(two.flights.outcome("k", "a"))
        await asyncio.sleep(LOOK_S / 2)
        full.command("CONFIG", "SET", "maxmemory", "1mb")
        begun = time.monotonic()

        await one.flights.land("k", "a", b"answer" * 1_000)

        assert await waiting is None
        assert time.monotonic() - begun < LEASE_MS / 1_000 - LOOK_S
        assert one.client.outage is None
