"""An extract is one call with many pages: each by itself outside, all that are left together inside."""

from __future__ import annotations

import asyncio
import gc

import msgspec
import pytest

from orchestrator.errors import AllProvidersFailed, EventLogUnavailable, NotInCache, PageUnreadable
from orchestrator.events import (
    AttemptStarted,
    AttemptSucceeded,
    Cost,
)
from orchestrator.model import (
    Attempt,
    ExtractRequest,
    Response,
)
from orchestrator.per_url import PerUrl
from tests.support.calls import make_call
from tests.support.clock import LoopClock

A, B, C = (f"https://{name}.example/" for name in "abc")
CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)


def call_for(*urls, **caller_fields):
    """A call for this."""
    return make_call(ExtractRequest(urls=urls), clock=LoopClock(), **caller_fields)


def page(url, **fields):
    """A page with these fields."""
    return Response(
        **{"fragment": b'"url":"%b"' % url.encode(), "result_count": 1, "provider": "tavily", **fields}
    )


def pages(outcomes):
    """The service of one page: a response or an error for each URL."""

    async def service(call):
        (url,) = call.request.urls
        outcome = outcomes[url]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return service


def body(response):
    """The decoded body."""
    return msgspec.json.decode(b"{" + response.fragment + b"}")


def all_failed():
    """What a chain raises that has nobody left."""
    return AllProvidersFailed("No search provider could answer (tavily: reset).", attempts=())


async def test_pages_are_answered_in_the_order_asked():
    """Every page is one result, in the order of the URLs."""
    service = PerUrl(pages({A: page(A), B: page(B)}))

    response = await service(call_for(B, A))

    assert body(response) == {"results": [{"url": B}, {"url": A}], "failed_results": []}
    assert response.result_count == 2


async def test_a_url_asked_twice_is_read_once():
    """A repeated URL is one page."""
    response = await PerUrl(pages({A: page(A)}))(call_for(A, A))

    assert body(response)["results"] == [{"url": A}]


async def test_an_unreadable_page_harms_no_other():
    """A page nobody could read is a failed result beside the others."""
    service = PerUrl(pages({A: page(A), B: PageUnreadable("It is a scan.")}))

    response = await service(call_for(A, B))

    assert body(response) == {
        "results": [{"url": A}],
        "failed_results": [{"url": B, "error": "It is a scan."}],
    }


async def test_only_unreadable_pages_are_an_answer():
    """If every page is unreadable for its own reason, the answer says so page by page."""
    response = await PerUrl(pages({A: PageUnreadable("No.")}))(call_for(A))

    assert (response.result_count, body(response)["failed_results"]) == (0, [{"url": A, "error": "No."}])


async def test_what_kept_every_page_from_us_is_raised():
    """Without one page, a failure common to all is the failure of the call."""
    with pytest.raises(AllProvidersFailed):
        await PerUrl(pages({A: all_failed(), B: all_failed()}))(call_for(A, B))


async def test_a_cached_page_survives_the_failure_of_the_rest():
    """With one page at hand the others are failed results, whatever kept them from us."""
    service = PerUrl(pages({A: page(A, cache="l1"), B: all_failed(), C: NotInCache("Not there.")}))

    response = await service(call_for(A, B, C))

    assert response.result_count == 1
    assert [failed["error"] for failed in body(response)["failed_results"]] == [
        "No search provider could answer (tavily: reset).",
        "Not there.",
    ]


async def test_a_failing_journal_refuses_the_whole_call():
    """An answer that cannot be recorded is not given, not even in part."""
    service = PerUrl(pages({A: page(A), B: EventLogUnavailable("Full.")}))

    with pytest.raises(EventLogUnavailable):
        await service(call_for(A, B))


async def test_a_bug_is_not_a_failed_page():
    """An exception that is none of ours is raised."""
    with pytest.raises(ZeroDivisionError):
        await PerUrl(pages({A: page(A), B: ZeroDivisionError()}))(call_for(A, B))


@pytest.mark.parametrize(
    ("caches", "expected"),
    [
        (("l1", "l1"), "l1"),
        (("miss", "miss"), "miss"),
        (("l1", "miss"), "mixed"),
        (("collapsed", "miss"), "mixed"),
        (("collapsed", "l1"), "collapsed"),
        (("l1", "l2"), "l2"),
    ],
)
async def test_pages_from_different_places_are_mixed_if_a_provider_was_asked(caches, expected):
    """The call is a hit if every page was, and `mixed` only if a provider was asked for some of them."""
    one, other = caches

    response = await PerUrl(pages({A: page(A, cache=one), B: page(B, cache=other)}))(call_for(A, B))

    assert response.cache == expected


async def test_the_whole_is_the_sum_of_its_pages():
    """The age is the oldest, the time to live the shortest; attempts and lacks are told once."""
    tried = (Attempt(provider="tavily", outcome="success", reason="", duration_s=1.0),)
    service = PerUrl(
        pages(
            {
                A: page(A, age_s=0.0, ttl_s=60.0, attempts=tried, unsupported=("format",), notes=("Old.",)),
                B: page(B, age_s=9.0, ttl_s=30.0, attempts=tried, unsupported=("format",), notes=("Old.",)),
                C: page(C, provider="jina", is_fallback=True),
            }
        )
    )

    response = await service(call_for(A, B, C))

    assert (response.age_s, response.ttl_s) == (9.0, 0.0)
    assert response.attempts == tried
    assert (response.unsupported, response.notes) == (("format",), ("Old.",))
    assert (response.provider, response.is_fallback) == ("tavily+jina", True)


async def test_a_page_nobody_could_read_is_on_the_bill():
    """What was tried, and what it cost, is told whether or not it led to a page."""
    service = PerUrl(pages({A: page(A, cache="l1"), B: PageUnreadable("Not there.")}))
    call = call_for(A, B)
    call.trail.record(AttemptStarted(provider="tavily", number=1, span_id="0" * 16))
    call.trail.record(AttemptSucceeded(provider="tavily", number=1, duration_s=1.0, results=0, cost=CREDIT))

    response = await service(call)

    assert response.cost == CREDIT
    assert [(attempt.provider, attempt.outcome) for attempt in response.attempts] == [("tavily", "empty")]
    assert response.cache == "mixed"


async def test_a_page_that_does_not_come_takes_no_other_with_it():
    """Whoever waits for another call's flight when their time is over has the pages that were read."""
    read = pages({A: page(A), C: page(C)})

    async def service(call):
        if call.request.urls == (B,):
            await asyncio.sleep(100.0)
        return await read(call)

    call = call_for(A, B, C)
    async with asyncio.timeout_at(call.deadline):
        found = body(await PerUrl(service)(call))

    assert [one["url"] for one in found["results"]] == [A, C]
    assert [one["url"] for one in found["failed_results"]] == [B]


async def test_where_no_page_comes_time_is_over():
    """Without any page it is the deadline's to say so."""

    async def service(_call):
        await asyncio.sleep(100.0)

    with pytest.raises(TimeoutError):
        await PerUrl(service)(call_for(A, B))


async def test_a_call_that_is_cancelled_at_once_has_begun_no_page():
    """The warnings of work that was made and never begun are errors here."""
    call = asyncio.ensure_future(PerUrl(pages({A: page(A)}))(call_for(A)))
    await asyncio.sleep(0)
    call.cancel()

    await asyncio.wait([call])
    gc.collect()

    assert call.cancelled()
