"""Answers past their time: given at once while a fresh one comes, or when none can be had."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import limits
from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import (
    AllProvidersFailed,
    BudgetExhausted,
    DeadlineExceeded,
    EventLogUnavailable,
    InvalidRequest,
    NotInCache,
    PageUnreadable,
    QuotaExhausted,
)
from orchestrator.events import CacheMissed, RefreshStarted, StaleServed
from orchestrator.filters.cache import STALE_WAY_BACK_S, WHY_OLD, CacheFilter
from orchestrator.model import Attempt
from orchestrator.principals import Principal
from tests.support.calls import changed, recorded
from tests.support.clock import LoopClock
from tests.support.tiers import CREDIT, DOWN, FLOOR, FRESH_S, KEY, TRIED, Inner, Tier, aged, call_with, entry

POLICY = CachePolicy(stale_while_revalidate_s=10.0, stale_if_error_s=100.0, stale_if_quota_s=1_000.0)


@pytest.fixture
def clock():
    """The loop's own."""
    return LoopClock()


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
    return CacheFilter((l1, l2), clock, lambda _request: KEY, lambda r: r.query, policy=POLICY, refresh_s=9.0)


async def test_what_was_cleared_meanwhile_does_not_come_back(cache, l1, l2, clock):
    """An old answer of the far tier stands in for a failure, and fills no tier that was cleared since."""
    await aged(l2, clock, 50.0)

    async def cleared_meanwhile(call):
        await l2.clear()
        await l1.clear()
        raise DOWN

    assert (await cache(call_with(clock), cleared_meanwhile)).is_stale
    assert (len(l1), len(l2)) == (0, 0)


async def test_what_stands_in_is_at_hand_from_then_on(cache, l1, l2, clock):
    """Answers of the far tier that stand in are in the near one too: the far one may be the next to go."""
    await aged(l2, clock, 50.0)

    for tier in ("l2", "l1"):
        response = await cache(call_with(clock), Inner(DOWN, delay_s=0.0))
        l2.is_gone = True
        assert response.cache == tier


async def answer(cache, call, inner):
    """What the call was given, and the age of it; raises what the call was told."""
    response = await cache(call, inner)
    return response.fragment, response.is_stale, response.age_s


# --- while a fresh one is fetched ---


async def test_an_old_answer_leaves_at_once_and_a_fresh_one_is_fetched(cache, l1, clock):
    """For a while after its end an answer is given without a wait, and refreshed behind the caller's back."""
    await aged(l1, clock, past_s=5.0)
    call, inner = call_with(clock), Inner()
    begun = clock.monotonic()

    response = await cache(call, inner)

    assert (response.cache, response.is_stale, response.age_s, response.ttl_s) == ("l1", True, 65.0, -5.0)
    assert clock.monotonic() == begun
    assert recorded(call) == [
        StaleServed(
            key=KEY,
            tier="l1",
            age_s=65.0,
            cause="revalidating",
            saved=CREDIT,
            misses={"l1": "expired", "l2": "absent"},
        ),
        RefreshStarted(key=KEY, cause="stale", age_s=65.0),
    ]
    await cache.aclose()
    (refresh,) = inner.calls
    assert (refresh.cache_key, refresh.is_refresh, refresh.trail) == (KEY, True, call.trail)
    assert refresh.deadline == begun + 9.0


async def test_without_spending_an_old_answer_is_given_and_nothing_fetched(cache, l1, clock):
    """Who wants a cached answer only gets an old one too, and nothing is spent for them."""
    await aged(l1, clock, past_s=5.0)
    inner = Inner()

    assert await answer(cache, call_with(clock, only_if_cached=True), inner) == (b'"results":[]', True, 65.0)
    await cache.aclose()

    assert inner.calls == []


async def test_when_the_time_is_over_the_caller_waits(cache, l1, clock):
    """Past that time a fresh answer is waited for."""
    await aged(l1, clock, past_s=10.0)

    assert await answer(cache, call_with(clock), Inner()) == (b"new", False, 0.0)
    with pytest.raises(NotInCache):
        await cache(call_with(clock, only_if_cached=True), Inner())


async def test_who_bounds_the_age_gets_no_stale_one(cache, l1, clock):
    """RFC 9111, 5.2.1.1: who sends max-age does not wish a stale response, however young."""
    await aged(l1, clock, past_s=5.0)

    assert await answer(cache, call_with(clock, max_age_s=1e6), Inner()) == (b"new", False, 0.0)


async def test_the_text_behind_a_refreshed_answer_is_kept(cache, l1, clock):
    """A question that is never missed again must not fall out of the reports."""
    await aged(l1, clock, past_s=5.0)
    call = call_with(clock)

    await cache(call, Inner())
    await cache.aclose()

    assert call.trail._texts == {KEY: "tides"}


@pytest.mark.parametrize("is_refresh", [True, False])
async def test_a_refresh_that_finds_the_answer_of_another_is_no_hit(cache, l1, clock, is_refresh):
    """What another process has fetched meanwhile serves a refresh, but answers nobody a second time."""
    await aged(l1, clock, past_s=5.0)
    call = changed(call_with(clock), cache_key=KEY, is_refresh=is_refresh)
    assert await cache.look_again(call) is None

    await l1.put(KEY, entry(clock))

    assert (await cache.look_again(call)).ttl_s == FRESH_S
    assert [event.tier for event in recorded(call)] == ([] if is_refresh else ["l1"])


# --- when no fresh one can be had ---


@pytest.mark.parametrize(
    ("failure", "cause", "until_s"),
    [
        (DOWN, "error", 100.0),
        (DeadlineExceeded("Late."), "deadline", 100.0),
        (QuotaExhausted("Quota.", attempts=TRIED), "quota", 1_000.0),
        (BudgetExhausted("Spent."), "budget", 1_000.0),
        (
            QuotaExhausted(
                "Spent.",
                attempts=(Attempt(provider="tavily", outcome="skipped", reason="budget", duration_s=0.0),),
            ),
            "budget",
            1_000.0,
        ),
    ],
)
async def test_an_old_answer_stands_in_for_a_failure(cache, l1, clock, failure, cause, until_s):
    """Up to a time that depends on the cause an old answer is given, and its age said."""
    await aged(l1, clock, past_s=until_s - 1.0)
    call, inner = call_with(clock), Inner(failure, delay_s=0.0)

    response = await cache(call, inner)

    assert (response.cache, response.is_stale, response.age_s) == ("l1", True, FRESH_S + until_s - 1.0)
    assert response.attempts == getattr(failure, "attempts", ())
    assert response.notes == (WHY_OLD[cause],)
    assert recorded(call) == [
        CacheMissed(key=KEY, reason="expired", misses={"l1": "expired", "l2": "absent"}),
        StaleServed(key=KEY, tier="l1", age_s=response.age_s, cause=cause, saved=CREDIT),
    ]
    await asyncio.sleep(1.0)
    with pytest.raises(type(failure)):
        await cache(call_with(clock), inner)


@pytest.mark.parametrize(
    "failure",
    [
        InvalidRequest("No."),
        EventLogUnavailable("Full."),
        PageUnreadable("Gone."),
        NotInCache("No."),
        RuntimeError("A bug."),
    ],
)
async def test_other_failures_are_told(cache, l1, clock, failure):
    """What is no want of a provider, of money or of time is not covered up."""
    await aged(l1, clock, past_s=50.0)

    with pytest.raises(type(failure)):
        await cache(call_with(clock), Inner(failure))


async def test_it_leaves_in_time(cache, l1, clock):
    """With an old answer in hand nobody waits beyond their deadline for a fresh one."""
    await aged(l1, clock, past_s=50.0)
    call = call_with(clock)

    response = await cache(call, Inner(delay_s=1e6))

    assert response.is_stale
    assert clock.monotonic() == pytest.approx(call.deadline - STALE_WAY_BACK_S)
    # Attempts end before that, so that their failures are told, and a busy loop has time left after it.
    assert 0.05 <= STALE_WAY_BACK_S <= limits.WAY_BACK_S - 0.02
    assert recorded(call)[-1].cause == "deadline"


async def test_without_one_in_hand_the_wait_is_not_cut(cache, l1, clock):
    """An answer that is old enough for a used-up quota only does not end the wait for a slow provider."""
    await aged(l1, clock, past_s=500.0)
    call = call_with(clock)

    assert await answer(cache, call, Inner(delay_s=limits.DEADLINE_S - 0.01)) == (b"new", False, 0.0)


async def test_it_is_judged_as_it_was_found(cache, l1, clock):
    """A call that waits for a fresh answer does not lose the old one by that."""
    await aged(l1, clock, past_s=99.0)

    assert (await answer(cache, call_with(clock), Inner(DOWN, delay_s=5.0)))[1]


async def test_an_old_answer_of_the_web_is_better_than_the_floor(cache, l1, clock):
    """Where the floor of the chain would stand in, what the web said lately is given."""
    await aged(l1, clock, past_s=50.0)
    call = call_with(clock)

    response = await cache(call, Inner(FLOOR))

    assert (response.fragment, response.is_stale, response.is_degraded) == (b'"results":[]', True, False)
    assert recorded(call)[-1].cause == "error"


async def test_without_an_old_answer_the_floor_is_given(cache, l1, clock):
    """What is too old to stand in gives way to the floor."""
    await aged(l1, clock, past_s=500.0)

    assert (await cache(call_with(clock), Inner(FLOOR))).is_degraded


async def test_an_answer_without_results_is_never_given_old(cache, l1, clock):
    """An entry that has no use beyond its freshness stands in for nothing."""
    await aged(l1, clock, past_s=1.0, stale_s=None)

    with pytest.raises(AllProvidersFailed):
        await cache(call_with(clock), Inner(DOWN))


async def test_the_youngest_of_the_tiers_is_given(cache, l1, l2, clock):
    """Of several old answers the youngest is given, and kept near for when its tier is gone."""
    await l1.put(KEY, entry(clock, stale_s=1_000.0, fragment=b"older"))
    await asyncio.sleep(10.0)
    await l2.put(KEY, entry(clock, stale_s=1_000.0, fragment=b"younger"))
    await asyncio.sleep(FRESH_S + 50.0)

    given = await answer(cache, call_with(clock), Inner(DOWN))
    l2.is_gone = True
    again = await answer(cache, call_with(clock), Inner(DOWN))

    assert given[:2] == again[:2] == (b"younger", True)


@pytest.mark.parametrize(
    ("control", "is_given"),
    [
        ({}, True),
        ({"stale_if_error_s": 60.0}, True),
        ({"stale_if_error_s": 50.0}, False),
        ({"stale_if_error_s": 0.0}, False),
        ({"stale_if_error_s": 1e9}, True),
        ({"max_age_s": 10.0}, False),
        ({"max_age_s": 10.0, "stale_if_error_s": 60.0}, True),
        ({"no_cache": True}, False),
        ({"no_cache": True, "stale_if_error_s": 60.0}, True),
        ({"no_store": True, "stale_if_error_s": 60.0}, False),
    ],
)
async def test_the_caller_says_how_old_it_may_be(cache, l1, clock, control, is_given):
    """`stale-if-error` bounds it, and is needed by whoever has bounded the age (RFC 5861, 4)."""
    await aged(l1, clock, past_s=50.0)
    call = call_with(clock, **control)

    if is_given:
        assert (await cache(call, Inner(DOWN))).is_stale
    else:
        with pytest.raises(AllProvidersFailed):
            await cache(call, Inner(DOWN))


async def test_the_policy_bounds_the_caller(cache, l1, clock):
    """No `stale-if-error` reaches further than the operator allows."""
    await aged(l1, clock, past_s=100.0)

    with pytest.raises(AllProvidersFailed):
        await cache(call_with(clock, stale_if_error_s=1e9), Inner(DOWN))


async def test_a_fresh_answer_stands_in_where_a_fresher_was_wanted(cache, l1, clock):
    """Who asks to fetch anew and accepts an old answer gets what is there if that fails."""
    await l1.put(KEY, entry(clock))
    call = call_with(clock, no_cache=True, stale_if_error_s=60.0)

    response = await cache(call, Inner(DOWN))

    assert (response.is_stale, response.age_s, response.ttl_s) == (True, 1.0, 59.0)
    assert recorded(call)[0].reason == "bypass"


# --- whose it is ---


async def test_answers_can_be_kept_apart_by_client(l1, clock):
    """With scope `client` nobody is given what was fetched for another."""
    cache = CacheFilter(
        (l1,), clock, lambda _: KEY, lambda r: r.query, policy=CachePolicy(is_per_client=True)
    )
    inner = Inner()
    clients = ["acme", "acme", "other", ""]

    for client in clients:
        principal = Principal(client=client) if client else None
        await cache(changed(call_with(clock), principal=principal), inner)

    keys = [call.cache_key for call in inner.calls]
    assert keys[0] == keys[1]
    assert len({KEY, *keys}) == 4
