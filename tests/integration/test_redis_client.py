"""The client of Redis against real ones: together, in time, and not in vain when Redis is gone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from orchestrator.errors import CacheUnavailable, RateLimitStoreUnavailable
from orchestrator.limits import REDIS_TIMEOUT_S
from storage.redis_client import RedisClient, Script, open_redis
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENT_S = 5.0
"""What an exchange may take where a busy test machine must not be taken for an outage."""

NOTICED_S = 10.0
"""A return that is not noticed for so long never will be."""

ECHO = Script("return {KEYS[1], KEYS[2], ARGV[1]}")

KINDS = ("valkey", "sentinels", "cluster")


@pytest.fixture(params=KINDS)
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    """A client of an empty Redis of each kind."""
    client = await open_redis(request.getfixturevalue(request.param).url, timeout_s=PATIENT_S)
    yield client
    await client.aclose()


@pytest.fixture
async def mortal() -> AsyncIterator[Valkey]:
    """A Valkey of the test's own, which may be stopped."""
    async with Valkey() as server:
        yield server


async def get(redis: RedisClient, key: str = "amos:{x}") -> bytes | None:
    """One call like any other."""
    value: bytes | None = await redis.execute("GET", key, error=CacheUnavailable)
    return value


async def is_back(redis: RedisClient) -> None:
    """Wait until the return is noticed."""
    await until(lambda: redis.outage is None, NOTICED_S, lambda: f"still out of reach: {redis.outage}")


# --- calls


async def test_many_calls_at_once_have_their_own_replies(redis: RedisClient):
    """What travels together comes back to whoever asked, in every kind of installation."""
    keys = [f"amos:test:{{{number}}}" for number in range(300)]

    async def call(key: str) -> bytes | None:
        await redis.execute("SET", key, key, "PX", 60_000, error=CacheUnavailable)
        return await get(redis, key)

    assert await asyncio.gather(*map(call, keys)) == [key.encode() for key in keys]


async def test_a_refusal_is_its_callers_own(redis: RedisClient):
    """What Redis refuses is told to whoever asked for it; who travelled along is not concerned."""
    await redis.execute("SET", "{x}1", "text", error=CacheUnavailable)

    refused, fine = await asyncio.gather(
        redis.execute("INCR", "{x}1", error=RateLimitStoreUnavailable),
        get(redis, "{x}1"),
        return_exceptions=True,
    )

    assert isinstance(refused, RateLimitStoreUnavailable)
    assert isinstance(refused.__cause__, ResponseError)
    assert fine == b"text"
    assert redis.outage is None


async def test_a_script_is_sent_once_and_found_again(redis: RedisClient):
    """A server that has forgotten a script is given it anew; keys that share a tag may be in one call."""
    first = await redis.evaluate(ECHO, ["a{x}", "b{x}"], ["c"], error=CacheUnavailable)
    await redis.execute(
        "SCRIPT", "FLUSH", error=CacheUnavailable
    ) if redis.address.mode != "cluster" else None
    second = await redis.evaluate(ECHO, ["a{x}", "b{x}"], ["c"], error=CacheUnavailable)

    assert first == second == [b"a{x}", b"b{x}", b"c"]


async def test_an_unknown_script_is_no_outage(valkey: Valkey):
    """NOSCRIPT is what the fallback to the script's text goes by."""
    redis = await open_redis(valkey.url, timeout_s=PATIENT_S)

    with pytest.raises(CacheUnavailable) as refused:
        await redis.execute("EVALSHA", "0" * 40, 0, error=CacheUnavailable)

    assert isinstance(refused.value.__cause__, NoScriptError)
    assert redis.outage is None
    await redis.aclose()


async def test_a_caller_who_leaves_takes_nobody_along(valkey: Valkey):
    """Of calls that travel together one may be cancelled; the others have their replies."""
    redis = await open_redis(valkey.url, timeout_s=PATIENT_S)
    tasks = [asyncio.create_task(get(redis, f"k{number}")) for number in range(10)]
    await asyncio.sleep(0)

    tasks[3].cancel()

    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done.pop(3), asyncio.CancelledError)
    assert done == [None] * 9
    await redis.aclose()


async def test_a_full_memory_is_no_outage():
    """Where nothing can be written any more, everything can still be read."""
    async with Valkey(maxmemory="2mb", maxmemory_policy="noeviction") as server:
        redis = await open_redis(server.url, timeout_s=PATIENT_S)
        await redis.execute("SET", "kept", "x", error=CacheUnavailable)

        async def fill() -> None:
            for number in range(40):
                await redis.execute("SET", f"k{number}", b"x" * 100_000, error=CacheUnavailable)

        with pytest.raises(CacheUnavailable) as refused:
            await fill()

        assert isinstance(refused.value.__cause__, OutOfMemoryError)
        assert await get(redis, "kept") == b"x"
        assert redis.outage is None
        await redis.aclose()


# --- outages


async def test_only_the_first_call_waits_for_a_silent_redis(mortal: Valkey):
    """The call that finds out loses the time of one exchange; a thousand after it lose nothing."""
    redis = await open_redis(mortal.url)
    await is_back(redis)
    mortal.command("SET", "late", "the answer nobody waited for")
    mortal.pause()

    begun = time.perf_counter()
    with pytest.raises(CacheUnavailable, match="no answer in time"):
        await get(redis, "late")
    first_s = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(1_000):
        with pytest.raises(CacheUnavailable):
            await get(redis)
    others_s = time.perf_counter() - begun

    assert REDIS_TIMEOUT_S * 0.9 < first_s < REDIS_TIMEOUT_S + 1.0
    assert others_s < 1_000 * REDIS_TIMEOUT_S / 10
    mortal.resume()
    await is_back(redis)
    assert await get(redis) is None
    await redis.aclose()


async def test_all_who_wait_are_let_go_together(mortal: Valkey):
    """An outage that one exchange finds ends the others under way as well."""
    redis = await open_redis(mortal.url)
    await is_back(redis)
    mortal.pause()

    begun = time.perf_counter()
    calls = [asyncio.create_task(get(redis, f"k{number}")) for number in range(2_000)]
    done = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(one, CacheUnavailable) for one in done)
    assert time.perf_counter() - begun < REDIS_TIMEOUT_S + 1.5
    mortal.kill()
    await redis.aclose()


async def test_a_call_about_to_leave_is_let_go_too(valkey: Valkey):
    """An exchange that was made and has not begun when the outage is found leaves nobody waiting."""
    redis = await open_redis(valkey.url, timeout_s=PATIENT_S)
    call = asyncio.create_task(get(redis))
    await asyncio.sleep(0)  # the call asks
    await asyncio.sleep(0)  # the exchange is made

    redis._lose(ConnectionError())

    with pytest.raises(CacheUnavailable):
        await asyncio.wait_for(call, PATIENT_S)
    await redis.aclose()


async def test_a_dead_redis_is_found_again_when_it_returns(mortal: Valkey):
    """After SIGKILL calls fail at once, and a restart, empty, is noticed without anybody asking."""
    redis = await open_redis(mortal.url)
    await is_back(redis)
    await redis.execute("SET", "k", "x", error=CacheUnavailable)
    mortal.kill()

    with pytest.raises(CacheUnavailable):
        await get(redis, "k")
    since = redis.outage.since if redis.outage else 0.0
    await mortal.start()
    await is_back(redis)

    assert await get(redis, "k") is None
    assert redis.since > since > 0
    await redis.aclose()


async def test_an_outage_is_noticed_without_calls(mortal: Valkey):
    """Health knows of an outage that no caller has met yet."""
    redis = await open_redis(mortal.url)
    await is_back(redis)

    mortal.kill()

    await until(lambda: redis.outage is not None, NOTICED_S, lambda: "not noticed")
    await redis.aclose()


async def test_a_restart_between_two_calls_is_not_even_noticed(mortal: Valkey):
    """A connection that was closed while idle is replaced before it is used."""
    redis = await open_redis(mortal.url, timeout_s=PATIENT_S)
    mortal.command("CLIENT", "KILL", "TYPE", "normal")
    await asyncio.sleep(0.05)

    assert await get(redis) is None
    assert redis.outage is None
    await redis.aclose()


async def test_what_is_not_there_at_the_start_is_found_later():
    """AMOS may start before Redis."""
    port = free_port()
    redis = await open_redis(f"redis://127.0.0.1:{port}")
    assert redis.outage is not None

    async with Valkey(port=port):
        await is_back(redis)
        assert await get(redis) is None
        await redis.aclose()


@pytest.mark.parametrize("secret", [":wrong", "ann:wrong"])
async def test_a_wrong_password_is_an_outage_that_keeps_the_secret(secret: str):
    """Redis that does not let us in is out of reach, and the reason is shown without the password."""
    async with Valkey(requirepass="right") as server:
        redis = await open_redis(server.url.replace("127", f"{secret}@127"))

        assert redis.outage is not None
        assert "Authentication" in redis.outage.detail
        assert "wrong" not in redis.outage.detail + str(redis.address)
        await redis.aclose()


async def test_the_right_password_opens():
    """User and password of the URL are shown to the server."""
    async with Valkey(requirepass="p@ss") as server:
        redis = await open_redis(server.url.replace("127", ":p%40ss@127"), timeout_s=PATIENT_S)

        assert await get(redis) is None
        await redis.aclose()
