"""An extract is one call with many pages: each by itself outside, all that are left together inside."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import AllProvidersFailed, EventLogUnavailable, NotInCache, PageUnreadable
from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Cost,
    RequestFailed,
)
from orchestrator.model import (
    Attempt,
    ExtractAnswer,
    ExtractRequest,
    Found,
    Page,
    PageFailure,
    Response,
)
from orchestrator.per_url import BATCH_WINDOW_S, PageBatch, PerUrl, _split
from tests.support.calls import make_call, recorded
from tests.support.clock import LoopClock
from tests.support.scripted_provider import read

A, B, C = (f"https://{name}.example/" for name in "abc")
CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)


def call_for(*urls, **caller_fields):
    return make_call(ExtractRequest(urls=urls), clock=LoopClock(), **caller_fields)


def page(url, **fields):
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
    return msgspec.json.decode(b"{" + response.fragment + b"}")


def all_failed():
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

    assert body(response) == {"results": [{"url": A}], "failed_results": [{"url": B, "error": "It is a scan."}]}


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
    [(("l1", "l1"), "l1"), (("miss", "miss"), "miss"), (("l1", "miss"), "mixed"), (("collapsed", "l1"), "mixed")],
)
async def test_pages_from_different_places_are_mixed(caches, expected):
    """The call is a hit only if every page was."""
    one, other = caches

    response = await PerUrl(pages({A: page(A, cache=one), B: page(B, cache=other)}))(call_for(A, B))

    assert response.cache == expected


async def test_the_whole_is_the_sum_of_its_pages():
    """The age is the oldest, the time to live the shortest; attempts and lacks are told once."""
    tried = (Attempt(provider="tavily", outcome="success", reason="", duration_s=1.0),)
    service = PerUrl(
        pages(
            {
                A: page(A, age_s=0.0, ttl_s=60.0, attempts=tried, unsupported=("format",)),
                B: page(B, age_s=9.0, ttl_s=30.0, attempts=tried, unsupported=("format",)),
                C: page(C, provider="jina", is_fallback=True),
            }
        )
    )

    response = await service(call_for(A, B, C))

    assert (response.age_s, response.ttl_s) == (9.0, 0.0)
    assert response.attempts == tried
    assert response.unsupported == ("format",)
    assert (response.provider, response.is_fallback) == ("tavily+jina", True)


async def test_a_page_nobody_could_read_is_on_the_bill():
    """What was tried, and what it cost, is told whether or not it led to a page."""
    service = PerUrl(pages({A: page(A, cache="l1"), B: PageUnreadable("Not there.")}))
    call = call_for(A, B)
    call.trail.record(AttemptStarted(provider="tavily", number=1, span_id="0" * 16))
    call.trail.record(
        AttemptSucceeded(provider="tavily", number=1, duration_s=1.0, results=0, cost=CREDIT)
    )

    response = await service(call)

    assert response.cost == CREDIT
    assert [(attempt.provider, attempt.outcome) for attempt in response.attempts] == [("tavily", "empty")]
    assert response.cache == "mixed"


class Chain:
    """A chain that notes what it was asked, and answers or fails after a while."""

    def __init__(self, answer=None, *, takes_s=0.0):
        self.asked = []
        self._answer = answer or (
            lambda urls: (Found(answer=read(urls, len(urls)), provider="tavily", cost=CREDIT),)
        )
        self._takes_s = takes_s

    async def __call__(self, call):
        self.asked.append(call.request.urls)
        await asyncio.sleep(self._takes_s)
        outcome = self._answer(call.request.urls)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def singles(call):
    """The calls of one page each that an extract makes."""
    request = call.request
    return [
        msgspec.structs.replace(call, request=msgspec.structs.replace(request, urls=(url,)))
        for url in request.urls
    ]


async def gathered(batch, call):
    return await asyncio.gather(*(batch(single) for single in singles(call)), return_exceptions=True)


async def test_the_pages_of_one_call_are_read_together():
    """Providers bill by the call, so what nobody had is asked in one."""
    chain = Chain()

    found = await gathered(PageBatch(chain), call_for(A, B, C))

    assert chain.asked == [(A, B, C)]
    assert [one.answer.url for one in found] == [A, B, C]


async def test_pages_of_different_calls_are_not_mixed():
    """Each execution has its own batch, because each has its own record and deadline."""
    chain = Chain()
    batch = PageBatch(chain)

    await asyncio.gather(gathered(batch, call_for(A)), gathered(batch, call_for(B)))

    assert sorted(chain.asked) == [(A,), (B,)]


async def test_a_page_that_comes_late_makes_a_batch_of_its_own():
    """Nobody waits for pages longer than the batch window."""
    chain = Chain()
    batch = PageBatch(chain)
    first, second = singles(call_for(A, B))

    early = asyncio.ensure_future(batch(first))
    await asyncio.sleep(BATCH_WINDOW_S * 2)
    await batch(second)
    await early

    assert chain.asked == [(A,), (B,)]


async def test_a_failed_chain_fails_every_page():
    """What the chain raised is what every page of the batch gets."""
    outcomes = await gathered(PageBatch(Chain(lambda _urls: all_failed())), call_for(A, B))

    assert [type(one) for one in outcomes] == [AllProvidersFailed] * 2


async def test_the_first_provider_that_read_a_page_gives_it():
    """A page is taken from whoever read it; a failure elsewhere does not take it away."""

    def answer(urls):
        return (
            Found(answer=read(urls, 1, "tavily"), provider="tavily", cost=CREDIT),
            Found(answer=read(urls[1:], 1, "jina"), provider="jina", is_fallback=True),
        )

    a, b = await gathered(PageBatch(Chain(answer)), call_for(A, B))

    assert (a.provider, a.cost, a.is_fallback) == ("tavily", CREDIT, False)
    assert (b.provider, b.answer.raw_content, b.is_fallback) == ("jina", f"{B} as read by jina", True)


async def test_a_later_failure_does_not_undo_a_page():
    """If a later provider reports a failure for a page that is there, the page stays."""

    def answer(urls):
        failed = ExtractAnswer(pages=(), failures=(PageFailure(url=A, error="No."),))
        return (
            Found(answer=read(urls, 1), provider="tavily"),
            Found(answer=failed, provider="jina"),
        )

    (a,) = await gathered(PageBatch(Chain(answer)), call_for(A))

    assert isinstance(a.answer, Page)


async def test_an_unread_page_has_the_last_reason_given():
    """If all providers failed on a page, the last one's words are the reason."""

    def answer(urls):
        return (
            Found(answer=read(urls, 0, "tavily"), provider="tavily"),
            Found(answer=read(urls, 0, "jina"), provider="jina"),
        )

    (a,) = await gathered(PageBatch(Chain(answer)), call_for(A))

    assert isinstance(a, PageUnreadable)
    assert a.message == "jina could not."


async def test_a_page_nobody_mentioned_is_unreadable():
    """A URL that no answer covers still gets an outcome."""
    outcomes = await gathered(PageBatch(Chain(lambda _urls: ())), call_for(A))

    assert [str(one) for one in outcomes] == ["No provider could read the page."]


async def test_one_page_that_gives_up_does_not_stop_the_others():
    """The batch belongs to all its pages: cancelling the wait for one changes nothing for the rest."""
    chain = Chain(takes_s=1.0)
    batch = PageBatch(chain)
    first, second = (asyncio.ensure_future(batch(single)) for single in singles(call_for(A, B)))
    await asyncio.sleep(0.5)

    first.cancel()

    assert (await second).answer.url == B
    assert chain.asked == [(A, B)]


async def test_a_batch_ends_at_the_deadline_of_its_call():
    """A chain that does not end by itself is ended with its call."""
    call = call_for(A)
    begun = asyncio.get_running_loop().time()

    (outcome,) = await gathered(PageBatch(Chain(takes_s=60.0)), call)

    assert isinstance(outcome, TimeoutError)
    assert asyncio.get_running_loop().time() - begun == pytest.approx(9.0)


async def test_what_a_batch_does_after_its_call_has_ended_is_written():
    """The facts of a chain that ends after the last word of its call go into a further frame."""
    call = call_for(A)

    async def slow(inner):
        inner.trail.record(AttemptStarted(provider="tavily", number=1, span_id="s"))
        try:
            await asyncio.sleep(60.0)
        finally:
            await asyncio.sleep(1.0)  # the connection takes its time to close
            inner.trail.record(
                AttemptFailed(
                    provider="tavily", number=1, duration_s=9.0, outcome="ignorable", reason="cancelled"
                )
            )

    batch = PageBatch(slow)
    waiting = asyncio.ensure_future(gathered(batch, call))
    await asyncio.sleep(9.0)
    call.trail.record(RequestFailed(operation="extract", door="test", error="x", duration_s=9.0))
    await call.trail.commit()

    await batch.aclose()
    await waiting
    await asyncio.sleep(0)

    frames = call.trail._recorder.journal.frames
    assert [type(e.event).__name__ for e in frames[-1].events] == ["AttemptFailed"]
    assert len(recorded(call)) == 3


async def test_closing_waits_for_the_batches_under_way():
    """No page is given up because the gateway is shutting down."""
    batch = PageBatch(Chain(takes_s=2.0))
    begun = asyncio.get_running_loop().time()
    waiting = asyncio.ensure_future(gathered(batch, call_for(A)))
    await asyncio.sleep(1.0)

    await batch.aclose()

    (found,) = await waiting
    assert found.answer.url == A
    assert asyncio.get_running_loop().time() == pytest.approx(begun + 2.0 + BATCH_WINDOW_S)


@given(st.integers(0, 10**9), st.integers(1, 20))
def test_a_split_cost_adds_up_to_the_micro_dollar(usd_micros, count):
    """The parts of a cost are the cost, and differ by a micro-dollar at most."""
    cost = Cost(amount=2.0, unit="credits", usd_micros=usd_micros)

    parts = _split(cost, count)

    assert sum(part.usd_micros for part in parts) == usd_micros
    assert max(p.usd_micros for p in parts) - min(p.usd_micros for p in parts) <= 1
    assert sum(part.amount for part in parts) == pytest.approx(2.0)


def test_a_cost_without_pages_is_split_among_nobody():
    """A call that read nothing has no page to bill."""
    assert _split(CREDIT, 0) == []
    assert _split(FREE, 2) == [FREE, FREE]
