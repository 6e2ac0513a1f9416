"""The contract of flight stores: one leader per key while it lives, and its outcome for those who wait."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import FlightStoreUnavailable
from orchestrator.ports import FlightView
from storage.redis_client import open_redis
from storage.redis_flight import LEASE_MS, RedisFlights
from tests.support.shared_memory import LEASE_S, MemoryFlights
from tests.support.valkey import Valkey

PATIENT_S = 5.0
"""A test machine may be busy."""

CONTENDERS = 50


@pytest.fixture(params=["memory", "valkey", "sentinels", "cluster"])
async def flights(request):
    """Every implementation in turn."""
    if request.param == "memory":
        yield MemoryFlights(SystemClock())
        return
    client = await open_redis(request.getfixturevalue(request.param).url, timeout_s=PATIENT_S)
    yield RedisFlights(client)
    await client.aclose()


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


async def test_the_outcome_is_there_for_those_who_waited(flights):
    """After the landing the lease is free, and the outcome can be read by the name of its flight."""
    await flights.claim("k", "a")
    assert await flights.look("k", "a") == FlightView("a", None)

    await flights.land("k", "a", b"\x00answer\xff")

    assert await flights.look("k", "a") == FlightView("", b"\x00answer\xff")
    assert await flights.claim("k", "b") == "b"
    assert await flights.look("k", "a") == FlightView("b", b"\x00answer\xff")
    assert await flights.look("k", "b") == FlightView("b", None)


async def test_a_landing_without_word_only_frees_the_key(flights):
    """Who fails for a reason of its own leaves nothing."""
    await flights.claim("k", "a")

    await flights.land("k", "a", None)

    assert await flights.look("k", "a") == FlightView("", None)


async def test_a_lease_lapses_unless_renewed(flights):
    """A leader that is gone is followed by another; one that renews is not, however long it takes."""
    await flights.claim("dead", "a")
    await flights.claim("alive", "a")
    for _ in range(3):
        await asyncio.sleep(LEASE_S / 2)
        assert await flights.renew("alive", "a")

    assert await flights.claim("dead", "b") == "b"
    assert await flights.claim("alive", "b") == "a"


async def test_a_lapsed_leader_disturbs_nobody(flights):
    """It can neither renew nor give back the lease of its successor, and its outcome is kept apart."""
    await flights.claim("k", "a")
    await asyncio.sleep(LEASE_S * 1.2)
    await flights.claim("k", "b")

    assert not await flights.renew("k", "a")
    await flights.land("k", "a", b"late")

    assert await flights.look("k", "b") == FlightView("b", None)


def test_both_leases_are_as_long():
    """The tests with virtual time tell of the real lease."""
    assert LEASE_MS == LEASE_S * 1000


async def test_nothing_is_left_for_ever(valkey):
    """Every key has a time to live."""
    client = await open_redis(valkey.url, timeout_s=PATIENT_S)
    flights = RedisFlights(client)
    await flights.claim("k", "a")
    await flights.claim("k2", "a")
    await flights.land("k2", "a", b"answer")

    keys = valkey.command("KEYS", "amos:flight:*")
    await client.aclose()

    assert sorted(keys) == ["amos:flight:{k2}:a", "amos:flight:{k}"]
    assert all(0 < valkey.command("PTTL", key) <= 2_000 for key in keys)


async def test_an_outage_says_so():
    """Without Redis every method raises FlightStoreUnavailable, soon."""
    async with Valkey() as server:
        client = await open_redis(server.url, timeout_s=PATIENT_S)
        flights = RedisFlights(client)
        server.kill()

        for attempt in (
            flights.claim("k", "a"),
            flights.renew("k", "a"),
            flights.land("k", "a", b""),
            flights.look("k", "a"),
        ):
            with pytest.raises(FlightStoreUnavailable):
                await asyncio.wait_for(attempt, 2.0)
        await client.aclose()
