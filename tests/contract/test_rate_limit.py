"""What every RateLimitStore does, whichever technology counts.

`RateLimitContract` holds the cases; a class per implementation makes the store and lets time pass.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import pytest

from orchestrator.ports import RateLimitStore, Window
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.clock import FakeClock

BURST = Window("burst", 5, 10.0)
MINUTE = Window("minute", 8, 60.0)


class RateLimitContract(ABC):
    """The cases."""

    @abstractmethod
    async def create_store(self) -> RateLimitStore:
        """A store that has counted nothing."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the store."""

    @pytest.fixture
    async def store(self) -> RateLimitStore:
        """The thing under test."""
        return await self.create_store()

    async def hits(self, store, count, *windows, client="acme"):
        """That many calls, one after the other."""
        return [await store.hit(client, windows) for _ in range(count)]

    async def test_the_quota_fits_at_once(self, store):
        """A client that was silent may use its whole quota in a moment, and no more."""
        verdicts = await self.hits(store, BURST.quota + 1, BURST)

        assert [verdict.allowed for verdict in verdicts] == [True] * BURST.quota + [False]

    async def test_what_remains_is_counted_down(self, store):
        """Each verdict tells how many more calls fit, and when the window is whole again."""
        verdicts = await self.hits(store, BURST.quota, BURST)

        assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0]
        assert [verdict.reset_s for verdict in verdicts] == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0], abs=0.2)
        assert all(verdict.retry_after_s == 0 for verdict in verdicts)

    async def test_the_quota_flows_back_evenly(self, store):
        """One call fits again after the period divided by the quota."""
        await self.hits(store, BURST.quota, BURST)
        refused = await store.hit("acme", [BURST])

        assert (refused.allowed, refused.remaining) == (False, 0)
        assert refused.retry_after_s == pytest.approx(2.0, abs=0.2)
        await self.pass_time(refused.retry_after_s)
        assert [verdict.allowed for verdict in await self.hits(store, 2, BURST)] == [True, False]

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

        assert (await store.hit("other", [BURST])).allowed

    async def test_the_fullest_window_decides(self, store):
        """A call must fit into every window; the verdict is about the tightest."""
        await self.hits(store, BURST.quota, BURST, MINUTE)
        await self.pass_time(BURST.period_s)

        verdicts = await self.hits(store, 5, BURST, MINUTE)

        assert [verdict.allowed for verdict in verdicts] == [True, True, True, True, False]
        assert verdicts[-1].window == MINUTE

    async def test_a_refused_call_is_charged_to_no_window(self, store):
        """Either all windows are charged or none: knocking at a closed door does not close another."""
        await self.hits(store, BURST.quota, BURST, MINUTE)

        await self.hits(store, 50, BURST, MINUTE)

        await self.pass_time(BURST.period_s)
        assert (await store.hit("acme", [BURST, MINUTE])).allowed

    async def test_a_window_of_one(self, store):
        """The smallest quota is one call a period."""
        single = Window("single", 1, 30.0)

        first, second = await self.hits(store, 2, single)

        assert (first.allowed, first.remaining) == (True, 0)
        assert (second.allowed, second.retry_after_s) == (False, pytest.approx(30.0, abs=0.2))

    async def test_calls_at_once_are_counted_one_by_one(self, store):
        """Concurrent calls cannot share one place."""
        verdicts = await asyncio.gather(*(store.hit("acme", [BURST]) for _ in range(50)))

        assert sum(verdict.allowed for verdict in verdicts) == BURST.quota


class TestMemoryRateLimit(RateLimitContract):
    """The contract, counted in this process's memory."""

    async def create_store(self) -> RateLimitStore:
        """A new one on a clock of its own."""
        self.clock = FakeClock()
        return MemoryRateLimit(self.clock)

    async def pass_time(self, seconds: float) -> None:
        """Move that clock."""
        self.clock.advance(seconds)
