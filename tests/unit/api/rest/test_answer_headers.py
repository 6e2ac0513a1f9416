"""What the headers of an answer say about where it came from."""

from __future__ import annotations

import msgspec
import pytest

from api.rest.answer_headers import answer_headers, cache_status, correlation, matches, weak_etag
from orchestrator.events import (
    CacheHit,
    CacheMissed,
    Envelope,
    Event,
    RequestCompleted,
    ResultCached,
    StaleServed,
)
from orchestrator.model import Call, Caller, Response, SearchRequest

EXECUTION = "01a20727-a6b1-7e53-9c7d-6b1f0f2d8a11"
STORED = ResultCached(key="k", tiers=("l1",), ttl_s=60.0, size_bytes=10)


class Trail(msgspec.Struct):
    """A trail with given events."""

    events: list[Envelope]
    execution_id: str = EXECUTION
    trace_id: str = "0af7651916cd43dd8448eb211c80319c"
    verdict: None = None


def trail(*events: Event) -> Trail:
    """The trail of these events."""
    return Trail([Envelope(seq, 0.0, event) for seq, event in enumerate(events, start=1)])


def response(cache: str, **changes: float) -> Response:
    """A response that came about like this."""
    return Response(fragment=b"", result_count=0, provider="tavily", cache=cache, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ("l1", b"amos-l1; hit; ttl=41"),
        ("collapsed", b"amos-l1; fwd=uri-miss; collapsed"),
        ("mixed", b"amos-l1; fwd=partial"),
        ("miss", b"amos-l1; fwd=miss"),
    ],
)
def test_each_way_to_an_answer_has_its_status(cache: str, expected: bytes):
    """RFC 9211 has a word for each: hit, forwarded, collapsed, partial."""
    assert cache_status(trail(), response(cache, ttl_s=41.9)) == expected


@pytest.mark.parametrize(
    ("cache", "event", "expected"),
    [
        (
            "l2",
            CacheHit(key="k", tier="l2", age_s=1.0, misses={"l1": "absent"}),
            b"amos-l2; hit; ttl=41, amos-l1; fwd=uri-miss",
        ),
        (
            "l2",
            CacheHit(key="k", tier="l2", age_s=1.0, misses={"l1": "expired"}),
            b"amos-l2; hit; ttl=41, amos-l1; fwd=stale",
        ),
        ("l2", CacheHit(key="k", tier="l2", age_s=1.0), b"amos-l2; hit; ttl=41"),
        (
            "miss",
            CacheMissed(key="k", reason="expired", misses={"l1": "expired", "l2": "absent"}),
            b"amos-l2; fwd=uri-miss, amos-l1; fwd=stale; stored",
        ),
        (
            "miss",
            CacheMissed(key="k", reason="outage", misses={"l1": "absent", "l2": "outage"}),
            b"amos-l2; fwd=miss; detail=outage, amos-l1; fwd=uri-miss; stored",
        ),
        (
            "collapsed",
            CacheMissed(key="k", reason="absent", misses={"l1": "absent", "l2": "absent"}),
            b"amos-l2; fwd=uri-miss; collapsed, amos-l1; fwd=uri-miss; stored",
        ),
    ],
)
def test_each_tier_asked_has_its_member(cache: str, event: CacheHit | CacheMissed, expected: bytes):
    """RFC 9211, 2: one member for each cache on the way, the one nearest the origin first."""
    events = (event,) if cache == "l2" else (event, STORED)

    assert cache_status(trail(*events), response(cache, ttl_s=41.9)) == expected


@pytest.mark.parametrize(
    ("tier", "misses", "cause", "expected"),
    [
        ("l1", {"l1": "expired"}, "revalidating", b"amos-l1; hit; ttl=-30"),
        (
            "l1",
            {"l1": "expired", "l2": "outage"},
            "revalidating",
            b"amos-l2; fwd=miss; detail=outage, amos-l1; hit; ttl=-30",
        ),
        (
            "l2",
            {"l1": "absent", "l2": "expired"},
            "quota",
            b"amos-l2; fwd=stale; detail=quota; ttl=-30, amos-l1; fwd=uri-miss",
        ),
    ],
)
def test_a_stale_answer_says_how_stale_and_why(
    tier: str, misses: dict[str, str], cause: str, expected: bytes
):
    """It is a hit with a negative time to live, or was forwarded in vain."""
    stale = StaleServed(key="k", tier=tier, age_s=90.0, cause=cause, misses=misses)
    events = [stale]
    if cause != "revalidating":
        missed = CacheMissed(key="k", reason="expired", misses=misses)
        events = [missed, msgspec.structs.replace(stale, misses={})]

    assert cache_status(trail(*events), response(tier, ttl_s=-30.5, is_stale=True)) == expected


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("absent", b"uri-miss"),
        ("expired", b"stale"),
        ("bypass", b"request"),
        ("too_old", b"request"),
        ("outage", b"miss; detail=outage"),
        ("unheard of", b"miss"),
    ],
)
def test_a_miss_says_why(reason: str, word: bytes):
    """Each reason for a miss is a value of `fwd`; storing is said."""
    missed = CacheMissed(key="k", reason=reason, misses={"l1": reason})

    assert cache_status(trail(missed), response("miss")) == b"amos-l1; fwd=" + word
    assert cache_status(trail(missed, STORED), response("miss")) == b"amos-l1; fwd=" + word + b"; stored"


def test_only_a_stored_answer_has_an_age():
    """Age is for what lay in a cache, in whole seconds."""
    closing = RequestCompleted(
        operation="search", door="http", client="local", cache="l1", results=0, duration_s=0.0012
    )
    call = Call(request=SearchRequest(query="x"), caller=Caller(door="http"), trail=trail(), deadline=0.0)

    hit = dict(answer_headers(call, response("l1", age_s=7.9), closing, b""))
    fresh = dict(answer_headers(call, response("collapsed", age_s=0.0), closing, b""))

    assert hit[b"age"] == b"7"
    assert b"age" not in fresh
    assert hit[b"server-timing"] == b"total;dur=1.200, upstream;dur=0.000"


def test_the_span_of_a_call_follows_from_its_execution():
    """Whoever has the execution id can name the span, and the other way round nobody has to store it."""
    assert dict(correlation(trail(), b"mine")) == {
        b"x-request-id": b"mine",
        b"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-9c7d6b1f0f2d8a11-01",
    }


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, False),
        (b"", False),
        (b"*", True),
        (b'"other"', False),
        (weak_etag(b"x"), True),
        (weak_etag(b"x").removeprefix(b"W/"), True),
        (b'"other" , ' + weak_etag(b"x"), True),
        (weak_etag(b"y"), False),
    ],
)
def test_etags_compare_weakly(sent: bytes | None, expected: bool):
    """Any of the client's tags may match, weak or strong."""
    assert matches(sent, weak_etag(b"x")) is expected
