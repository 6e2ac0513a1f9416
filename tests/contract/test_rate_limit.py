"""What every RateLimitStore does, whichever technology counts.

`RateLimitContract` holds the cases; a class per implementation makes the store and lets time pass.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from typing import Any

import pytest
import redis

from orchestrator import limits
from orchestrator.ports import Window
from storage.memory_rate_limit import MemoryRateLimit
from storage.redis_client import open_redis
from storage.redis_rate_limit import RedisRateLimit
from tests.support.clock import FakeClock
from tests.support.processes import until
from tests.support.seeds import MORE_SEEDS, SEEDS

BURST = Window("burst", 5, 10.0)
MINUTE = Window("minute", 8, 60.0)

SLACK_S = 2.0
"""A store on a real clock sees some time pass between two calls, on a busy machine more."""


class RateLimitContract(ABC):
    """The cases. A class per implementation has the fixture `store`, one that has counted nothing."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the store."""

    @abstractmethod
    def time_s(self) -> float:
        """The store's time, as near as it can be known from the outside."""

    async def hits(self, store, count, *windows, client="acme"):
        """That many calls, one after the other."""
        return [await store.hit(client, windows) for _ in range(count)]

    async def test_the_quota_fits_at_once(self, store):
        """A client that was silent may use its whole quota in a moment, and no more."""
        verdicts = await self.hits(store, BURST.quota + 1, BURST)

        assert [verdict.allowed for verdict in verdicts] == [True] * BURST.quota + [False]

    async def test_what_remains_is_counted_down(self, store):
        """Each verdict tells how many more calls fit, and when more than that do."""
        verdicts = await self.hits(store, BURST.quota, BURST)

        assert [verdict.remaining for verdict in verdicts] == [(4,), (3,), (2,), (1,), (0,)]
        assert [verdict.reset_s[0] for verdict in verdicts] == pytest.approx([10.0] * 5, abs=SLACK_S)
        assert all(verdict.retry_after_s == 0 for verdict in verdicts)

    async def test_calls_are_given_back_as_they_were_made(self, store):
        """A call fits again when one is a period old; the refusal says when that is, and it holds."""
        await self.hits(store, 3, BURST)
        await self.pass_time(4.0)
        await self.hits(store, 2, BURST)

        refused = await store.hit("acme", (BURST,))

        assert (refused.allowed, refused.remaining) == (False, (0,))
        assert refused.retry_after_s == refused.reset_s[0] == pytest.approx(6.0, abs=SLACK_S)
        await self.pass_time(refused.retry_after_s - SLACK_S)
        assert not (await store.hit("acme", (BURST,))).allowed
        await self.pass_time(2 * SLACK_S)
        assert [verdict.allowed for verdict in await self.hits(store, 4, BURST)] == [True] * 3 + [False]

    async def test_after_its_period_the_window_is_whole(self, store):
        """A client that waits a whole period has its whole quota again."""
        await self.hits(store, BURST.quota, BURST)

        await self.pass_time(BURST.period_s)

        assert all(verdict.allowed for verdict in await self.hits(store, BURST.quota, BURST))

    async def test_a_long_silence_saves_nothing_up(self, store):
        """However long a client was silent, it has one quota."""
        await self.hits(store, 1, BURST)

        await self.pass_time(BURST.period_s * 10)

        assert sum(verdict.allowed for verdict in await self.hits(store, 20, BURST)) == BURST.quota

    async def test_clients_are_apart(self, store):
        """One client's calls are not another's."""
        await self.hits(store, BURST.quota + 1, BURST)

        assert (await store.hit("other", (BURST,))).allowed

    async def test_the_fullest_window_decides(self, store):
        """A call must fit into every window; the verdict is about the tightest."""
        await self.hits(store, BURST.quota, BURST, MINUTE)
        await self.pass_time(BURST.period_s)

        verdicts = await self.hits(store, 5, BURST, MINUTE)

        assert [verdict.allowed for verdict in verdicts] == [True, True, True, False, False]
        assert verdicts[-1].window == MINUTE
        assert verdicts[-1].remaining == (2, 0)

    async def test_the_one_that_waits_longest_is_named(self, store):
        """If several windows are used up the verdict is about the one that is used up longest."""
        both = (Window("burst", 3, 10.0), Window("minute", 3, 60.0))

        refused = (await self.hits(store, 4, *both))[-1]

        assert refused.window.name == "minute"
        assert refused.retry_after_s == pytest.approx(60.0, abs=SLACK_S)
        assert refused.reset_s == pytest.approx((10.0, 60.0), abs=SLACK_S)

    async def test_a_refused_call_is_charged_to_no_window(self, store):
        """Either all windows are charged or none: knocking at a closed door does not close another."""
        await self.hits(store, BURST.quota, BURST, MINUTE)

        await self.hits(store, 50, BURST, MINUTE)

        await self.pass_time(BURST.period_s)
        assert (await store.hit("acme", (BURST, MINUTE))).allowed

    async def test_a_window_of_one(self, store):
        """The smallest quota is one call a period."""
        single = Window("single", 1, 30.0)

        first, second = await self.hits(store, 2, single)

        assert (first.allowed, first.remaining) == (True, (0,))
        assert (second.allowed, second.retry_after_s) == (False, pytest.approx(30.0, abs=SLACK_S))

    async def test_calls_at_once_are_counted_one_by_one(self, store):
        """Concurrent calls cannot share one place."""
        verdicts = await asyncio.gather(*(store.hit("acme", (BURST,)) for _ in range(50)))

        assert sum(verdict.allowed for verdict in verdicts) == BURST.quota

    @pytest.mark.parametrize("client", ["a}{b", "{", "", "zwei Wörter", "x" * 10_000, "a\r\nb", "\x00"])
    async def test_any_name_is_a_client(self, store, client):
        """A client's name may be any text, and is nobody else's."""
        verdicts = await self.hits(store, BURST.quota + 1, BURST, client=client)

        assert [verdict.allowed for verdict in verdicts] == [True] * BURST.quota + [False]
        assert (await store.hit(client + "}", (BURST,))).allowed

    async def test_changed_windows_start_anew(self, store):
        """A client with other limits than before has not used them yet."""
        await self.hits(store, BURST.quota, BURST)

        assert (await store.hit("acme", (Window("burst", 6, 10.0),))).remaining == (5,)

    async def test_a_large_quota_fits_at_once(self, store):
        """A quota of which a slot counts several calls is the quota, too, and is whole after its period."""
        large = Window("large", 100, 50.0)

        for _ in range(2):
            verdicts = await self.hits(store, 101, large)
            assert sum(verdict.allowed for verdict in verdicts) == 100
            assert not verdicts[-1].allowed
            await self.pass_time(large.period_s)

    async def test_a_slot_is_as_young_as_its_latest_call(self, store):
        """Calls that are counted together are given back when the last of them is a period old."""
        large = Window("large", 64, 50.0)
        await self.hits(store, 1, large)
        await self.pass_time(25.0)
        await self.hits(store, 63, large)
        await self.pass_time(25.0)

        verdicts = await self.hits(store, 10, large)

        assert sum(verdict.allowed for verdict in verdicts) <= 1
        await self.pass_time(25.0)
        assert sum(verdict.allowed for verdict in await self.hits(store, 70, large)) >= 63

    @pytest.mark.parametrize("seed", SEEDS + MORE_SEEDS)
    @pytest.mark.parametrize("windows", [(BURST, MINUTE), (Window("b", 9, 1.0), Window("m", 100, 60.0))])
    async def test_no_period_sees_more_than_the_quota(self, store, windows, seed):
        """Whenever calls come: any period holds the quota at most, and nobody far below it is refused.

        Times are measured around each call, so that the gap between two calls is known within bounds: the
        one that would excuse the store is taken each time.
        """
        chance = random.Random(f"{seed}/{windows}")
        allowed: list[tuple[float, float]] = []
        for _ in range(200):
            if chance.random() < 0.3:
                pause_s = chance.choice([0.05, 0.5, 3.0, 12.0, 31.0]) * chance.random()
                await self.pass_time(pause_s)
            before = self.time_s()
            verdict = await store.hit("acme", windows)
            after = self.time_s()
            if verdict.allowed:
                allowed.append((before, after))
                for window in windows:
                    if len(allowed) > window.quota:
                        assert after - allowed[-1 - window.quota][0] >= window.period_s
            else:
                window = verdict.window
                enough = window.quota - (window.quota - 1) // limits.RATE_SLOTS_MAX
                assert before - allowed[-enough][1] < window.period_s
        assert 20 < len(allowed) < 200


class TestMemoryRateLimit(RateLimitContract):
    """The contract, counted in this process's memory."""

    clock: FakeClock

    @pytest.fixture
    def store(self):
        """A new one on a clock of its own."""
        self.clock = FakeClock()
        return MemoryRateLimit(self.clock)

    async def pass_time(self, seconds: float) -> None:
        """Move that clock."""
        self.clock.advance(seconds)

    def time_s(self) -> float:
        """What that clock shows."""
        return self.clock.monotonic()


class RedisContract(RateLimitContract):
    """The contract, counted on a server; its time is real, so that what passes is added to the states."""

    passed_s = 0.0

    @pytest.fixture
    async def store(self, server):
        """One on the server."""
        async with aclosing(await open_redis(server.url, timeout_s=5.0)) as redis:
            await until(lambda: redis.outage is None, 20, lambda: str(redis.outage))
            yield RedisRateLimit(redis)

    @abstractmethod
    def states(self) -> Iterator[tuple[Any, bytes]]:
        """A client of the server and a key, for each state that it holds."""

    async def pass_time(self, seconds: float) -> None:
        """Make the states older, as if they had been changed last so much earlier, and expire earlier."""
        self.passed_s += seconds
        for client, key in self.states():
            last, shift = struct.unpack("<dd", client.getrange(key, 0, 15))
            client.setrange(key, 0, struct.pack("<dd", last, shift + seconds * 1e6))
            client.pexpire(key, max(0, client.pttl(key) - int(seconds * 1000)))

    def time_s(self) -> float:
        """The server's time runs like ours; plus what was added."""
        return time.monotonic() + self.passed_s

    async def test_idle_clients_vanish(self, store):
        """A state lives until its longest period is over, and is small."""
        await self.hits(store, 8, BURST, MINUTE)

        [(client, key)] = list(self.states())
        assert 55_000 < client.pttl(key) <= 60_000
        await self.pass_time(60.0)
        assert list(self.states()) == []

    async def test_a_refused_call_does_not_keep_a_state_alive(self, store):
        """Whoever goes on knocking is forgotten as if they did not."""
        await self.hits(store, BURST.quota, BURST)
        await self.pass_time(6.0)

        await self.hits(store, 3, BURST)

        [(client, key)] = list(self.states())
        assert client.pttl(key) <= 4_000

    async def test_names_are_not_in_keys(self, store):
        """Nobody who looks into the server learns the names or addresses of callers."""
        await store.hit("203.0.113.7", (BURST,))

        [(client, key)] = list(self.states())
        assert b"203" not in key + client.get(key)

    async def test_a_clock_set_back_locks_nobody_out(self, store):
        """If the server's clock jumps back an hour, or a replica's is behind, all go on where they were."""
        await self.hits(store, BURST.quota - 1, BURST)
        [(client, key)] = list(self.states())
        last, _ = struct.unpack("<dd", client.getrange(key, 0, 15))
        client.setrange(key, 0, struct.pack("<dd", last + 3_600e6, -3_600e6))

        verdicts = await self.hits(store, 3, BURST)

        assert [verdict.allowed for verdict in verdicts] == [True, False, False]
        assert verdicts[-1].retry_after_s == pytest.approx(10.0, abs=SLACK_S)
        await self.pass_time(10.0)
        assert all(verdict.allowed for verdict in await self.hits(store, BURST.quota, BURST))

    async def test_a_clock_set_back_goes_on_for_the_refused(self, store):
        """The time of a client that is refused throughout does not stand still either."""
        await self.hits(store, BURST.quota, BURST)
        [(client, key)] = list(self.states())
        last, _ = struct.unpack("<dd", client.getrange(key, 0, 15))
        client.setrange(key, 0, struct.pack("<dd", last + 3_600e6, -3_600e6))

        first = (await self.hits(store, 1, BURST))[0]
        await asyncio.sleep(0.05)
        second = (await self.hits(store, 1, BURST))[0]

        assert second.retry_after_s <= first.retry_after_s - 0.05


class TestRedisRateLimit(RedisContract):
    """On one Valkey."""

    @pytest.fixture(autouse=True)
    def server(self, valkey):
        """An empty Valkey."""
        with redis.Redis.from_url(valkey.url) as self.client:
            yield valkey

    def states(self) -> Iterator[tuple[Any, bytes]]:
        """Every key of ours."""
        return ((self.client, key) for key in self.client.keys("amos:rl:*"))


class TestClusterRateLimit(RedisContract):
    """On a Cluster: each client's state is on one of its nodes."""

    @pytest.fixture(autouse=True)
    def server(self, cluster):
        """An empty Cluster."""
        with ExitStack() as cleanup:
            self.clients = [cleanup.enter_context(redis.Redis.from_url(node.url)) for node in cluster.nodes]
            yield cluster

    def states(self) -> Iterator[tuple[Any, bytes]]:
        """Every key of ours, wherever it is."""
        return ((client, key) for client in self.clients for key in client.keys("amos:rl:*"))

    async def test_clients_are_spread(self, store):
        """Different clients are on different nodes, so that a Cluster has something to do."""
        for number in range(30):
            await store.hit(f"client {number}", (BURST,))

        assert all(client.keys("amos:rl:*") for client in self.clients)
