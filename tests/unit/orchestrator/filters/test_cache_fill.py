"""What was fetched is encoded once for all, and kept where it can be."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.cache_policy import CachePolicy
from orchestrator.events import ResultCached
from orchestrator.filters.cache_fill import CacheFillStage
from orchestrator.model import CacheControl, ExtractRequest, Found, Page, SearchRequest, encode_fragment
from tests.support.calls import changed, make_call, recorded
from tests.support.clock import FakeClock
from tests.support.scripted_provider import found, results_of
from tests.support.tiers import CREDIT, KEY, Tier


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


def fill_stage(clock, *tiers, chance=0.5, **policy):
    """The stage under test."""
    return CacheFillStage(tiers, clock, CachePolicy(**policy), chance=lambda: chance)


def finding(answer, **fields):
    """Inner stages that found this."""

    async def service(call):
        return Found(**{"answer": answer, "provider": "tavily", "cost": CREDIT, **fields})

    return service


def filling_call(request=None, **control):
    """A call that has passed the lookup."""
    call = make_call(request or SearchRequest(query="tides"), cache_control=CacheControl(**control))
    return changed(call, cache_key=KEY)


async def test_an_answer_is_encoded_once_and_kept(l1, l2, clock):
    """The response and the entries of all tiers are the same bytes, which decode to the answer."""
    call = filling_call()

    response = await fill_stage(clock, l1, l2)(call, finding(found(2), unsupported=("topic",)))

    assert response.fragment == encode_fragment(found(2))
    assert (response.provider, response.cost, response.cache) == ("tavily", CREDIT, "miss")
    stored = await l2.get(KEY)
    assert stored is await l1.get(KEY)
    assert stored.fragment is response.fragment
    assert (stored.cost, stored.unsupported) == (CREDIT, ("topic",))
    assert recorded(call) == [
        ResultCached(key=KEY, tiers=("l1", "l2"), ttl_s=3600.0, size_bytes=len(response.fragment))
    ]


async def test_what_does_not_fit_is_not_said_to_be_kept(l1, l2, clock):
    """An answer that is larger than a tier is not in it; of one that fits nowhere none says it was kept."""
    l1.bytes_max = 100
    call = filling_call()
    await fill_stage(clock, l1, l2)(call, finding(found(2)))
    assert [event.tiers for event in recorded(call)] == [("l2",)]

    l2.bytes_max = 100
    call = filling_call()
    await fill_stage(clock, l1, l2)(call, finding(found(2)))
    assert recorded(call) == []


async def test_an_entry_knows_its_ends(l1, clock):
    """It is of use for its freshness and the longest stale time; without results for the first only."""
    stage = fill_stage(clock, l1, stale_if_error_s=500.0, stale_if_quota_s=400.0)

    await stage(filling_call(), finding(found(2)))
    kept = await l1.get(KEY)
    await stage(filling_call(), finding(found(0)))
    empty = await l1.get(KEY)

    assert kept.fresh_until == clock.now() + 3600.0
    assert kept.useful_until == kept.stale_until == clock.now() + 4100.0
    assert empty.useful_until == empty.fresh_until == clock.now() + 60.0
    assert empty.stale_until == 0.0


async def test_a_page_is_kept_like_an_answer(l1, clock):
    """One page of an extract is an answer of one result."""
    page = Page(url="https://a.example/", raw_content="Text.")
    call = filling_call(ExtractRequest(urls=("https://a.example/",)))

    response = await fill_stage(clock, l1)(call, finding(page))

    assert msgspec.json.decode(b"{" + response.fragment + b"}", type=Page) == page
    assert response.result_count == 1
    assert (await l1.get(KEY)).result_count == 1


async def test_a_tier_out_of_reach_is_not_named(l1, l2, clock):
    """An answer is kept where it can be, and the record says where."""
    l1.is_gone = True
    call = filling_call()

    await fill_stage(clock, l1, l2)(call, finding(found(1)))

    assert recorded(call)[0].tiers == ("l2",)


async def test_no_store_keeps_nothing(l1, clock):
    """An answer its caller does not want kept is only given."""
    call = filling_call(no_store=True)

    response = await fill_stage(clock, l1)(call, finding(found(1)))

    assert len(results_of(response.fragment)) == 1
    assert len(l1) == 0
    assert recorded(call) == []


async def test_a_time_of_zero_keeps_nothing(l1, clock):
    """With a time to live of 0 the cache is off."""
    call = filling_call()

    await fill_stage(clock, l1, ttl_s=0.0)(call, finding(found(1)))

    assert len(l1) == 0


@pytest.mark.parametrize(("chance", "expected_s"), [(0.0, 3240.0), (0.5, 3600.0), (1.0, 3960.0)])
async def test_ends_are_spread(l1, clock, chance, expected_s):
    """What was fetched together does not expire together."""
    response = await fill_stage(clock, l1, chance=chance)(filling_call(), finding(found(1)))

    assert response.ttl_s == pytest.approx(expected_s)
    assert (await l1.get(KEY)).fresh_until == pytest.approx(clock.now() + expected_s)


async def test_a_degraded_answer_is_marked_and_not_kept(l1, clock):
    """The floor's answer reaches its caller and nobody else."""
    response = await fill_stage(clock, l1)(filling_call(), finding(found(1), is_degraded=True))

    assert response.is_degraded
    assert len(l1) == 0
