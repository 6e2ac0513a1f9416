"""One attempt has the provider's own limit, or what is left of the call."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import ProviderTimeout
from orchestrator.filters.timeout import TimeoutFilter
from orchestrator.model import SearchRequest
from orchestrator.outcome import CUT_SHORT
from tests.support.calls import changed, make_call
from tests.support.clock import LoopClock


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return LoopClock()


@pytest.fixture
def timeout_filter(clock):
    """Five seconds for an attempt at Tavily."""
    return TimeoutFilter("tavily", clock, lambda _request: 5.0)


async def slow(call):
    """A provider that never answers in time."""
    await asyncio.sleep(60.0)


@pytest.mark.parametrize(("patience_s", "expected"), [(9.0, 5.0), (2.0, 2.0)])
async def test_an_attempt_ends_at_the_nearer_limit(timeout_filter, clock, patience_s, expected):
    """The attempt is ended at the provider's limit or at the call's deadline, whichever comes first."""
    begun = clock.monotonic()

    with pytest.raises(ProviderTimeout, match=f"within {expected:.1f} seconds") as late:
        await timeout_filter(make_call(SearchRequest(query="x"), clock=clock, patience_s=patience_s), slow)

    assert clock.monotonic() - begun == pytest.approx(expected)
    assert (late.value.provider, late.value.reason) == ("tavily", "timeout")


@pytest.mark.parametrize(
    ("patience_s", "is_hurried", "reason"),
    [(2.0, True, CUT_SHORT), (2.0, False, "timeout"), (9.0, True, "timeout"), (5.0, True, "timeout")],
)
async def test_only_the_caller_s_own_haste_cuts_short(timeout_filter, clock, patience_s, is_hurried, reason):
    """Less than the provider's limit is the caller's doing if they asked for it, not if the operator did."""
    call = make_call(SearchRequest(query="x"), clock=clock, patience_s=patience_s)

    with pytest.raises(ProviderTimeout) as late:
        await timeout_filter(changed(call, is_hurried=is_hurried), slow)

    assert late.value.reason == reason


async def test_a_provider_that_ends_its_own_waits_was_cut_short_too(timeout_filter, clock):
    """A provider plans with the time it is given: if that was the caller's haste, so is its timeout."""

    async def planning(call):
        raise ProviderTimeout("Out of time.", provider="tavily", reason="timeout")

    call = make_call(SearchRequest(query="x"), clock=clock, patience_s=2.0)

    with pytest.raises(ProviderTimeout) as late:
        await timeout_filter(changed(call, is_hurried=True), planning)

    assert late.value.reason == CUT_SHORT


async def test_an_attempt_in_time_is_untouched(timeout_filter, clock):
    """What ends in time is the answer."""

    async def quick(call):
        await asyncio.sleep(4.9)
        return "answer"

    assert await timeout_filter(make_call(SearchRequest(query="x"), clock=clock), quick) == "answer"


async def test_a_timeout_of_the_providers_own_is_a_timeout(timeout_filter, clock):
    """A TimeoutError from below is the same failure, whoever noticed it."""

    async def impatient(call):
        raise TimeoutError

    with pytest.raises(ProviderTimeout):
        await timeout_filter(make_call(SearchRequest(query="x"), clock=clock), impatient)


async def test_cancellation_is_not_slowness(timeout_filter, clock):
    """An attempt that is called off is not the provider's timeout."""
    task = asyncio.ensure_future(timeout_filter(make_call(SearchRequest(query="x"), clock=clock), slow))
    await asyncio.sleep(1.0)

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
