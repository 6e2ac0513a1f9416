"""Tavily's wire format, without a wire."""

from __future__ import annotations

import json

import msgspec
import pytest

from orchestrator import limits
from orchestrator.model import ExtractRequest, SearchRequest
from orchestrator.providers import tavily_wire as wire

SEARCH = SearchRequest(query="tide tables")


def results(*items, **rest):
    """The body of an answer with these results."""
    return json.dumps({"results": items, **rest}).encode()


def test_a_bare_query_is_sent_bare():
    """Nothing the caller did not give is sent, but for the wish to know the price."""
    assert wire.search_body(SEARCH) == {"query": "tide tables", "include_usage": True}


def test_everything_given_is_sent():
    """All fields travel under their own names, `false` and `0` included."""
    given = {
        "query": "tide tables",
        "search_depth": "advanced",
        "topic": "news",
        "max_results": 0,
        "time_range": "week",
        "include_answer": "basic",
        "include_raw_content": False,
        "include_domains": ("a.example", "*.org"),
        "country": "germany",
        "exact_match": True,
    }

    assert wire.search_body(SearchRequest(**given)) == {**given, "include_usage": True}


def test_max_results_is_clamped():
    """Tavily's range ends at 20, whatever the caller asked for."""
    assert wire.search_body(SearchRequest(query="ab", max_results=25))["max_results"] == 20


def test_unknown_fields_pass_through():
    """Fields we do not know travel as they are; a credential stays here, a known field is not replaced."""
    extra = {"max_age_hours": 3, "api_key": "tvly-of-the-caller", "query": "other"}

    body = wire.search_body(SearchRequest(query="tide tables", extra=extra))

    assert body == {"query": "tide tables", "max_age_hours": 3, "include_usage": True}


@pytest.mark.parametrize(("patience_s", "timeout"), [(0.2, 1.0), (12, 12), (300, 60.0)])
def test_an_extract_has_a_timeout_in_range(patience_s, timeout):
    """The caller's patience becomes Tavily's `timeout`, within 1 to 60 seconds."""
    request = ExtractRequest(urls=("https://a.example",), timeout_s=patience_s)

    assert wire.extract_body(request) == {
        "urls": ["https://a.example"],
        "timeout": timeout,
        "include_usage": True,
    }


def test_a_url_is_sent_once():
    """Duplicates are undocumented at Tavily, so there are none."""
    request = ExtractRequest(urls=("https://a.example", "https://b.example", "https://a.example"))

    assert wire.extract_body(request)["urls"] == ["https://a.example", "https://b.example"]


def test_scores_never_rise():
    """A missing score is the one before it, and all are within 0 and 1."""
    body = results(
        {"url": "u1", "score": 1.7}, {"url": "u2"}, {"url": "u3", "score": "0.5"}, {"url": "u4", "score": -1}
    )

    answer, _ = wire.read_search(body, SEARCH)

    assert [result.score for result in answer.results] == [1.0, 1.0, 0.5, 0.0]


def test_a_result_needs_a_url():
    """A result nobody can open is left out; other missing or null strings become empty."""
    answer, _ = wire.read_search(results({"title": "No URL"}, {"url": "u", "title": None}), SEARCH)

    assert [(r.url, r.title, r.content, r.raw_content) for r in answer.results] == [("u", "", "", None)]


def test_news_keep_their_dates_and_favicons():
    """Optional fields of a result arrive as they came."""
    item = {
        "url": "u",
        "published_date": "Tue, 10 Nov 2026 17:00:00 GMT",
        "favicon": "https://f.example",
        "id": "7c1e09-00",
        "images": ["https://i.example"],
    }

    result = wire.read_search(results(item), SEARCH)[0].results[0]

    assert (result.published_date, result.favicon, result.id) == (
        item["published_date"],
        "https://f.example",
        "7c1e09-00",
    )
    assert result.images == ("https://i.example",)


@pytest.mark.parametrize(
    ("images", "kept"),
    [
        (None, ()),
        ([], ()),
        ({"url": "u"}, ()),
        (["u", 7, None, {}, {"url": 7}], ("u",)),
        ([{"url": "u", "description": "d"}], ({"url": "u", "description": "d"},)),
    ],
)
def test_images_of_any_shape(images, kept):
    """Strings and objects with a URL are kept, all else is left out."""
    assert wire.read_search(results(images=images), SEARCH)[0].images == kept


@pytest.mark.parametrize("body", [b"", b"no", b'{"results": [', b"\xff", b'{"results": [{"url": "\xff"}]}'])
def test_what_is_not_json_is_a_decode_error(body):
    """The provider tells bad JSON from a bad shape by the class of the exception."""
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as caught:
        wire.read_search(body, SEARCH)

    assert not isinstance(caught.value, msgspec.ValidationError)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"results": 1}', b'{"results": [null]}'])
def test_what_has_the_wrong_shape_is_a_validation_error(body):
    """An answer without a list of results is not Tavily's."""
    with pytest.raises(msgspec.ValidationError):
        wire.read_search(body, SEARCH)


@pytest.mark.parametrize(
    ("fields", "usage", "auto", "credits_"),
    [
        ({}, {"credits": 1}, None, 1),
        ({}, {"credits": 2}, None, 2),
        ({}, {"credits": 0}, None, 0),
        ({}, None, None, 1),
        ({}, {"credits": "two"}, None, 1),
        ({}, {"credits": True}, None, 1),
        ({}, {"credits": -1}, None, 1),
        ({}, {"credits": 1e20}, None, 1),
        ({}, {"credits": 10**30}, None, 1),
        ({}, {"credits": limits.BILLED_CREDITS_MAX + 1}, None, 1),
        ({}, [], None, 1),
        ({"search_depth": "advanced"}, None, None, 2),
        ({"search_depth": "fast"}, None, None, 1),
        ({"auto_parameters": True}, None, {"search_depth": "basic"}, 1),
        ({"auto_parameters": True}, None, {"search_depth": "advanced"}, 2),
        ({"auto_parameters": True}, None, None, 2),
    ],
)
def test_what_was_billed_else_the_price_list(fields, usage, auto, credits_):
    """The credits are those of the answer; without them, those of the depth that was used."""
    body = results(usage=usage, auto_parameters=auto)

    _, cost = wire.read_search(body, SearchRequest(query="ab", **fields))

    assert (cost.amount, cost.unit, cost.usd_micros) == (credits_, "credits", credits_ * 8_000)


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({}, 1),
        ({"search_depth": "ultra-fast"}, 1),
        ({"search_depth": "advanced"}, 2),
        ({"auto_parameters": True}, 2),
        ({"auto_parameters": True, "search_depth": "basic"}, 1),
    ],
)
def test_an_estimate_is_the_most_it_can_be(fields, most):
    """Where Tavily may choose the depth, the dearer one is expected."""
    assert wire.search_credits(SearchRequest(query="ab", **fields)) == most


@pytest.mark.parametrize(("depth", "amount", "usd_micros"), [(None, 0.6, 4_800), ("advanced", 1.2, 9_600)])
def test_pages_have_a_price_each(depth, amount, usd_micros):
    """Three pages cost three fifths of what five would."""
    cost = wire.extract_cost(ExtractRequest(urls=(), extract_depth=depth), 3)

    assert (cost.amount, cost.usd_micros) == (amount, usd_micros)


def test_a_page_is_known_by_its_url():
    """Another spelling of the URL is the same page; unrequested and empty pages are left out."""
    urls = (
        "https://A.example/x/",
        "https://b.example#top",
        "https://c.example",
        "https://d.example",
        "http://[",
    )
    body = results(
        {"url": "https://a.example/x", "raw_content": "one", "title": "X", "images": [{"url": "i"}, "j"]},
        {"url": "https://b.example/", "raw_content": "two"},
        {"url": "https://c.example", "raw_content": None},
        {"url": "https://stray.example", "raw_content": "three"},
        failed_results=[{"url": "https://d.example", "error": "upstream's own words"}],
    )

    answer, cost = wire.read_extract(body, ExtractRequest(urls=urls))

    assert [(page.url, page.raw_content) for page in answer.pages] == [(urls[0], "one"), (urls[1], "two")]
    assert answer.pages[0].images == ("i", "j")
    assert [failure.url for failure in answer.failures] == list(urls[2:])
    assert "own words" not in str(answer.failures)
    assert cost.amount == 0.4


@pytest.mark.parametrize("strange", ["nan", "inf", "-inf"])
def test_a_score_that_is_no_number_is_missing(strange):
    """A score nobody can compare takes the one before it, so that the order stays and JSON has a number."""
    body = results(
        {"url": "https://a.example", "score": 0.9},
        {"url": "https://b.example", "score": strange},
        {"url": "https://c.example", "score": 0.8},
    )

    answer, _ = wire.read_search(body, SearchRequest(query="ab"))

    assert [result.score for result in answer.results] == [0.9, 0.9, 0.8]
