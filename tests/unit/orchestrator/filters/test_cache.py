"""Answers at rest: looked up before anything costs, filled by the one call that fetched."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import CacheUnavailable, NotInCache
from orchestrator.events import (
    CacheHit,
    CacheMissed,
    Cost,
    ResultCached,
)
from orchestrator.filters.cache import CacheFilter
from orchestrator.filters.cache_fill import CacheFillStage
from orchestrator.model import (
    CacheControl,
    ExtractRequest,
    Found,
    Page,
    Response,
    SearchAnswer,
    SearchRequest,
    encode_fragment,
)
from orchestrator.ports import CacheEntry
from storage.memory_cache import MemoryCache
from tests.support.calls import changed, make_call, recorded
from tests.support.clock import FakeClock
from tests.support.scripted_provider import found, results_of

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
MISS = Response(fragment=b"", result_count=0, provider="tavily")
KEY = "k" * 32


class Tier(MemoryCache):
    """A real cache in memory that can be put out of reach."""

    def __init__(self, tier):
        super().__init__(1_000_000)
        self.tier = tier
        self.is_gone = False

    async def get(self, key):
        """As a cache does, while it can."""
        self._check()
        return await super().get(key)

    async def put(self, key, entry):
        """As a cache does, while it can."""
        self._check()
        await super().put(key, entry)

    def _check(self):
        if self.is_gone:
            raise CacheUnavailable("Gone.")


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


def entry(clock, *, fresh_s=60.0, **fields):
    """An entry like any other."""
    return CacheEntry(
        **{
            "fragment": b'"results":[]',
            "result_count": 3,
            "provider": "tavily",
            "stored_at": clock.now(),
            "fresh_until": clock.now() + fresh_s,
            "cost": CREDIT,
            **fields,
        }
    )


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


# --- filling ---


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


@pytest.mark.parametrize(
    ("topic", "answer", "fields", "expected_s"),
    [
        ("general", found(1), {}, 3600.0),
        ("news", found(1), {}, 300.0),
        ("finance", found(1), {}, 300.0),
        ("general", found(0), {}, 60.0),
        ("general", found(1), {"is_fallback": True}, 900.0),
        ("general", found(0), {"is_fallback": True}, 15.0),
        ("general", found(1), {"is_degraded": True, "is_fallback": True}, 0.0),
    ],
)
async def test_how_long_an_answer_stays_fresh(topic, answer, fields, expected_s):
    """News and empty answers age fast, a fallback makes room soon, the floor is not kept."""
    found_ = Found(**{"answer": answer, "provider": "tavily", **fields})

    assert CachePolicy().fresh_s(topic, found_) == expected_s


def test_a_short_policy_is_never_made_longer():
    """What is kept for less than the special times is kept for less in every case."""
    policy = CachePolicy(ttl_s=10.0)
    empty = Found(answer=SearchAnswer(results=(), answer=None, images=()), provider="tavily")

    assert policy.fresh_s("news", empty) == 10.0


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
