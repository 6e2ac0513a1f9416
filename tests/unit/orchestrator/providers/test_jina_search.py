"""Jina search: translating the request, reading the answer."""

from __future__ import annotations

import json
from datetime import date

import msgspec
import pytest

from orchestrator.model import SearchRequest
from orchestrator.providers import jina_search as search

TODAY = date(2026, 11, 23)


def query_of(**fields):
    """What `q` becomes for a search with these fields."""
    return search.search_body(SearchRequest(query="tides", **fields), TODAY)["q"]


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({}, "tides"),
        ({"exclude_domains": ("a.example", "*.org")}, "tides -site:a.example -site:org"),
        ({"time_range": "day"}, "tides after:2026-11-22"),
        ({"time_range": "w"}, "tides after:2026-11-16"),
        ({"time_range": "month"}, "tides after:2026-10-24"),
        ({"time_range": "y"}, "tides after:2025-11-23"),
        ({"days": 3}, "tides after:2026-11-20"),
        ({"days": 10_000_000}, "tides"),
        ({"start_date": "2026-01-02"}, "tides after:2026-01-02"),
        ({"start_date": "2026-01-02", "end_date": "2026-02-03"}, "tides after:2026-01-02 before:2026-02-03"),
        ({"end_date": "2026-02-03"}, "tides before:2026-02-03"),
        ({"topic": "news"}, "tides after:2026-10-24"),
        ({"topic": "news", "time_range": "d"}, "tides after:2026-11-22"),
        ({"topic": "news", "end_date": "2020-02-03"}, "tides before:2020-02-03"),
        ({"topic": "finance"}, "tides"),
    ],
)
def test_filters_become_operators(fields, query):
    """Excluded hosts and windows are written into the query; news without a window reach back a month."""
    assert query_of(**fields) == query


@pytest.mark.parametrize(("wanted", "asked"), [(None, 10), (1, 10), (10, 10), (11, 20), (20, 20), (99, 20)])
def test_a_result_list_is_asked_for_in_tens(wanted, asked):
    """Ten results cost as much as one, so the surplus is taken along."""
    assert search.search_body(SearchRequest(query="tides", max_results=wanted), TODAY)["num"] == asked


def test_pages_are_asked_for_as_wanted():
    """Each page costs, so no page more than wanted is fetched."""
    request = SearchRequest(query="tides", max_results=3, include_raw_content=True)

    assert search.search_body(request, TODAY)["num"] == 3


def test_included_hosts_are_sites():
    """Hosts are a filter at Jina; a wildcard is written as the operator wants it."""
    body = search.search_body(SearchRequest(query="tides", include_domains=("a.example/in", "*.org")), TODAY)

    assert body["site"] == ["a.example/in", "org"]


@pytest.mark.parametrize("mode", ["boost", "prefer"])
def test_preferred_hosts_are_not_a_filter(mode):
    """A preference cannot be expressed: nothing is filtered, and the caller is told."""
    request = SearchRequest(query="tides", include_domains=("a.example",), include_domains_mode=mode)

    assert "site" not in search.search_body(request, TODAY)
    assert search.unsupported(request) == ("include_domains_mode",)


def test_domain_lists_are_bounded():
    """A query holds twenty hosts; that a longer list was shortened is said where it changes the answer."""
    many = tuple(f"h{number}.example" for number in range(30))
    request = SearchRequest(query="tides", include_domains=many, exclude_domains=many)
    body = search.search_body(request, TODAY)

    assert len(body["site"]) == 20
    assert body["q"].count("-site:") == 20
    assert search.unsupported(request) == ("include_domains",)


@pytest.mark.parametrize(("country", "gl"), [("germany", "de"), ("united kingdom", "gb"), ("us", "us")])
def test_a_country_is_a_code(country, gl):
    """Tavily's names become two letters."""
    assert search.search_body(SearchRequest(query="tides", country=country), TODAY)["gl"] == gl


def test_an_unknown_country_is_not_sent():
    """Jina refuses unknown codes, so the wish is dropped, and said to be."""
    request = SearchRequest(query="tides", country="atlantis")

    assert "gl" not in search.search_body(request, TODAY)
    assert search.unsupported(request) == ("country",)


@pytest.mark.parametrize(
    ("wish", "remaining_s", "headers"),
    [
        (None, 9, {"X-Respond-With": "no-content"}),
        (False, 9, {"X-Respond-With": "no-content"}),
        (True, 9, {"X-Timeout": "6"}),
        ("markdown", 60, {"X-Timeout": "25"}),
        ("text", 1, {"X-Timeout": "1", "X-Return-Format": "text"}),
    ],
)
def test_pages_are_fetched_only_if_asked_for(wish, remaining_s, headers):
    """Without raw content there is the fixed price; with it Jina must answer before our deadline."""
    request = SearchRequest(query="tides", include_raw_content=wish)

    assert search.search_headers(request, remaining_s) == {"Accept": "application/json", **headers}


def test_what_is_ignored_is_named():
    """Given and without effect: named, in a fixed order. Given as false, or with effect: not named."""
    request = SearchRequest(
        query="tides",
        search_depth="advanced",
        topic="finance",
        include_answer="basic",
        include_images=False,
        include_raw_content=True,
        exact_match=True,
        language="de",
        extra={"include_usage": True, "max_age_hours": 2},
    )

    assert search.unsupported(request) == (
        *("include_answer", "language", "exact_match", "search_depth", "topic", "max_age_hours"),
    )
    assert (
        search.unsupported(SearchRequest(query="tides", topic="news", time_range="d", search_depth="fast"))
        == ()
    )


def test_scores_fall_and_stay_positive():
    """The score is the rank in other words: strictly falling, at most 1, more than 0."""
    scores = [search.score(rank) for rank in range(40)]

    assert scores[0] == 1.0
    assert scores == sorted(set(scores), reverse=True)
    assert scores[-1] > 0


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (None, None),
        ("", None),
        ("Nov 10, 2026", "2026-11-10"),
        ("November 1, 2026", "2026-11-01"),
        ("Sept. 3, 2025", "2025-09-03"),
        ("10 Nov 2026", "2026-11-10"),
        ("2026-11-10", "2026-11-10"),
        ("2026-11-10T17:00:00.000Z", "2026-11-10T17:00:00.000Z"),
        ("2026-11-10T17:00:00+02:00", "2026-11-10T17:00:00+02:00"),
        ("Tue, 10 Nov 2026 17:00:00 GMT", "Tue, 10 Nov 2026 17:00:00 GMT"),
        ("2 days ago", None),
        ("yesterday", None),
        ("Nov 31, 2026", None),
        ("Xxx 10, 2026", None),
        ("2026-13-40", None),
        ("Tue, maybe", None),
        ("vor 3 Tagen", None),
    ],
)
def test_dates_are_absolute(text, normal):
    """Dates people write become ISO 8601, machine dates stay, relative and broken ones are left out."""
    assert search.normalise_date(text) == normal


def test_the_published_time_helps_out():
    """Where the date is relative, the absolute time of publication is used."""
    item = {"url": "u", "date": "2 days ago", "publishedTime": "2026-11-21T08:00:00Z"}

    answer, _ = search.read_search(json.dumps({"data": [item]}).encode(), SearchRequest(query="tides"))

    assert answer.results[0].published_date == "2026-11-21T08:00:00Z"


def test_an_item_without_a_url_is_left_out():
    """What cannot be opened is no result, and takes no rank."""
    body = json.dumps({"data": [{"title": "No URL"}, {"url": "u"}]}).encode()

    answer, tokens = search.read_search(body, SearchRequest(query="tides"))

    assert [(result.url, result.score) for result in answer.results] == [("u", 1.0)]
    assert tokens is None


@pytest.mark.parametrize(
    "body", [b'{"data": {}}', b'{"data": null}', b"[]", b"{}", b'{"data": [{"url": 7}]}']
)
def test_only_a_list_is_a_result_list(body):
    """Anything else in `data` breaks the contract."""
    with pytest.raises(msgspec.ValidationError):
        search.read_search(body, SearchRequest(query="tides"))


@pytest.mark.parametrize(
    ("meta", "tokens"),
    [
        ({"usage": {"tokens": 10_000}}, 10_000),
        ({"usage": {"tokens": -1}}, None),
        ({"usage": {"tokens": 10**30}}, None),
        ({"usage": {"tokens": float("nan")}}, None),
        ({"usage": {"tokens": True}}, None),
        ({"usage": {"tokens": "many"}}, None),
        ({"usage": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_bill_is_a_count(meta, tokens):
    """Only a whole number of tokens is taken for the charge."""
    assert search.billed_tokens(meta) == tokens


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 10_000),
        ({"max_results": 11}, 20_000),
        ({"max_results": 0}, 0),
        ({"include_raw_content": True}, 70_000),
        ({"include_raw_content": True, "max_results": 20}, 280_000),
    ],
)
def test_an_estimate_follows_the_price_list(fields, tokens):
    """Each started ten has its price; pages cost what pages usually cost."""
    assert search.estimate_tokens(SearchRequest(query="tides", **fields)) == tokens
