"""Callers are kept within their limits, whatever instance they ask, and told how much is left."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr

from tests.support.gateway_server import GatewayServer, serving
from tests.support.stillness import undisturbed
from tests.support.valkey import Valkey

PROXY = ("127.0.0.1/32",)
"""Our own address, declared as a proxy: the tests choose who the client is by X-Forwarded-For."""

WIDE = {
    "rate_burst": 10_000,
    "rate_per_hour": 100_000,
    "trusted_proxies": PROXY,
    "redis_timeout_s": 1.0,  # a machine that is busy with other tests must not look like an outage
}


def as_(address: str, **more: str) -> dict[str, str]:
    """The headers of a call that a proxy has passed on for this address."""
    return {"X-Forwarded-For": address, **more}


@asynccontextmanager
async def two(tmp_path, tavily, url: str, **fields: Any):
    """Two instances that share a Redis."""
    settings = {**WIDE, "redis_url": SecretStr(url), **fields}
    async with (
        serving(tmp_path / "one", tavily=tavily, **settings) as one,
        serving(tmp_path / "two", tavily=tavily, **settings) as other,
    ):
        yield one, other


async def flood(
    servers: list[GatewayServer], count: int, address: str = "203.0.113.7"
) -> list[httpx.Response]:
    """So many searches at once, spread over the servers."""
    return await asyncio.gather(
        *(servers[n % len(servers)].search("tide tables", as_(address)) for n in range(count))
    )


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    """How many answers had each status."""
    return Counter(answer.status_code for answer in answers)


def refusals(server: GatewayServer, reason: str) -> list[int]:
    """How many calls each fact tells of that were turned away for this reason."""
    events = server.events("callers")
    return [event["count"] for event in events if event["reason"] == reason]


def facts(server: GatewayServer, stream: str) -> list[tuple[str, str]]:
    """Type, and reason if there is one, of the facts of a stream."""
    events = [envelope["event"] for frame in server.frames(stream) for envelope in frame["events"]]
    return [(event["type"], event.get("reason", "")) for event in events]


# --- one limit over all instances


async def test_a_hundred_a_minute_is_a_hundred_in_all(tmp_path, tavily, valkey):
    """Instances that share a Redis share the limit: of 240 calls at once 100 are answered."""
    async with two(tmp_path, tavily, valkey.url, anonymous_per_minute=100) as both:
        answers = await flood([*both], 240)
        late = await flood([*both], 20)

        assert statuses(answers) == {200: 100, 429: 140}
        assert statuses(late) == {429: 20}
        assert statuses(await flood([*both], 4, "203.0.113.8")) == {200: 4}
        waits = [int(answer.headers["retry-after"]) for answer in late]
        assert all(1 <= wait <= 60 for wait in waits)
        for server in both:
            await server.drain()
            assert facts(server, "store:limits") == []


async def test_redis_dies_in_the_middle(tmp_path, tavily):
    """Without Redis each instance goes on from what it has let through; with it again, they share again.

    Nobody notices: there is no answer but 200 and 429, and none takes long.
    """
    async with Valkey() as valkey, two(tmp_path, tavily, valkey.url, anonymous_per_minute=40) as both:
        assert statuses(await flood([*both], 30)) == {200: 30}
        valkey.kill()
        begun = time.monotonic()
        assert statuses(await flood([both[0]], 60)) == {200: 25, 429: 35}
        assert statuses(await flood([both[1]], 60)) == {200: 25, 429: 35}
        assert time.monotonic() - begun < 30

        await valkey.start()
        await _until_shared(both)

        assert statuses(await flood([*both], 30)) == {429: 30}
        assert statuses(await flood([*both], 60, "203.0.113.9")) == {200: 40, 429: 20}
        for server in both:
            await server.drain()
            told = [kind for kind, _ in facts(server, "store:limits")]
            assert told == ["amos.store.lost.v1", "amos.store.restored.v1"]


async def _until_shared(servers: tuple[GatewayServer, ...]) -> None:
    """Ask until each server has recorded that it counts in Redis again."""
    async with asyncio.timeout(20):
        for server in servers:
            while True:
                await server.search("tide tables", as_("198.51.100.1"))
                await server.drain()
                if any(kind == "amos.store.restored.v1" for kind, _ in facts(server, "store:limits")):
                    break
                await asyncio.sleep(0.2)


# --- what callers read


async def test_every_answer_to_a_limited_caller_says_what_is_left(tmp_path, tavily):
    """Answers and errors carry policy and state; the local operator, who is not limited, reads neither."""
    async with serving(tmp_path, tavily=tavily, anonymous_per_minute=3, trusted_proxies=PROXY) as amos:
        client = as_("203.0.113.7")
        answered = await amos.search("tide tables", client)
        extracted = await amos.extract("https://harbour.example/", client)
        invalid = await amos.search("x" * 500, client)
        refused = await amos.search("tide tables", client)

        policy = '"burst";q=3;w=60, "minute";q=3;w=60, "hour";q=2000;w=3600'
        answers = [answered, extracted, invalid, refused]
        assert [answer.status_code for answer in answers] == [200, 200, 400, 429]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {policy}
        states = [answer.headers["ratelimit"].split(";t=") for answer in answers]
        assert [state for state, _ in states] == [f'"burst";r={left}' for left in (2, 1, 0, 0)]
        assert 0 < int(states[-1][1]) <= int(refused.headers["retry-after"]) <= 60


async def test_strangers_over_their_limit_are_only_counted(tmp_path, tavily):
    """Whoever has no key cannot fill the disk: fifty refusals leave one count a second."""
    async with serving(tmp_path, tavily=tavily, anonymous_per_minute=2, trusted_proxies=PROXY) as amos:
        answers = [await amos.search("tide tables", as_("203.0.113.7")) for _ in range(52)]
        await asyncio.sleep(1.1)
        await amos.drain()
        counted = refusals(amos, "anonymous_limit")
        executions = {frame["stream"] for frame in amos.frames() if ":" not in frame["stream"]} - {"callers"}

    assert [answer.status_code for answer in answers] == [200] * 2 + [429] * 50
    assert sum(counted) == 50
    assert len(executions) == 2


async def test_the_local_operator_reads_no_limits(tmp_path, tavily):
    """Whoever is not limited has nothing to read."""
    async with serving(tmp_path, tavily=tavily) as amos:
        answer = await amos.search("tide tables")

        assert answer.status_code == 200
        assert not {"ratelimit", "ratelimit-policy"} & set(answer.headers)


# --- strangers


async def test_without_the_setting_a_stranger_is_refused(tmp_path, tavily):
    """By default nobody without a key is served, and there are no limits to tell."""
    async with serving(tmp_path, tavily=tavily, trusted_proxies=PROXY) as amos:
        answer = await amos.search("tide tables", as_("203.0.113.7"))

        assert (answer.status_code, "ratelimit" in answer.headers) == (401, False)


async def test_strangers_are_limited_by_address(tmp_path, tavily):
    """One address used up leaves the others theirs; a /64 of IPv6 is one; a wrong key is not a stranger."""
    async with serving(tmp_path, tavily=tavily, anonymous_per_minute=2, trusted_proxies=PROXY) as amos:

        async def status(address: str, **headers: str) -> int:
            return (await amos.search("tide tables", as_(address, **headers))).status_code

        assert [await status("203.0.113.7") for _ in range(3)] == [200, 200, 429]
        assert await status("203.0.113.8") == 200
        assert [await status(f"2001:db8:0:1::{n}") for n in (1, 2, 3)] == [200, 200, 429]
        assert await status("2001:db8:0:2::1") == 200
        assert await status("203.0.113.9", Authorization="Bearer amos_live_wrong") == 401

        await amos.drain()
        written = repr(amos.frames())
        assert '"client": "anonymous"' in written.replace("'", '"')
        assert "203.0.113" not in written
        assert "2001:db8" not in written


async def test_whoever_insists_on_a_wrong_key_is_told_to_wait(tmp_path, tavily):
    """After so many refusals in a minute the answer is 429; they are counted, not recorded one by one."""
    async with serving(tmp_path, tavily=tavily, trusted_proxies=PROXY) as amos:
        headers = as_("203.0.113.7", Authorization="Bearer amos_live_wrong")
        answers = [await amos.search("tide tables", headers) for _ in range(70)]

        assert statuses(answers) == {401: 60, 429: 10}
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert (await amos.search("tide tables", as_("203.0.113.8"))).status_code == 401
        await asyncio.sleep(1.1)  # counts are written once a second
        await amos.drain()
        assert {frame["stream"].partition(":")[0] for frame in amos.frames()} == {"callers", "instance"}


# --- too many calls at once


async def test_too_many_calls_are_refused_quickly_and_fairly(tmp_path, tavily):
    """At twice the bound: those let in are as fast as before, the others learn at once, and nobody starves.

    The greedy client keeps twice as many calls under way as there is room for; the modest one asks one thing
    after the other and is answered each time. Where the machine stood still for longer than a call takes
    nothing is known of how fast they are.
    """
    delay_s, room = 0.2, 20
    tavily.delay_s = delay_s
    fields = {**WIDE, "anonymous_per_minute": 100_000, "concurrency_max": room}

    async def attempt(number: int) -> None:
        async with serving(tmp_path / f"try{number}", tavily=tavily, **fields) as amos:
            seen = await _overload(amos, room)
            assert set(seen.modest) == {200}
            assert seen.admitted_s
            assert seen.shed_s
            # How fast a loaded machine is nobody knows: they are held against one another.
            median_s = _quantile(seen.admitted_s, 0.5)
            assert _quantile(seen.admitted_s, 0.99) < 5 * median_s
            assert _quantile(seen.shed_s, 0.5) < median_s
            await asyncio.sleep(1.1)  # counts are written once a second
            await amos.drain()
            counted = refusals(amos, "overloaded")
            assert sum(counted) == len(seen.shed_s)
            executions = [frame for frame in amos.frames() if frame["outcome"]]
            assert {frame["outcome"] for frame in executions} == {"answered"}

    await undisturbed(attempt, still_s=delay_s)


@dataclass
class _Overload:
    """What an overload did: seconds of the greedy client's calls, statuses of the modest one's."""

    admitted_s: list[float] = field(default_factory=list)
    shed_s: list[float] = field(default_factory=list)
    modest: list[int] = field(default_factory=list)


async def _overload(amos: GatewayServer, room: int, lasts_s: float = 3.0) -> _Overload:
    """Ask for so long, with twice as many at once as there is room for, and one beside them."""
    seen = _Overload()
    until = time.monotonic() + lasts_s

    async def ask(address: str, name: str) -> AsyncIterator[tuple[int, float]]:
        turn = 0
        while time.monotonic() < until:
            turn += 1
            begun = time.monotonic()
            answer = await amos.search(f"boats {name} {turn}", as_(address))
            yield answer.status_code, time.monotonic() - begun
            if answer.status_code == 503:
                assert answer.headers["retry-after"] == "1"
                await asyncio.sleep(0.05)

    async def greedy(number: int) -> None:
        async for status, taken_s in ask("203.0.113.7", f"greedy {number}"):
            {200: seen.admitted_s, 503: seen.shed_s}[status].append(taken_s)

    async def modest() -> None:
        async for status, _ in ask("203.0.113.8", "modest"):
            seen.modest.append(status)

    await asyncio.gather(*(greedy(number) for number in range(2 * room)), modest())
    return seen


def _quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, math.floor(q * len(values)))]
