"""The contract of flight stores: one leader per key while it lives, and its outcome for those who wait."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import FlightStoreUnavailable
from storage.redis_client import open_redis
from storage.redis_flight import LEASE_MS, LOOK_S, RedisFlights
from storage.redis_wakeups import RedisWakeups
from tests.support.processes import until
from tests.support.shared_memory import LEASE_S, MemoryFlights
from tests.support.stillness import undisturbed
from tests.support.valkey import Valkey

PATIENT_S = 5.0
"""A test machine may be busy."""

CONTENDERS = 50


@contextlib.asynccontextmanager
async def redis_flights(url):
    """The flights of one process, which hears of landings."""
    async with (
        contextlib.aclosing(await open_redis(url, timeout_s=PATIENT_S)) as client,
        contextlib.aclosing(RedisWakeups(client)) as wakeups,
    ):
        wakeups.start()
        await until(lambda: wakeups.is_heard, PATIENT_S, lambda: "not subscribed")
        yield RedisFlights(client, wakeups)


@pytest.fixture(params=["memory", "valkey", "sentinels", "cluster"])
async def flights(request):
    """Every implementation in turn."""
    if request.param == "memory":
        yield MemoryFlights(SystemClock())
        return
    async with redis_flights(request.getfixturevalue(request.param).url) as made:
        yield made


async def moment_of(wait):
    """What the wait brought, and when."""
    return await wait, time.monotonic()


async def renew_for_long(flights, key):
    """Renew the lease for longer than one lasts."""
    for _ in range(3):
        await asyncio.sleep(LEASE_S / 2)
        assert await flights.renew(key, "a")


async def test_one_of_many_becomes_the_leader(flights):
    """Of fifty who claim a key at once one has the lease, and all learn who."""
    holders = [f"holder-{n}" for n in range(CONTENDERS)]

    leaders = await asyncio.gather(*(flights.claim("k", holder) for holder in holders))

    assert len(set(leaders)) == 1
    assert leaders[0] in holders
    assert await flights.claim("k", leaders[0]) == leaders[0]


async def test_keys_are_apart(flights):
    """Another key has another leader."""
    assert await flights.claim("k1", "a") == "a"
    assert await flights.claim("k2", "b") == "b"


async def test_those_who_wait_are_told(flights):
    """They have the outcome long before they would have looked again, and the lease is free."""
    await flights.claim("k", "a")
    waits = [asyncio.create_task(moment_of(flights.outcome("k", "a"))) for _ in range(3)]
    await asyncio.sleep(LOOK_S / 2)

    await flights.land("k", "a", b"\x00answer\xff")
    landed = time.monotonic()
    told = await asyncio.gather(*waits)

    assert [outcome for outcome, _ in told] == [b"\x00answer\xff"] * 3
    # The median, because a busy machine may hold one of them up.
    assert sorted(moment for _, moment in told)[1] - landed < LOOK_S / 3
    assert await flights.claim("k", "b") == "b"


async def test_who_comes_late_has_the_outcome_at_once(flights):
    """After the landing it can be read by the name of its flight, also when another has begun."""
    await flights.claim("k", "a")
    await flights.land("k", "a", b"answer")
    await flights.claim("k", "b")

    assert await flights.outcome("k", "a") == b"answer"


async def test_a_landing_without_word_only_frees_the_key(flights):
    """Who fails for a reason of its own leaves nothing; those who wait learn that, at once as well."""
    await flights.claim("k", "a")
    waiting = asyncio.create_task(moment_of(flights.outcome("k", "a")))
    await asyncio.sleep(LOOK_S / 2)

    await flights.land("k", "a", None)
    landed = time.monotonic()

    outcome, moment = await waiting
    assert outcome is None
    assert moment - landed < LOOK_S / 3
    assert await flights.claim("k", "b") == "b"


async def test_a_wait_lasts_as_long_as_the_leader_lives(flights):
    """A leader that renews is waited for; when it falls silent the wait ends with its lease and a look."""

    async def attempt(number):
        key = f"k{number}"
        await flights.claim(key, "a")
        waiting = asyncio.create_task(flights.outcome(key, "a"))
        try:
            await renew_for_long(flights, key)
            assert not waiting.done()

            begun = time.monotonic()
            assert await waiting is None
            assert time.monotonic() - begun < LEASE_S + LOOK_S + 1.0
        finally:
            waiting.cancel()

    await undisturbed(attempt, still_s=LEASE_S / 4)


async def test_a_lease_lapses_unless_renewed(flights):
    """A leader that is gone is followed by another; one that renews is not, however long it takes."""

    async def attempt(number):
        dead, alive = f"dead{number}", f"alive{number}"
        await flights.claim(dead, "a")
        await flights.claim(alive, "a")
        await renew_for_long(flights, alive)

        assert await flights.claim(dead, "b") == "b"
        assert await flights.claim(alive, "b") == "a"

    await undisturbed(attempt, still_s=LEASE_S / 4)


async def test_a_lapsed_leader_disturbs_nobody(flights):
    """It can neither renew nor give back the lease of its successor, and its outcome is kept apart."""
    await flights.claim("k", "a")
    await asyncio.sleep(LEASE_S * 1.2)
    await flights.claim("k", "b")

    assert not await flights.renew("k", "a")
    waiting = asyncio.create_task(flights.outcome("k", "b"))
    await asyncio.sleep(LOOK_S / 2)
    await flights.land("k", "a", b"late")
    await asyncio.sleep(LOOK_S / 2)
    assert not waiting.done()
    await flights.land("k", "b", b"good")

    assert await waiting == b"good"


def test_both_leases_are_as_long():
    """The tests with virtual time tell of the real lease."""
    assert LEASE_MS == LEASE_S * 1000


async def test_nothing_is_left_for_ever(valkey):
    """Every key has a time to live."""
    async with redis_flights(valkey.url) as flights:
        await flights.claim("k", "a")
        await flights.claim("k2", "a")
        waiting = asyncio.create_task(flights.outcome("k", "a"))
        await asyncio.sleep(LOOK_S / 2)
        await flights.land("k2", "a", b"answer")

        keys = valkey.command("KEYS", "amos:flight:*")
        left_ms = [valkey.command("PTTL", key) for key in keys]
        waiting.cancel()

    assert sorted(keys) == ["amos:flight:{k2}:a", "amos:flight:{k}", "amos:flight:{k}:waiting"]
    assert all(0 < left <= 2_000 for left in left_ms)


async def test_an_outage_says_so():
    """Without Redis every method raises FlightStoreUnavailable, soon."""
    async with Valkey() as server, redis_flights(server.url) as flights:
        await flights.claim("k", "a")
        waiting = asyncio.create_task(flights.outcome("k", "a"))
        await asyncio.sleep(LOOK_S / 2)
        server.kill()

        for attempt in (
            waiting,
            flights.claim("k", "a"),
            flights.renew("k", "a"),
            flights.land("k", "a", b""),
            flights.outcome("k", "a"),
        ):
            with pytest.raises(FlightStoreUnavailable):
                await asyncio.wait_for(attempt, 2.0)
