"""What is kept of a search is enough to ask it again, and no more."""

from __future__ import annotations

import json

import pytest

from orchestrator.asked import OPTIONS_BYTES_MAX, asked_again, options_of
from orchestrator.canonical import search_key
from orchestrator.model import SearchRequest

SEARCHES = (
    SearchRequest(query="tide tables"),
    SearchRequest(query="Tide  TABLES", topic="news", max_results=7, days=3, include_answer="advanced"),
    SearchRequest(query="q", include_domains=("b.example", "a.example"), exact_match=True, country="france"),
    SearchRequest(query="q", extra={"depth": [1, {"x": None}], "ümlaut": "\0"}, auto_parameters=True),
)


@pytest.mark.parametrize("request_", SEARCHES)
def test_a_search_comes_back_as_it_was(request_):
    """Text and options together are the search, and so have its key."""
    again = asked_again(request_.query, options_of(request_))

    assert again == request_
    assert search_key(again) == search_key(request_)


def test_only_what_was_asked_for_is_kept():
    """Options hold neither the query nor a default."""
    assert options_of(SearchRequest(query="tide tables")) == "{}"
    assert json.loads(options_of(SearchRequest(query="tide tables", topic="news"))) == {"topic": "news"}


def test_too_much_is_not_kept():
    """Options that would make a frame too large are left out whole."""
    domains = tuple(f"{number:0100}.example" for number in range(OPTIONS_BYTES_MAX // 100))

    assert options_of(SearchRequest(query="q", include_domains=domains)) == ""


@pytest.mark.parametrize(
    "options", ["", "{}", '{"a_field_of_another_version": 1}'], ids=["none", "default", "unknown"]
)
def test_a_text_without_options_asks_with_the_defaults(options):
    """Rows of before options were kept, and fields this version does not know, add nothing."""
    assert asked_again("tides", options) == SearchRequest(query="tides")


@pytest.mark.parametrize("options", ["{", "[]", '{"days": "many"}', "[" * 100_000])
def test_what_is_no_search_is_none(options):
    """Broken rows, whatever is in them, are told apart and raise nothing."""
    assert asked_again("tides", options) is None
