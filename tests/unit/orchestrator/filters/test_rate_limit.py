"""Every client stays within its windows."""

from __future__ import annotations

import pytest

from orchestrator.errors import RateLimited, RateLimitStoreUnavailable
from orchestrator.events import RequestThrottled
from orchestrator.filters.rate_limit import RateLimitFilter, RateLimitPolicy
from orchestrator.model import SearchRequest
from orchestrator.ports import Window
from orchestrator.principals import OwnLimits, Principal
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


async def test_the_door_gets_the_verdict():
    """Let in or refused: what the limiter said is on the trail, for the headers of the answer."""
    limit = RateLimitFilter(MemoryRateLimit(FakeClock()), POLICY)
    first, second, third = (call_of(CLIENT) for _ in range(3))
    await limit(first, answer)
    await limit(second, answer)
    with pytest.raises(RateLimited) as refusal:
        await limit(third, answer)

    assert first.trail.verdict.remaining == (1, 59, 999)
    assert (third.trail.verdict.allowed, third.trail.verdict.window.name) == (False, "burst")
    assert refusal.value.windows == ("burst",)


async def test_a_key_with_limits_of_its_own():
    """Its own limits stand in for the policy's, one by one, and are counted apart from the client's."""
    limit = RateLimitFilter(MemoryRateLimit(FakeClock()), POLICY)
    own = Principal(client="acme", key_id="k1", limits=OwnLimits(per_minute=120, burst=6))
    wide, narrow = call_of(own), call_of(CLIENT)

    for _ in range(2):
        await limit(narrow, answer)
        await limit(wide, answer)

    assert wide.trail.verdict.windows == (
        Window("burst", 6, 3.0),
        Window("minute", 120, 60.0),
        Window("hour", 1000, 3600.0),
    )
    assert wide.trail.verdict.remaining == (4, 118, 998)
    assert narrow.trail.verdict.remaining == (0, 58, 998)


async def test_keys_of_one_client_share_its_limits():
    """A second key, such as the successor in a rotation, does not double what a client may ask."""
    limit = RateLimitFilter(MemoryRateLimit(FakeClock()), POLICY)

    for key_id in ("old", "new"):
        await limit(call_of(Principal(client="acme", key_id=key_id)), answer)

    with pytest.raises(RateLimited):
        await limit(call_of(Principal(client="acme", key_id="new")), answer)


def test_a_burst_is_no_more_than_a_minute():
    """A burst beyond the minute's quota would promise what the minute refuses."""
    assert RateLimitPolicy(burst=500, per_minute=100).windows[0] == Window("burst", 100, 60.0)
