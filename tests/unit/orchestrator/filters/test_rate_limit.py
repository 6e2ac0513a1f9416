"""Every client stays within its windows."""

from __future__ import annotations

import pytest

from orchestrator.errors import RateLimited, RateLimitStoreUnavailable
from orchestrator.events import RequestThrottled
from orchestrator.filters.rate_limit import RateLimitFilter, RateLimitPolicy
from orchestrator.model import Principal, SearchRequest
from orchestrator.ports import Window
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.calls import changed, make_call, recorded
from tests.support.clock import FakeClock

CLIENT = Principal(client="acme")
POLICY = RateLimitPolicy(burst=2, per_minute=60, per_hour=1000)


class GoneStore:
    """A store that is out of reach."""

    async def hit(self, client, windows):
        """Fail."""
        raise RateLimitStoreUnavailable("Gone.")


def call_of(principal):
    """A call of this client."""
    return changed(make_call(SearchRequest(query="tides")), principal=principal)


async def answer(call):
    """Inner stages that answer."""
    return "answered"


async def test_a_client_within_its_windows_is_answered():
    """Calls that fit are passed on, and nothing is recorded about them."""
    limit = RateLimitFilter(MemoryRateLimit(FakeClock()), POLICY)
    call = call_of(CLIENT)

    assert await limit(call, answer) == "answered"
    assert recorded(call) == []


async def test_a_client_beyond_a_window_is_told_when_to_come_back():
    """The refusal names the limit and the wait, and is recorded with the window."""
    limit = RateLimitFilter(MemoryRateLimit(FakeClock()), POLICY)
    for _ in range(2):
        await limit(call_of(CLIENT), answer)
    call = call_of(CLIENT)

    with pytest.raises(RateLimited, match=r"2 per 2 seconds .* after 2 seconds") as refusal:
        await limit(call, answer)

    assert refusal.value.retry_after_s == pytest.approx(2.0)
    assert recorded(call) == [RequestThrottled(window="burst", retry_after_s=pytest.approx(2.0))]


async def test_clients_have_windows_of_their_own():
    """One client's calls do not count for another."""
    limit = RateLimitFilter(MemoryRateLimit(FakeClock()), POLICY)
    for _ in range(2):
        await limit(call_of(CLIENT), answer)

    assert await limit(call_of(Principal(client="other")), answer) == "answered"


@pytest.mark.parametrize("principal", [Principal(client="local", is_unlimited=True), None])
async def test_the_unlimited_are_not_counted(principal):
    """The local operator passes without being charged, whatever the store does."""
    limit = RateLimitFilter(GoneStore(), RateLimitPolicy(fails_open=False))

    assert await limit(call_of(principal), answer) == "answered"


async def test_without_the_store_the_door_stays_open():
    """By default a limiter that is gone does not stop the service."""
    assert await RateLimitFilter(GoneStore(), POLICY)(call_of(CLIENT), answer) == "answered"


async def test_the_policy_may_close_the_door():
    """If the policy says so, calls are refused while the store is gone."""
    limit = RateLimitFilter(GoneStore(), RateLimitPolicy(fails_open=False))

    with pytest.raises(RateLimitStoreUnavailable):
        await limit(call_of(CLIENT), answer)


def test_the_burst_refills_at_the_rate_of_the_minute():
    """The burst window spans the time in which the minute's rate refills it."""
    assert RateLimitPolicy().windows == (
        Window("burst", 20, 10.0),
        Window("minute", 120, 60.0),
        Window("hour", 2000, 3600.0),
    )
