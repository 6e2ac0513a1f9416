"""Searching with the provider `jina`, against a server that behaves, and misbehaves, as its contract says."""

from __future__ import annotations

from itertools import pairwise

import pytest

from orchestrator.errors import (
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderUnavailable,
)
from orchestrator.events import Cost
from orchestrator.model import ExtractRequest, SearchRequest
from tests.support.calls import failure_of, make_call
from tests.support.faults import Fault
from tests.support.jina_errors import ERRORS
from tests.support.jina_provider import PROVIDER_ERRORS, provider_of
from tests.support.jina_simulator import PAGE_TOKENS, JinaSimulator

SEARCH = SearchRequest(query="tide tables harbour museum")


@pytest.fixture
async def simulator():
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running


@pytest.fixture
async def jina(simulator):
    """The provider with a good key."""
    provider = provider_of(simulator)
    yield provider
    await provider.aclose()


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
    """Neither the five-digit status nor the usage need be there; the price has other sources."""
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
    assert all(earlier > later > 0 for earlier, later in pairwise(scores))


@pytest.mark.parametrize(
    ("variant", "published"), [("relative_dates", None), ("iso_dates", "2026-11-10T17:00:00Z")]
)
async def test_dates_are_absolute_or_absent(jina, simulator, variant, published):
    """A relative date is left out, ISO 8601 is kept."""
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


def test_every_row_of_the_error_table_is_tried():
    """The table here has a row for each documented error but the one that is no error on search."""
    assert set(PROVIDER_ERRORS) == set(ERRORS) - {42206}


@pytest.mark.parametrize("number", sorted(PROVIDER_ERRORS))
async def test_a_search_error_has_its_class(jina, simulator, number):
    """HTTP status and five digits give the class and the reason; Jina's text never shows."""
    simulator.script(Fault.status(ERRORS[number][0], number=number, text="upstream's own words"))

    error = await failure_of(jina.search(make_call(SEARCH)))

    assert (type(error), error.reason) == PROVIDER_ERRORS[number]
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
        page = ExtractRequest(urls=("https://almanac.example/how",))
        error = await failure_of(jina.extract(make_call(page)))
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
