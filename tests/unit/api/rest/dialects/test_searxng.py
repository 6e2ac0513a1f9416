"""SearXNG's parameters become our fields, its members are filled, and there are honest pages."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.exceptions import HTTPException

from api.rest.dialects.searxng import parse, render, render_error
from orchestrator.errors import InvalidRequest
from orchestrator.model import Attempt, Response, SearchAnswer, SearchRequest, SearchResult, encode_fragment


def query(**given: Any) -> bytes:
    """A query string with a question."""
    return urlencode({"q": "tides", "format": "json", **given}).encode()


def found(count: int, *, attempts: tuple[Attempt, ...] = ()) -> Response:
    """An answer with so many results."""
    results = tuple(
        SearchResult(
            title=f"T{n}",
            url=f"https://{n}.example/",
            content="Ebb.",
            score=1 / n,
            raw_content=None,
            published_date="2026-11-02",
        )
        for n in range(1, count + 1)
    )
    answer = SearchAnswer(results=results, answer=None, images=())
    fragment = encode_fragment(answer)
    return Response(fragment=fragment, result_count=count, provider="jina", attempts=attempts)


@pytest.mark.parametrize(
    ("given", "ours", "unsupported"),
    [
        ({}, {}, ()),
        ({"categories": "general"}, {}, ()),
        ({"categories": "news"}, {"topic": "news"}, ()),
        ({"categories": "general,news"}, {}, ()),
        ({"categories": "images"}, {}, ("categories",)),
        ({"language": "en-US"}, {"language": "en"}, ()),
        ({"language": "zh_Hans_CN"}, {"language": "zh"}, ()),
        ({"language": "all"}, {}, ()),
        ({"language": "auto"}, {}, ()),
        ({"time_range": "month"}, {"time_range": "month"}, ()),
        ({"safesearch": 0}, {}, ()),
        ({"safesearch": 1}, {}, ("safesearch",)),
        ({"safesearch": 2}, {"safe_search": True}, ()),
        ({"pageno": 2}, {"max_results": 20}, ()),
        ({"pageno": 7}, {"max_results": 20}, ()),
        ({"engines": "google,bing"}, {}, ("engines",)),
        # As Open WebUI sends it.
        (
            {"pageno": 1, "safesearch": "1", "language": "all", "time_range": "", "categories": ""}
            | {"theme": "simple", "image_proxy": 0},
            {},
            ("safesearch",),
        ),
        ({"format": ""}, {}, ()),
        ({"api_key": "k", "x": "1"}, {}, ()),
    ],
)
def test_parameters_become_fields(given: dict[str, Any], ours: dict[str, Any], unsupported: tuple[str, ...]):
    """What has a meaning here takes it, what nobody can do is named, what changes nothing is passed over."""
    asked = parse(b"", query(**given))

    assert asked.request == SearchRequest(**{"query": "tides", "max_results": 10, **ours})
    assert asked.unsupported == unsupported
    assert asked.credential is None


def test_a_form_wins_over_the_query_string():
    """An instance reads both; of a parameter given twice the last counts."""
    asked = parse(b"q=ebb&q=flood", b"q=tides&pageno=2&format=json")

    assert (asked.request.query, asked.page) == ("flood", 2)


@pytest.mark.parametrize(
    ("body", "query_string", "words"),
    [
        (b"", b"", "q: No query"),
        (b"", b"format=json", "q: No query"),
        (b"", b"q=", "q: No query"),
        (b"", b"q=%20%09", "q: No query"),
        (b'{"q": "tides"}', b"", "q: No query"),
        (b"\xff\xfe", b"", "percent-encoded"),
        (b"", b"q=%ff", "percent-encoded"),
        (b"", b"q=tides&pageno=0", "pageno: expected a number from 1"),
        (b"", b"q=tides&pageno=-1", "pageno"),
        (b"", b"q=tides&pageno=1001", "pageno"),
        (b"", b"q=tides&pageno=" + b"9" * 5_000, "pageno"),
        (b"", "q=tides&pageno=²".encode(), "percent-encoded"),
        (b"", b"q=tides&pageno=%C2%B2", "pageno"),
        (b"", b"q=tides&safesearch=3", "safesearch: expected a number from 0 to 2"),
        (b"", b"q=tides&safesearch=strict", "safesearch"),
        (b"", b"q=tides&time_range=decade", "time_range: expected one of day"),
        (b"", b"q=tides&language=english", "language: expected a code"),
        (b"", b"q=tides&language=" + b"en-" * 1_000, "language"),
        (b"q=tides" + b"&x=1" * 100_000, b"", "more than 400"),
    ],
)
def test_bad_input_is_refused_in_its_words(body: bytes, query_string: bytes, words: str):
    """Whatever the bytes, the fault is one sentence that names the parameter."""
    with pytest.raises(InvalidRequest) as refused:
        parse(body, query_string)

    assert words in refused.value.message


@pytest.mark.parametrize("name", ["html", "csv", "rss", "JSON", "x"])
def test_another_format_is_forbidden(name: str):
    """An instance answers 403 for a format that is not switched on; only JSON is here."""
    with pytest.raises(HTTPException) as refused:
        parse(b"", query(format=name))

    assert refused.value.status_code == 403


def test_an_answer_has_its_members():
    """Providers are its engines; those that failed are unresponsive."""
    attempts = (
        Attempt(provider="tavily", outcome="final", reason="timeout", duration_s=1.0),
        Attempt(provider="jina", outcome="success", reason="", duration_s=0.5),
    )

    body = json.loads(
        render(parse(b"", query(engines="bing")), found(1, attempts=attempts), execution_id="e1")
    )

    assert body.pop("amos")["unsupported"] == ["engines"]
    assert body == {
        "query": "tides",
        "number_of_results": 1,
        "results": [
            {
                "title": "T1",
                "url": "https://1.example/",
                "content": "Ebb.",
                "engine": "jina",
                "engines": ["jina"],
                "positions": [1],
                "score": 1.0,
                "category": "general",
                "publishedDate": "2026-11-02T00:00:00",
                "template": "default.html",
            }
        ],
        **{name: [] for name in ("answers", "corrections", "infoboxes", "suggestions")},
        "unresponsive_engines": [["tavily", "timeout"]],
    }


@pytest.mark.parametrize(
    ("page", "count", "places"),
    [(1, 20, range(1, 11)), (2, 20, range(11, 21)), (2, 13, range(11, 14)), (3, 20, ()), (2, 4, ())],
)
def test_there_are_two_pages(page: int, count: int, places: range):
    """Ten results each, and whoever turns pages until one is empty comes to an end."""
    body = json.loads(render(parse(b"", query(pageno=page)), found(count), execution_id="e1"))

    assert [one["positions"] for one in body["results"]] == [[place] for place in places]


def test_an_error_is_told_in_its_member():
    """As an instance does in JSON."""
    body = json.loads(render_error("No.", status=503, code="deadline_exceeded", execution_id="e1"))

    assert body["error"] == "No."
    assert body["amos"] == {"code": "deadline_exceeded", "execution_id": "e1", "attempts": []}
