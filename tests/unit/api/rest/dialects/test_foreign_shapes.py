"""What the document says of the dialects' answers is what they write, member by member."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from api.rest.dialects import openwebui, perplexity, searxng
from api.rest.dialects.foreign_shapes import (
    OpenWebuiPage,
    OpenWebuiResult,
    PerplexityAnswer,
    PerplexityResult,
    SearxngAnswer,
    SearxngResult,
)
from orchestrator.model import Page, Response, SearchAnswer, SearchResult, encode_fragment

_FOUND = Response(
    fragment=encode_fragment(
        SearchAnswer(
            results=(
                SearchResult(
                    title="T",
                    url="https://a.example/",
                    content="C",
                    score=0.5,
                    raw_content=None,
                    published_date="2026-11-02",
                ),
            ),
            answer=None,
            images=(),
        )
    ),
    result_count=1,
    provider="tavily",
)
_PAGES = Response(
    fragment=msgspec.json.encode({"results": [Page(url="https://a.example/", raw_content="R", title="T")]})[
        1:-1
    ],
    result_count=1,
    provider="tavily",
)
_WEBUI = openwebui.parse_search(b'{"query": "tides"}')

ANSWERS: dict[str, tuple[bytes, Any, list[tuple[str, Any]]]] = {
    "perplexity": (
        perplexity.render(perplexity.parse(b'{"query": "tides"}'), _FOUND, execution_id="e1"),
        PerplexityAnswer,
        [("results", PerplexityResult)],
    ),
    "searxng": (
        searxng.render(searxng.parse(b"", b"q=tides"), _FOUND, execution_id="e1"),
        SearxngAnswer,
        [("results", SearxngResult)],
    ),
    "openwebui": (openwebui.render_search(_WEBUI, _FOUND), list[OpenWebuiResult], [("", OpenWebuiResult)]),
    "openwebui load": (
        openwebui.render_load(openwebui.parse_load(b'{"urls": "https://a.example/"}'), _PAGES),
        list[OpenWebuiPage],
        [("", OpenWebuiPage)],
    ),
}


@pytest.mark.parametrize(("body", "kind", "lists"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_what_is_described(body: bytes, kind: Any, lists: list[tuple[str, Any]]):
    """It has the types that are shown, and neither more nor fewer members."""
    msgspec.json.decode(body, type=kind)

    answer = json.loads(body)
    if isinstance(answer, dict):
        assert set(answer) == {field.encode_name for field in msgspec.structs.fields(kind)}
    for member, each in lists:
        (first,) = answer[member] if member else answer
        assert set(first) == {field.encode_name for field in msgspec.structs.fields(each)}
