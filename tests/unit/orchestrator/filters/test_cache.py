"""Answers at rest: looked up before anything costs."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.errors import NotInCache
from orchestrator.events import CacheHit, CacheMissed
from orchestrator.filters.cache import CacheFilter
from orchestrator.model import CacheControl, Response, SearchRequest
from tests.support.calls import make_call, recorded
from tests.support.clock import FakeClock
from tests.support.tiers import CREDIT, KEY, Tier, entry

MISS = Response(fragment=b"", result_count=0, provider="tavily")


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def l1():
    """The near tier."""
    return Tier("l1")


@pytest.fixture
def l2():
    """The far tier."""
    return Tier("l2")


@pytest.fixture
def cache(l1, l2, clock):
    """The thing under test."""
    return CacheFilter((l1, l2), clock, lambda _request: KEY, lambda request: request.query)


def call_with(**control):
    """A call that wants this of the cache."""
    return make_call(SearchRequest(query="tides"), cache_control=CacheControl(**control))


def missed(l1_reason, l2_reason):
    """The event of a miss in both tiers."""
    reason = l1_reason if l2_reason == "absent" else l2_reason
    return CacheMissed(key=KEY, reason=reason, misses={"l1": l1_reason, "l2": l2_reason})


async def miss(call):
    """Inner stages that answer with the key they were given."""
    return msgspec.structs.replace(MISS, provider=call.cache_key)


async def unreachable(call):
    """Inner stages that must not be asked."""
    raise AssertionError("the inner stages were asked")


async def test_a_fresh_entry_answers(cache, l1, clock):
    """A hit is the stored bytes, says its age and its rest, costs nothing and names what it saved."""
    await l1.put(KEY, entry(clock, is_fallback=True, unsupported=("topic",)))
    clock.advance(20.0)
    call = call_with()

    response = await cache(call, unreachable)

    assert response == Response(
        fragment=b'"results":[]',
        result_count=3,
        provider="tavily",
        cache="l1",
        age_s=20.0,
        ttl_s=40.0,
        is_fallback=True,
        unsupported=("topic",),
    )
    assert recorded(call) == [CacheHit(key=KEY, tier="l1", age_s=20.0, saved=CREDIT)]


async def test_a_miss_goes_on_under_its_key(cache):
    """Without an entry the inner stages are asked, and know the key."""
    call = call_with()

    response = await cache(call, miss)

    assert response.provider == KEY
    assert recorded(call) == [missed("absent", "absent")]


async def test_an_entry_at_its_end_is_no_answer(cache, l1, clock):
    """An entry ends exactly when it says."""
    await l1.put(KEY, entry(clock, fresh_s=60.0))
    clock.advance(60.0)
    call = call_with()

    await cache(call, miss)

    assert recorded(call) == [missed("expired", "absent")]


async def test_what_is_stored_in_the_future_is_not_fresh(cache, l1, clock):
    """After a clock was put back by a day nobody is told for a day that what it had stored has no age."""
    await l1.put(KEY, entry(clock))
    clock.advance(-59.0)
    assert (await cache(call_with(), unreachable)).age_s == 0.0
    clock.advance(-2.0)
    call = call_with()

    await cache(call, miss)

    assert recorded(call) == [missed("expired", "absent")]


async def test_a_farther_tier_answers_and_fills_the_nearer(cache, l1, l2, clock):
    """What only the second tier has is lifted into the first."""
    await l2.put(KEY, entry(clock))
    first = call_with()

    assert (await cache(first, unreachable)).cache == "l2"
    assert (await cache(call_with(), unreachable)).cache == "l1"
    assert recorded(first)[0].misses == {"l1": "absent"}


async def test_a_tier_out_of_reach_is_a_miss(cache, l1, l2):
    """An outage is recorded and never an error."""
    l1.is_gone = l2.is_gone = True
    call = call_with()

    await cache(call, miss)

    assert recorded(call) == [missed("outage", "outage")]


async def test_one_tier_out_of_reach_does_not_hide_the_other(cache, l1, l2, clock):
    """A hit in the second tier is a hit although the first can neither be read nor filled."""
    await l2.put(KEY, entry(clock))
    l1.is_gone = True

    assert (await cache(call_with(), unreachable)).cache == "l2"


async def test_no_cache_asks_anew(cache, l1, clock):
    """A caller who wants a fresh answer gets past a fresh entry."""
    await l1.put(KEY, entry(clock))
    call = call_with(no_cache=True)

    await cache(call, miss)

    assert recorded(call) == [missed("bypass", "bypass")]


@pytest.mark.parametrize(("max_age_s", "is_hit"), [(30.0, True), (29.9, False), (0.0, False)])
async def test_max_age_bounds_the_age(cache, l1, clock, max_age_s, is_hit):
    """An entry older than the caller accepts is too old for this caller."""
    await l1.put(KEY, entry(clock))
    clock.advance(30.0)
    call = call_with(max_age_s=max_age_s)

    await cache(call, miss)

    assert recorded(call)[0] == (
        CacheHit(key=KEY, tier="l1", age_s=30.0, saved=CREDIT) if is_hit else missed("too_old", "absent")
    )


async def test_only_if_cached_never_asks_further(cache):
    """A caller who wants a cached answer only gets that or a refusal."""
    call = call_with(only_if_cached=True)

    with pytest.raises(NotInCache):
        await cache(call, unreachable)

    assert recorded(call) == [missed("absent", "absent")]


async def test_only_if_cached_is_answered_from_the_cache(cache, l1, clock):
    """If there is an entry, that caller is served like any other."""
    await l1.put(KEY, entry(clock))

    assert (await cache(call_with(only_if_cached=True), unreachable)).cache == "l1"


async def test_the_text_of_a_miss_is_noted_once_per_key(cache):
    """The query behind a key that is about to be fetched goes to the erasable table."""
    call = call_with()

    await cache(call, miss)

    assert call.trail._texts == {KEY: "tides"}


async def test_no_store_notes_no_text(cache):
    """Of a request that must not be stored not even the query is kept."""
    call = call_with(no_store=True)

    await cache(call, miss)

    assert call.trail._texts == {}
    assert recorded(call) == [missed("bypass", "bypass")]


async def test_a_clock_that_was_set_back_gives_no_negative_age(cache, l1, clock):
    """An entry from the future is of age 0."""
    await l1.put(KEY, entry(clock, stored_at=clock.now() + 5.0))

    assert (await cache(call_with(), unreachable)).age_s == 0.0
