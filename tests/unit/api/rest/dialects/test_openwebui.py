"""What Open WebUI sends is understood, and it gets the lists it reads."""

from __future__ import annotations

import json

import msgspec
import pytest

from api.rest.dialects.openwebui import (
    SEARCH,
    parse_load,
    parse_search,
    render_error,
    render_load,
    render_search,
)
from orchestrator.errors import InvalidRequest
from orchestrator.model import (
    ExtractAnswer,
    ExtractRequest,
    Page,
    PageFailure,
    Response,
    SearchAnswer,
    SearchRequest,
    SearchResult,
    encode_fragment,
)

PAGES = ["https://a.example/", "https://b.example/"]


def test_a_search_is_understood():
    """Query and count are all there is; what else is sent is passed over."""
    asked = parse_search(b'{"query": "tides", "count": 3, "user": {"id": 1}, "api_key": "k"}')

    assert asked.request == SearchRequest(query="tides", max_results=3)
    assert asked.credential is None
    assert parse_search(b'{"query": "tides", "count": null}').request == SearchRequest(query="tides")


def test_pages_to_load_are_understood():
    """A list, or a single one."""
    assert parse_load(json.dumps({"urls": PAGES}).encode()).request == ExtractRequest(urls=tuple(PAGES))
    assert parse_load(b'{"urls": "https://a.example/"}').request.urls == ("https://a.example/",)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "body is empty"),
        (b"null", "must be a JSON object"),
        (b'{"query": null}', "query: Query is missing"),
        (b'{"query": ["tides"]}', "query: expected a string"),
        (b'{"query": "tides", "count": "3"}', "count: expected an integer"),
        (b'{"query": "tides", "count": 2.5}', "count: expected an integer"),
    ],
)
def test_a_bad_search_is_refused_in_its_words(body: bytes, words: str):
    """The field is named as the caller wrote it."""
    with pytest.raises(InvalidRequest) as refused:
        parse_search(body)

    assert words in refused.value.message


@pytest.mark.parametrize("body", [b"{}", b'{"urls": null}', b'{"urls": {}}', b'{"urls": [1]}', b"[]"])
def test_a_bad_load_is_refused(body: bytes):
    """Nothing is read."""
    with pytest.raises(InvalidRequest):
        parse_load(body)


def test_a_later_fault_is_told_in_its_words():
    """The rule behind every door says max_results; the caller wrote count."""
    told = SEARCH.in_its_words(InvalidRequest("max_results: Must be 0 or more.", field="max_results"))

    assert str(told) == "count: Must be 0 or more."


def test_results_are_a_list():
    """With the three members it reads."""
    result = SearchResult(title="T", url=PAGES[0], content='"C"', score=1.0, raw_content=None)
    answer = SearchAnswer(results=(result,), answer=None, images=())
    response = Response(fragment=encode_fragment(answer), result_count=1, provider="tavily")

    body = render_search(parse_search(b'{"query": "tides"}'), response)

    assert json.loads(body) == [{"link": PAGES[0], "title": "T", "snippet": '"C"'}]


def test_pages_are_a_list():
    """A page that could not be read is not in it."""
    answer = ExtractAnswer(
        pages=(Page(url=PAGES[0], raw_content="# A", title="A"), Page(url=PAGES[1], raw_content="B")),
        failures=(PageFailure(url="https://c.example/", error="Gone."),),
    )
    fragment = msgspec.json.encode({"results": answer.pages, "failed_results": answer.failures})[1:-1]

    body = render_load(
        parse_load(json.dumps({"urls": PAGES}).encode()),
        Response(fragment=fragment, result_count=2, provider="tavily"),
    )

    assert json.loads(body) == [
        {"page_content": "# A", "metadata": {"source": PAGES[0], "title": "A"}},
        {"page_content": "B", "metadata": {"source": PAGES[1]}},
    ]


def test_an_error_says_its_detail():
    """As its own API does."""
    body = json.loads(render_error("No.", status=401, code="unauthenticated", execution_id="e1"))

    assert body == {"detail": "No.", "code": "unauthenticated", "execution_id": "e1"}
