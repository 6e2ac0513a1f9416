"""The provider `jina` against a server that behaves, and misbehaves, as Jina's contract describes."""

from __future__ import annotations

import asyncio
import time

import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import (
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.events import AttemptStarted, Cost
from orchestrator.model import ExtractRequest, SearchRequest
from orchestrator.providers.jina import READS_AT_ONCE, Jina
from orchestrator.providers.upstream import Upstream
from tests.support.calls import make_call
from tests.support.jina_simulator import ERRORS, PAGE_TOKENS, JinaSimulator
from tests.support.simulator import Fault

SEARCH = SearchRequest(query="tide tables harbour museum")
GOOD, BETTER = "https://almanac.example/how", "https://almanac.example/why"


@pytest.fixture
async def simulator():
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running


def provider_of(simulator, api_key=None, **options):
    """The provider, pointed at the simulator."""
    return Jina(
        Upstream("jina", SystemClock()),
        SystemClock(),
        api_key or simulator.api_key,
        search_url=simulator.search_url,
        reader_url=simulator.reader_url,
        **options,
    )


@pytest.fixture
async def jina(simulator):
    """The provider with a good key."""
    provider = provider_of(simulator)
    yield provider
    await provider.aclose()


def reading(*urls, **fields):
    """A call for the pages."""
    return make_call(ExtractRequest(urls=urls, **fields))


async def failure_of(answer):
    """The error a call ends with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at the class
        await answer
    return caught.value


# --- search -------------------------------------------------------------------------------------------------


async def test_search_brings_a_result_list_at_a_fixed_price(jina, simulator):
    """A search asks for no pages, so that ten results cost ten thousand tokens."""
    found = await jina.search(make_call(SEARCH))

    assert len(found.answer.results) >= 5
    first = found.answer.results[0]
    assert (first.score, first.raw_content, first.published_date) == (1.0, None, "2026-11-10")
    assert SEARCH.query in first.content
    assert found.cost == Cost(amount=10_000, unit="tokens", usd_micros=500)
    assert simulator.balance == 10_000_000 - 10_000
    assert simulator.calls[0].headers["accept"] == "application/json"
    assert simulator.calls[0].headers["x-respond-with"] == "no-content"
    assert simulator.calls[0].headers["authorization"] == f"Bearer {simulator.api_key}"


@pytest.mark.parametrize(("wish", "mark"), [(True, "# "), ("markdown", "# "), ("text", "tide tables")])
async def test_pages_come_if_asked_for(jina, simulator, wish, mark):
    """With raw content wanted, each result carries its page, and the search waits for pages only so long."""
    found = await jina.search(make_call(SearchRequest(query="tide tables", include_raw_content=wish)))

    assert all(result.raw_content.startswith(mark) for result in found.answer.results)
    assert "x-respond-with" not in simulator.calls[0].headers
    assert simulator.calls[0].headers["x-timeout"] == "6"
    assert found.cost.amount == max(10_000, PAGE_TOKENS * 5)


async def test_the_price_is_a_setting(simulator):
    """Tokens become money by the configured price of a million."""
    jina = provider_of(simulator, usd_per_million_tokens=0.02)
    found = await jina.search(make_call(SEARCH))
    await jina.aclose()

    assert found.cost.usd_micros == 200
    assert jina.search_estimate(SEARCH).usd_micros == 200


async def test_nothing_found_is_a_success(jina, simulator):
    """422 with 42206 means that there are no results, which is an answer and costs nothing."""
    simulator.script(Fault.empty())

    found = await jina.search(make_call(SEARCH))

    assert found.answer.results == ()
    assert found.cost.amount == 0


async def test_no_results_wanted_is_no_call(jina, simulator):
    """`max_results: 0` is answered without paying for a search."""
    found = await jina.search(make_call(SearchRequest(query="tide tables", max_results=0)))

    assert found.answer.results == ()
    assert simulator.count == 0


@pytest.mark.parametrize(
    ("variant", "tokens"), [("status_200", 10_000), ("no_meta", 10_000), ("no_usage", 10_000)]
)
async def test_a_deviating_answer_is_an_answer(jina, simulator, variant, tokens):
    """Neither the five-digit status nor the usage need be there; the price then comes from header or formula."""
    simulator.script(Fault.variant(variant))

    found = await jina.search(make_call(SEARCH))

    assert len(found.answer.results) >= 5
    assert found.cost.amount == tokens


async def test_missing_strings_are_empty(jina, simulator):
    """A result needs no more than its URL."""
    simulator.script(Fault.variant("sparse"))

    found = await jina.search(make_call(SEARCH))

    assert {(r.title, r.content, r.published_date) for r in found.answer.results} == {("", "", None)}


async def test_a_repeated_url_counts_once(jina, simulator):
    """Duplicates are removed, and the scores of what remains still fall strictly."""
    simulator.script(Fault.variant("duplicates"))

    results = (await jina.search(make_call(SEARCH))).answer.results

    assert len({result.url for result in results}) == len(results)
    scores = [result.score for result in results]
    assert all(earlier > later > 0 for earlier, later in zip(scores, scores[1:], strict=False))


@pytest.mark.parametrize(
    ("variant", "published"), [("relative_dates", None), ("iso_dates", "2026-11-10T17:00:00Z")]
)
async def test_dates_are_absolute_or_absent(jina, simulator, variant, published):
    """ "2 days ago" is left out, ISO 8601 is kept."""
    simulator.script(Fault.variant(variant))

    found = await jina.search(make_call(SEARCH))

    assert {result.published_date for result in found.answer.results} == {published}


async def test_an_object_is_no_result_list(jina, simulator):
    """The help text that an empty query gets is not taken for results."""
    simulator.script(Fault.variant("data_object"))

    error = await failure_of(jina.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderProtocolError, "bad_shape")


async def test_the_caller_learns_what_was_ignored(jina):
    """Fields without a counterpart are named."""
    request = SearchRequest(
        query="tide tables", include_answer=True, include_images=False, search_depth="advanced"
    )

    assert (await jina.search(make_call(request))).unsupported == ("include_answer", "search_depth")


SEARCH_ERRORS = {
    40001: (ProviderRejected, "bad_request"),
    40102: (ProviderRejected, "key_refused"),
    40103: (ProviderRejected, "key_refused"),
    40201: (ProviderQuotaExceeded, "quota"),
    40202: (ProviderQuotaExceeded, "quota"),
    40203: (ProviderQuotaExceeded, "quota"),
    40301: (ProviderRejected, "forbidden"),
    40304: (ProviderRejected, "key_refused"),
    40902: (ProviderRejected, "conflict"),
    40904: (ProviderRejected, "conflict"),
    41302: (ProviderRejected, "too_large"),
    42203: (ProviderRejected, "bad_request"),
    42205: (ProviderUnavailable, "downstream"),
    42901: (ProviderThrottled, "throttled"),
    42902: (ProviderThrottled, "throttled"),
    42903: (ProviderThrottled, "throttled"),
    45102: (ProviderRejected, "forbidden"),
    50000: (ProviderUnavailable, "http_500"),
    50301: (ProviderUnavailable, "http_503"),
    50302: (ProviderUnavailable, "http_503"),
    50303: (ProviderUnavailable, "http_503"),
    50304: (ProviderUnavailable, "http_503"),
    50305: (ProviderUnavailable, "http_503"),
}


def test_every_row_of_the_error_table_is_tried():
    """The table here has a row for each documented error but the one that is no error on search."""
    assert set(SEARCH_ERRORS) == set(ERRORS) - {42206}


@pytest.mark.parametrize("number", sorted(SEARCH_ERRORS))
async def test_a_search_error_has_its_class(jina, simulator, number):
    """HTTP status and five digits give the class and the reason; Jina's text never shows."""
    simulator.script(Fault.status(ERRORS[number][0], number=number, text="upstream's own words"))

    error = await failure_of(jina.search(make_call(SEARCH)))

    assert (type(error), error.reason) == SEARCH_ERRORS[number]
    assert "own words" not in error.message


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        (Fault.status(500, shape="raw"), ProviderUnavailable, "http_500"),
        (Fault.status(524), ProviderUnavailable, "http_524"),
        (Fault.status(422, shape="html"), ProviderRejected, "bad_request"),
        (Fault.status(503, shape="empty"), ProviderUnavailable, "http_503"),
        (Fault.body("plain text", content_type="text/plain"), ProviderProtocolError, "bad_json"),
        (Fault.body("{}"), ProviderProtocolError, "bad_shape"),
        (Fault.body('{"data": null}'), ProviderProtocolError, "bad_shape"),
        (Fault.garbage(), ProviderProtocolError, "bad_http"),
        (Fault.reset(), ProviderUnavailable, "reset"),
        (Fault.truncate(), ProviderUnavailable, "truncated"),
    ],
)
async def test_a_broken_answer_is_our_error(jina, simulator, fault, kind, reason):
    """Answers without Jina's envelope, and connections that break, are errors of ours too; on both hosts."""
    simulator.script(fault, times=2)

    error = await failure_of(jina.search(make_call(SEARCH)))
    assert (type(error), error.reason) == (kind, reason)

    if error.reason != "bad_request":
        error = await failure_of(jina.extract(reading(GOOD)))
        assert (type(error), error.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"), [(None, None, None), (7, 7, 7), ("date", 55, 60), (86_400, 300, 300)]
)
async def test_retry_after_is_understood(jina, simulator, retry_after, least, most):
    """Seconds and HTTP-dates are taken, bounded."""
    simulator.script(Fault.status(429, retry_after=retry_after))

    error = await failure_of(jina.search(make_call(SEARCH)))

    assert error.retry_after_s is None if least is None else least <= error.retry_after_s <= most


async def test_a_wrong_key_is_refused(simulator):
    """A key Jina does not know is our fault, not the caller's."""
    jina = provider_of(simulator, "jina_wrong")
    error = await failure_of(jina.search(make_call(SEARCH)))
    await jina.aclose()

    assert (type(error), error.reason) == (ProviderRejected, "key_refused")


async def test_the_balance_ends(simulator, jina):
    """When the tokens are used up, the provider says so, and Jina's balance agrees with what we counted."""
    simulator.balance = 20_000
    spent = [(await jina.search(make_call(SEARCH))).cost.amount for _ in range(2)]

    error = await failure_of(jina.search(make_call(SEARCH)))

    assert type(error) is ProviderQuotaExceeded
    assert (sum(spent), simulator.balance) == (20_000, 0)


async def test_the_attempt_is_the_parent(jina, simulator):
    """Each call carries the trace and the span of the newest attempt, also the reads of an extract."""
    call = reading(GOOD, BETTER)
    call.trail.record(AttemptStarted(provider="jina", number=1, span_id="a" * 16))

    await jina.extract(call)

    sent = {recorded.headers["traceparent"] for recorded in simulator.calls}
    assert sent == {f"00-{call.trail.trace_id}-{'a' * 16}-01"}


# --- reader -------------------------------------------------------------------------------------------------


async def test_pages_are_read_one_a_call(jina, simulator):
    """Each URL is one POST, and what they cost is added up."""
    found = await jina.extract(reading(GOOD, BETTER, GOOD))

    assert [page.url for page in found.answer.pages] == [GOOD, BETTER]
    assert found.answer.pages[0].raw_content.startswith("# ")
    assert found.answer.failures == ()
    assert found.cost.amount == 2 * PAGE_TOKENS
    assert sorted(call.json["url"] for call in simulator.calls) == sorted([GOOD, BETTER])
    assert simulator.calls[0].headers["accept"] == "application/json"


async def test_text_is_text(jina, simulator):
    """Plain text is asked for by header and found in its own field."""
    found = await jina.extract(reading(GOOD, format="text"))

    assert simulator.calls[0].headers["x-return-format"] == "text"
    assert not found.answer.pages[0].raw_content.startswith("#")


async def test_images_come_if_asked_for(jina):
    """The images of a page are their URLs."""
    found = await jina.extract(reading(GOOD, include_images=True))

    assert found.answer.pages[0].images == ("https://images.example/1.png",)


@pytest.mark.parametrize("variant", ["none", "old_reader"])
@pytest.mark.parametrize("word", ["gone", "captcha", "blank", "private"])
async def test_a_page_without_text_is_a_failure(jina, simulator, word, variant):
    """A dead page, a CAPTCHA, an empty page and a refused address are failures of that page alone."""
    dead = f"https://almanac.example/{word}"
    if variant != "none":
        simulator.when(word, Fault.variant(variant))

    found = await jina.extract(reading(dead, GOOD))

    assert [page.url for page in found.answer.pages] == [GOOD]
    assert [failure.url for failure in found.answer.failures] == [dead]


PAGE_ERRORS = (40001, 40301, 40902, 40904, 41302, 42203, 42206, 45102)


@pytest.mark.parametrize("number", PAGE_ERRORS)
async def test_an_error_about_the_page_is_its_failure(jina, simulator, number):
    """What Jina says about one page is no error of the provider, even if it is the only page."""
    simulator.script(Fault.status(ERRORS[number][0], number=number, text="upstream's own words"))

    found = await jina.extract(reading(GOOD))

    assert found.answer.pages == ()
    assert "own words" not in found.answer.failures[0].error


@pytest.mark.parametrize("number", sorted(set(ERRORS) - set(PAGE_ERRORS)))
async def test_an_error_about_us_is_raised_if_nothing_was_read(jina, simulator, number):
    """The provider's own refusals and faults are errors when no page came."""
    simulator.always(Fault.status(ERRORS[number][0], number=number))

    error = await failure_of(jina.extract(reading(GOOD, BETTER)))

    assert (type(error), error.reason) == SEARCH_ERRORS[number]


@pytest.mark.parametrize("number", sorted(set(ERRORS) - set(PAGE_ERRORS)))
async def test_an_error_about_us_spares_what_was_read(jina, simulator, number):
    """Beside a page that was read, the same refusal is a failure of the page it met."""
    simulator.when("why", Fault.status(ERRORS[number][0], number=number))

    found = await jina.extract(reading(GOOD, BETTER))

    assert [page.url for page in found.answer.pages] == [GOOD]
    assert [failure.url for failure in found.answer.failures] == [BETTER]


async def test_a_refusal_stops_the_remaining_reads(jina, simulator):
    """Once our key is refused, the pages not yet asked for are not asked for."""
    simulator.always(Fault.status(401))

    await failure_of(jina.extract(reading(*(f"{GOOD}/{number}" for number in range(20)))))

    assert simulator.count == READS_AT_ONCE


async def test_a_fault_does_not_stop_the_remaining_reads(jina, simulator):
    """A 503 may be about one page; the others are still read."""
    simulator.script(Fault.status(503))

    found = await jina.extract(reading(*(f"{GOOD}/{number}" for number in range(20))))

    assert len(found.answer.pages) == 19
    assert simulator.count == 20


async def test_a_slow_page_does_not_cost_the_others(jina, simulator):
    """Shortly before the deadline the missing pages are given up, and those that were read are answered."""
    simulator.when("why", Fault.hang())
    call = make_call(ExtractRequest(urls=(GOOD, BETTER)), patience_s=0.5)

    found = await jina.extract(call)

    assert [page.url for page in found.answer.pages] == [GOOD]
    assert [failure.url for failure in found.answer.failures] == [BETTER]


async def test_only_slow_pages_are_a_timeout(jina, simulator):
    """With nothing read in time the provider has timed out."""
    simulator.always(Fault.hang())

    error = await failure_of(jina.extract(make_call(ExtractRequest(urls=(GOOD,)), patience_s=0.3)))

    assert (type(error), error.reason) == (ProviderTimeout, "timeout")


async def test_cancelling_ends_every_read(jina, simulator):
    """An extract that is cancelled leaves no read behind."""
    simulator.always(Fault.hang())
    begun = time.monotonic()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await jina.extract(reading(GOOD, BETTER))

    assert time.monotonic() - begun < 1
    simulator.recover()
    assert (await jina.extract(reading(GOOD))).answer.pages
