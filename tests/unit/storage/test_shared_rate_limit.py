"""Calls are counted where all processes count, and alone only while that is out of reach."""

from __future__ import annotations

import pytest

from orchestrator.errors import RateLimitStoreUnavailable
from orchestrator.facts import StoreLost, StoreRestored
from orchestrator.quota import Window
from storage.memory_rate_limit import MemoryRateLimit
from storage.redis_rate_limit import CALM_S, SharedRateLimit
from tests.support.clock import FakeClock
from tests.support.facts import Facts

WINDOWS = (Window("minute", 5, 60.0),)


class Elsewhere(MemoryRateLimit):
    """A store that all share, and that can be out of reach."""

    is_gone = False

    async def hit(self, client, windows):
        """Count, or fail."""
        if self.is_gone:
            raise RateLimitStoreUnavailable("Redis is out of reach.")
        return await super().hit(client, windows)


@pytest.fixture
def clock():
    """The time."""
    return FakeClock()


@pytest.fixture
def facts():
    """What was recorded."""
    return Facts("store:limits")


@pytest.fixture
def elsewhere(clock):
    """The store that all share."""
    return Elsewhere(clock)


@pytest.fixture
def limit(elsewhere, clock, facts):
    """The thing under test, of one process."""
    return SharedRateLimit(elsewhere, MemoryRateLimit(clock), clock, facts)


async def allowed(limit, count):
    """How many of so many calls pass."""
    return sum([(await limit.hit("acme", WINDOWS)).allowed for _ in range(count)])


async def test_processes_share(limit, elsewhere, clock, facts):
    """What one process has let through is missing in another."""
    other = SharedRateLimit(elsewhere, MemoryRateLimit(clock), clock, facts)

    assert await allowed(limit, 3) == 3
    assert await allowed(other, 5) == 2
    assert facts.events == []


async def test_alone_a_process_goes_on_from_what_it_let_through(limit, elsewhere):
    """Losing the shared store gives nobody a fresh start."""
    await allowed(limit, 3)
    elsewhere.is_gone = True

    assert await allowed(limit, 5) == 2


async def test_a_store_that_has_forgotten_gives_no_fresh_start(limit, elsewhere):
    """If Redis comes back empty, what this process has let through still counts."""
    await allowed(limit, 5)
    elsewhere._recent.clear()

    assert await allowed(limit, 5) == 0


async def test_an_outage_is_two_facts(limit, elsewhere, clock, facts):
    """Its beginning and its end are recorded, whatever happens in between; not its calls."""
    elsewhere.is_gone = True
    await allowed(limit, 3)
    clock.advance(7.0)
    elsewhere.is_gone = False
    await allowed(limit, 1)
    elsewhere.is_gone = True
    await allowed(limit, 1)
    elsewhere.is_gone = False
    await allowed(limit, 1)

    assert facts.events == [
        StoreLost(store="limits", reason="Redis is out of reach."),
        StoreRestored(store="limits", outage_s=7.0),
        StoreLost(store="limits", reason="Redis is out of reach."),
    ]
    clock.advance(CALM_S)
    await allowed(limit, 1)
    assert facts.events[3:] == [StoreRestored(store="limits", outage_s=CALM_S)]
