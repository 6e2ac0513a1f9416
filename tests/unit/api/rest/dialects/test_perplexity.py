"""Perplexity's fields become ours, ours become its answer, and what nobody can do is said."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from api.rest.dialects.dialect import Outcome
from api.rest.dialects.perplexity import (
    IGNORED_SHOWN_MAX,
    SEARCH,
    Asked,
    parse,
    render,
    render_error,
    render_several,
)
from orchestrator.errors import InvalidRequest, RateLimited
from orchestrator.model import Response, SearchAnswer, SearchRequest, SearchResult, encode_fragment


def asked(**fields: Any) -> Asked:
    """The question in a body with these fields and a query."""
    return parse(json.dumps({"query": "tides", **fields}).encode())


def found(*urls: str, content: str = "High water.", published_date: str | None = None) -> Response:
    """An answer with these pages."""
    results = tuple(
        SearchResult(
            title=f"T{place}",
            url=url,
            content=content,
            score=1 / place,
            raw_content=None,
            published_date=published_date,
        )
        for place, url in enumerate(urls, 1)
    )
    answer = SearchAnswer(results=results, answer=None, images=())
    return Response(fragment=encode_fragment(answer), result_count=len(urls), provider="tavily")


def shown(question: Asked, response: Response) -> dict[str, Any]:
    """The answer as a client reads it."""
    body: dict[str, Any] = json.loads(render(question, response, execution_id="e1"))
    return body


class TestQuestions:
    """From Perplexity's fields to ours."""

    def test_a_bare_query_asks_for_ten_results(self):
        """Perplexity's default number, not the native one."""
        assert asked().requests == (SearchRequest(query="tides", max_results=10),)

    @pytest.mark.parametrize(
        ("fields", "ours"),
        [
            ({"max_results": 3}, {"max_results": 3}),
            (
                {"search_domain_filter": ["a.example", "-b.example"]},
                {"include_domains": ("a.example",), "exclude_domains": ("b.example",)},
            ),
            ({"search_recency_filter": "week"}, {"time_range": "week"}),
            ({"search_recency_filter": "hour"}, {"time_range": "day"}),
            (
                {"search_after_date_filter": "3/1/2026", "search_before_date_filter": "10/31/2026"},
                {"start_date": "2026-03-01", "end_date": "2026-10-31"},
            ),
            ({"country": "DE"}, {"country": "DE"}),
            ({"search_language_filter": ["de"]}, {"language": "de", "filter_by_language": True}),
            ({"search_language_filter": ["de", "fr"]}, {}),
            ({"search_type": "fast"}, {"search_depth": "fast"}),
            ({"search_mode": "web", "search_type": "web"}, {}),
            ({"topic": "news", "include_raw_content": True}, {"topic": "news", "include_raw_content": True}),
            ({"max_tokens": 100, "display_server_time": True, "search_mode": "academic"}, {}),
            ({"model": "x", "search_tool_name": "y", "metadata": {"user": 1}, "api_key": "k"}, {}),
            ({"country": None, "search_domain_filter": None, "max_tokens": None}, {}),
        ],
    )
    def test_fields_become_ours(self, fields: dict[str, Any], ours: dict[str, Any]):
        """What has a meaning here takes it; what has none changes no question, and so no cache entry."""
        assert asked(**fields).request == SearchRequest(**{"query": "tides", "max_results": 10, **ours})

    def test_what_nobody_can_do_is_named(self):
        """Its own fields first, then those it does not have; routing names mean nothing and are not named."""
        question = asked(
            search_mode="sec",
            search_type="people",
            search_context_size="low",
            search_language_filter=["de", "fr"],
            last_updated_after_filter="1/1/2026",
            search_tool_name="web",
            temperature=1,
        )

        assert shown(question, found())["amos"]["unsupported"] == [
            *("last_updated_after_filter", "search_context_size", "search_language_filter", "search_mode"),
            *("search_type", "temperature"),
        ]

    def test_names_of_the_caller_s_making_are_bounded(self):
        """A thousand unknown fields do not come back as a thousand names."""
        unsupported = asked(**{f"{n}" + "x" * 1_000: 1 for n in range(1_000)}).unsupported

        assert len(unsupported) == IGNORED_SHOWN_MAX
        assert max(map(len, unsupported)) == 40

    def test_an_hour_is_told_as_a_day(self):
        """The answer may be older than was asked for, so it says so."""
        assert "taken as day" in shown(asked(search_recency_filter="hour"), found())["amos"]["notes"][0]

    def test_the_same_query_twice_is_one_search(self):
        """A list is searched without what it asks again, in the order it asks."""
        question = asked(query=["tides", "  TIDES ", "ebb", "tides", "ti\u200bdes"])

        assert [one.query for one in question.requests] == ["tides", "ebb"]

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "body is empty"),
            (b"{", "not valid JSON"),
            (b"[]", "must be a JSON object"),
            (b"\xff", "not valid JSON"),
            (b"{}", "query: Query is missing"),
            (b'{"query": []}', "query: Query is missing"),
            (b'{"query": 7}', "query: expected a string or a list"),
            (b'{"query": [7]}', "query[0]: expected a string"),
            (b'{"query": ["tides", ""]}', "query: Query is missing"),
            (b'{"query": ["tides", "%b"]}' % (b"x" * 401), "too long"),
            (b'{"query": ["ab","ac","ad","ae","af","ag"]}', "At most 5"),
            (json.dumps({"query": ["tide"] * 100_000}).encode(), "At most 5"),
            (b'{"query": "tides", "max_results": 0}', "max_results: Must be 1"),
            (b'{"query": "tides", "max_results": "5"}', "max_results: expected an integer"),
            (b'{"query": "tides", "max_results": 1.5}', "max_results: expected an integer"),
            (b'{"query": "tides", "max_tokens": 0}', "max_tokens: Must be 1"),
            (b'{"query": "tides", "max_tokens_per_page": -1}', "max_tokens_per_page: Must be 1"),
            (b'{"query": "tides", "search_domain_filter": "a.example"}', "search_domain_filter: expected"),
            (b'{"query": "tides", "search_domain_filter": [1]}', "search_domain_filter[0]: expected"),
            (b'{"query": "tides", "search_recency_filter": "decade"}', "search_recency_filter"),
            (b'{"query": "tides", "search_mode": "image"}', "search_mode"),
            (b'{"query": "tides", "search_after_date_filter": "2026-01-01"}', "Expected MM/DD/YYYY"),
            (b'{"query": "tides", "search_before_date_filter": "13/1/2026"}', "Expected MM/DD/YYYY"),
            (
                '{"query": "tides", "search_before_date_filter": "\u0661/1/2026"}'.encode(),
                "Expected MM/DD/YYYY",
            ),
            (
                b'{"query": "tides", "search_recency_filter": "day", "search_after_date_filter": "1/1/2026"}',
                "cannot be combined",
            ),
            (b'{"query": "tides", "display_server_time": "yes"}', "display_server_time: expected true"),
            (b'{"query": "tides", "topic": 7}', "topic: expected a string"),
        ],
    )
    def test_bad_input_is_refused_in_perplexity_s_words(self, body: bytes, words: str):
        """Whatever the bytes, the fault is one sentence that names the field the caller wrote."""
        with pytest.raises(InvalidRequest) as refused:
            parse(body)

        assert words in refused.value.message

    @pytest.mark.parametrize(
        ("field", "message", "expected"),
        [
            (
                "include_domains",
                "include_domains[3]: Not a domain.",
                "search_domain_filter[3]: Not a domain.",
            ),
            ("start_date", "start_date: not after end_date.", "search_after_date_filter"),
            ("query", "query: Query is too long.", "query: Query is too long."),
        ],
    )
    def test_later_faults_are_told_in_its_words_too(self, field: str, message: str, expected: str):
        """The rules behind every door name our fields; the caller reads their own."""
        told = SEARCH.in_its_words(InvalidRequest(message, field=field))

        assert isinstance(told, InvalidRequest)
        assert told.message.startswith(expected)


class TestAnswers:
    """From our results to Perplexity's."""

    def test_an_answer_has_its_members(self):
        """And the object name of LiteLLM, and why this answer."""
        body = shown(asked(), found("https://a.example/", published_date="Mon, 02 Nov 2026 23:30:00 -0200"))

        assert body["object"] == "search"
        assert body["id"] == body["amos"]["execution_id"] == "e1"
        assert body["server_time"] is None
        assert body["results"] == [
            {
                "title": "T1",
                "url": "https://a.example/",
                "snippet": "High water.",
                "date": "2026-11-03",
                "last_updated": None,
            }
        ]

    def test_texts_come_through_as_they_are(self):
        """Quotes, line ends, emoji and half of a tag are the same text on the other side."""
        text = 'Say "high"\n\\ \u2028 \U0001f30a </script>'

        assert shown(asked(), found("https://a.example/", content=text))["results"][0]["snippet"] == text

    @pytest.mark.parametrize(
        ("bounds", "lengths"),
        [
            ({"max_tokens_per_page": 2}, [8, 8]),
            ({"max_tokens": 3}, [12, 0]),
            ({"max_tokens": 4, "max_tokens_per_page": 3}, [12, 4]),
            ({"max_tokens": 1_000_000}, [20, 20]),
        ],
    )
    def test_text_is_cut_to_the_tokens_asked_for(self, bounds: dict[str, int], lengths: list[int]):
        """Each result to its own bound, and all together to theirs; no result is dropped."""
        answer = found("https://a.example/", "https://b.example/", content="€" * 20)

        snippets = [one["snippet"] for one in shown(asked(**bounds), answer)["results"]]
        assert [len(snippet) for snippet in snippets] == lengths

    def test_server_time_is_told_if_wanted(self):
        """As ISO 8601 with its zone."""
        assert shown(asked(display_server_time=True), found())["server_time"].endswith("+00:00")

    @pytest.mark.parametrize("written", ["yesterday", "", "Mon, 99 Foo 2026"])
    def test_a_date_nobody_can_read_is_none(self, written: str):
        """A wrong date would be believed."""
        answer = found("https://a.example/", published_date=written)

        assert shown(asked(), answer)["results"][0]["date"] is None

    def test_several_answers_are_taken_in_turn(self):
        """The best of each first, a page that two found once, no more than were asked for."""
        question = asked(query=["tides", "ebb", "flood"], max_results=4)
        answers = [
            found("https://a.example/", "https://b.example/", "https://c.example/"),
            found("https://b.example/", "https://d.example/"),
            None,
        ]
        outcomes = [
            Outcome(
                request=request,
                execution_id=f"e{place}",
                response=response,
                error=None if response else RateLimited("Slow down."),
            )
            for place, (request, response) in enumerate(zip(question.requests, answers, strict=True), 1)
        ]

        body = json.loads(render_several(question, outcomes))
        assert [one["url"][8] for one in body["results"]] == ["a", "b", "d", "c"]
        assert body["id"] == "e1"
        assert [(one["query"], one["execution_id"]) for one in body["amos"]["searches"]] == [
            *(("tides", "e1"), ("ebb", "e2"), ("flood", "e3"))
        ]
        assert body["amos"]["searches"][2]["code"] == "rate_limited"

    def test_an_error_has_its_envelope(self):
        """Message, type and number are where its clients print them from."""
        body = json.loads(render_error("No.", status=400, code="invalid_request", execution_id="e1"))

        assert body["error"] == {"message": "No.", "type": "invalid_request", "code": 400}
        assert body["amos"] == {"code": "invalid_request", "execution_id": "e1", "attempts": []}


def test_an_entry_of_any_size_is_told():
    """Twenty results of the longest texts there may be pass as they are."""
    answer = found(*(f"https://a.example/{n}" for n in range(20)), content="x" * 20_000)

    assert len(shown(asked(max_results=20), answer)["results"]) == 20
    assert msgspec.json.decode(render(asked(), answer, execution_id="e1"))
