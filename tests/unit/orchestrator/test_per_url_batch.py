"""The pages that one execution still needs are put to the provider chain in one call."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import AllProvidersFailed, PageUnreadable
from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    Cost,
    RequestFailed,
)
from orchestrator.model import (
    ExtractAnswer,
    ExtractRequest,
    Found,
    Page,
    PageFailure,
)
from orchestrator.per_url import BATCH_WINDOW_S, PageBatch, _split
from tests.support.calls import make_call, recorded
from tests.support.clock import LoopClock
from tests.support.scripted_provider import read

A, B, C = (f"https://{name}.example/" for name in "abc")
CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)


def call_for(*urls, **caller_fields):
    """A call for this."""
    return make_call(ExtractRequest(urls=urls), clock=LoopClock(), **caller_fields)


def all_failed():
    """What a chain raises that has nobody left."""
    return AllProvidersFailed("No search provider could answer (tavily: reset).", attempts=())


class Chain:
    """A chain that notes what it was asked, and answers or fails after a while."""

    def __init__(self, answer=None, *, takes_s=0.0):
        self.asked = []
        self._answer = answer or (
            lambda urls: (Found(answer=read(urls, len(urls)), provider="tavily", cost=CREDIT),)
        )
        self._takes_s = takes_s

    async def __call__(self, call):
        """Note the URLs, take the time, then end."""
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
    """What becomes of each page of a call."""
    return await asyncio.gather(*(batch(single) for single in singles(call)), return_exceptions=True)


async def test_each_page_waits_for_the_next():
    """Pages whose tiers and leases answer one after the other still go together."""
    chain = Chain()
    batch = PageBatch(chain)

    async def later(n, call):
        await asyncio.sleep(n * BATCH_WINDOW_S * 0.8)
        return await batch(call)

    await asyncio.gather(*(later(n, call) for n, call in enumerate(singles(call_for(A, B, C)))))

    assert chain.asked == [(A, B, C)]


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


@pytest.mark.parametrize("comes_first", [True, False])
async def test_who_waits_says_how_long(comes_first):
    """An old page that is refreshed beside others takes none of the time that the chain keeps for those."""
    asked = []

    async def chain(call):
        asked.append((call.request.urls, call.is_refresh, call.deadline))
        return (Found(answer=read(call.request.urls, 2), provider="tavily", cost=CREDIT),)

    batch = PageBatch(chain)
    old, new = singles(call_for(A, B))
    refresh = msgspec.structs.replace(old, is_refresh=True, deadline=old.deadline + 20.0)
    calls = (refresh, new) if comes_first else (new, refresh)

    await asyncio.gather(*map(batch, calls))

    assert [one[1:] for one in asked] == [(False, new.deadline)]


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
