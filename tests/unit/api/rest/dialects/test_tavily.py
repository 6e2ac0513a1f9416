"""Tavily's wire format: what its clients send is understood, what they need is in the answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rest.dialects.tavily import (
    parse_extract,
    parse_search,
    parse_search_query,
    render_error,
    render_extract,
    render_search,
)
from orchestrator import limits
from orchestrator.errors import InvalidRequest
from orchestrator.events import Cost
from orchestrator.model import (
    Attempt,
    ExtractRequest,
    Response,
    SearchAnswer,
    SearchRequest,
    SearchResult,
    encode_fragment,
)
from tests.support.fuzzing import outcome, patient

EXECUTION = "01a20727-a6b1-7e53-9c7d-6b1f0f2d8a11"
ALL_OPTIONS: dict[str, Any] = {
    "query": "tides",
    "search_depth": "advanced",
    "topic": "news",
    "max_results": 7,
    "chunks_per_source": 2,
    "time_range": "week",
    "start_date": "2026-01-01",
    "end_date": "2026-02-01",
    "days": 3,
    "include_answer": "advanced",
    "include_raw_content": True,
    "include_images": True,
    "include_image_descriptions": True,
    "include_favicon": True,
    "include_domains": ["a.example"],
    "exclude_domains": ["b.example"],
    "include_domains_mode": "restrict",
    "country": "germany",
    "language": "de",
    "filter_by_language": True,
    "include_published_date": True,
    "filter_by_published_date": True,
    "auto_parameters": True,
    "exact_match": True,
    "safe_search": True,
}
"""Every option of a search, each with a value of its own."""


def search_of(**fields: Any) -> SearchRequest:
    """The request parsed from a body with these fields."""
    return parse_search(json.dumps(fields).encode()).request


def extract_of(**fields: Any) -> ExtractRequest:
    """The request parsed from a body with these fields."""
    return parse_extract(json.dumps(fields).encode()).request


class TestSearchRequests:
    """POST /search."""

    def test_every_option_is_understood(self):
        """No documented option ends among the unknown ones."""
        request = search_of(**ALL_OPTIONS)

        lists = {name: tuple(value) for name, value in ALL_OPTIONS.items() if isinstance(value, list)}
        assert msgspec.structs.asdict(request) == {**ALL_OPTIONS, **lists, "extra": {}}

    def test_the_table_of_options_is_complete(self):
        """A field that is added to the request is added to the test above."""
        assert ALL_OPTIONS.keys() == set(SearchRequest.__struct_fields__) - {"extra"}

    def test_nulls_are_absent(self):
        """Older clients send every option they have as null."""
        nulls = dict.fromkeys([*ALL_OPTIONS, "include_usage", "api_key", "unknown"])

        assert search_of(**{**nulls, "query": "tides"}) == SearchRequest(query="tides")

    def test_empty_lists_are_absent(self):
        """langchain-tavily sends empty lists for "no filter"."""
        assert search_of(query="tides", include_domains=[], exclude_domains=[]) == search_of(query="tides")

    def test_unknown_fields_are_kept(self):
        """What Tavily adds tomorrow passes through today, even under names of ours."""
        request = search_of(query="tides", max_age_hours=3, extra={"a": 1}, timeout_s=4)

        assert request.extra == {"max_age_hours": 3, "extra": {"a": 1}, "timeout_s": 4}

    def test_a_key_in_the_body_is_a_credential(self):
        """The key of old clients is a credential, and never goes on to a provider."""
        asked = parse_search(b'{"query": "tides", "api_key": "tvly-1"}')

        assert asked.credential == "tvly-1"
        assert asked.request.extra == {}

    def test_usage_is_for_us(self):
        """Whether usage is shown changes the envelope, not the search."""
        asked = parse_search(b'{"query": "tides", "include_usage": true}')

        assert asked.wants_usage
        assert asked.request == SearchRequest(query="tides")

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({}, "query"),
            ({"query": None}, "query"),
            ({"query": 5}, "query"),
            ({"query": ["tides"]}, "query"),
            ({"query": "tides", "max_results": "5"}, "max_results"),
            ({"query": "tides", "include_answer": 1}, "include_answer"),
            ({"query": "tides", "include_images": "true"}, "include_images"),
            ({"query": "tides", "include_domains": "a.example"}, "include_domains"),
            ({"query": "tides", "exclude_domains": [1]}, "exclude_domains"),
            ({"query": "tides", "include_usage": "yes"}, "include_usage"),
            ({"query": "tides", "api_key": 5}, "api_key"),
        ],
    )
    def test_a_wrong_type_is_refused_by_name(self, fields: dict[str, Any], field: str):
        """A field of the wrong type is refused, and named."""
        with pytest.raises(InvalidRequest) as refused:
            search_of(**fields)

        assert refused.value.field == field
        assert refused.value.message.startswith(f"{field}")

    def test_deep_unknown_fields_are_refused(self):
        """What is parsed here can be encoded wherever it goes."""
        depth = limits.EXTRA_DEPTH_MAX + 1

        with pytest.raises(InvalidRequest, match="nested deeper"):
            parse_search(b'{"query": "tides", "deep": ' + b"[" * depth + b"]" * depth + b"}")


class TestQueryStrings:
    """GET /search."""

    def test_people_write_q(self):
        """`q` is what people and browsers write."""
        request = parse_search_query(b"q=high+water&max_results=3&include_images=true&topic=news").request

        assert request == SearchRequest(query="high water", max_results=3, include_images=True, topic="news")

    def test_lists_are_repeated_or_separated(self):
        """Both spellings of a list that are common in URLs work, also mixed."""
        request = parse_search_query(
            b"q=tides&include_domains=a.example,b.example&include_domains=c.example"
        ).request

        assert request.include_domains == ("a.example", "b.example", "c.example")

    def test_a_query_stays_text(self):
        """A query of digits or `true` is a query."""
        assert parse_search_query(b"q=true").request.query == "true"
        assert parse_search_query(b"query=2026").request.query == "2026"

    @pytest.mark.parametrize(
        ("query_string", "field"),
        [
            (b"", "q"),
            (b"max_results=3", "q"),
            (b"q=%ff", ""),
            (b"q=\xff", ""),
            (b"q=tides&max_results=many", "max_results"),
            (b"q=tides&max_results=" + b"9" * 5_000, "max_results"),
            (b"q=tides&include_images=yes", "include_images"),
            (b"&".join([b"a=b"] * 1_000), ""),
        ],
    )
    def test_a_bad_query_string_is_refused(self, query_string: bytes, field: str):
        """A URL that is no search says which parameter is at fault."""
        with pytest.raises(InvalidRequest) as refused:
            parse_search_query(query_string)

        assert refused.value.field == field


class TestExtractRequests:
    """POST /extract."""

    def test_one_url_may_be_a_string(self):
        """The Python client sends a single URL as a string, and always a timeout."""
        assert extract_of(urls="https://a.example", timeout=30) == ExtractRequest(
            urls=("https://a.example",), timeout_s=30.0
        )

    def test_every_option_is_understood(self):
        """No documented option ends among the unknown ones."""
        request = extract_of(
            urls=["https://a.example"],
            query="tides",
            chunks_per_source=2,
            extract_depth="advanced",
            format="text",
            include_images=True,
            include_favicon=True,
            timeout=2.5,
            include_usage=True,
            novelty=1,
        )

        assert request == ExtractRequest(
            urls=("https://a.example",),
            query="tides",
            chunks_per_source=2,
            extract_depth="advanced",
            format="text",
            include_images=True,
            include_favicon=True,
            timeout_s=2.5,
            extra={"novelty": 1},
        )

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({}, "urls"),
            ({"urls": None}, "urls"),
            ({"urls": 5}, "urls"),
            ({"urls": {"a": 1}}, "urls"),
            ({"urls": ["https://a.example", 5]}, "urls"),
            ({"urls": "https://a.example", "timeout": "30"}, "timeout"),
            ({"urls": "https://a.example", "format": 5}, "format"),
        ],
    )
    def test_a_wrong_type_is_refused_by_name(self, fields: dict[str, Any], field: str):
        """A field of the wrong type is refused under the name its caller used."""
        with pytest.raises(InvalidRequest) as refused:
            extract_of(**fields)

        assert refused.value.field == field


options = st.dictionaries(
    st.sampled_from([*ALL_OPTIONS, "urls", "timeout", "api_key", "include_usage", "extra", "novelty"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.lists(st.text(max_size=5) | st.integers(), max_size=4)
    | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


@pytest.mark.parametrize("parse", [parse_search, parse_extract, parse_search_query])
@patient
@given(body=st.binary(max_size=200))
def test_no_bytes_break_a_parser(parse: Any, body: bytes):
    """Any bytes give a request or InvalidRequest."""
    asked, refusal = outcome(parse, body)

    assert asked is not None or isinstance(refusal, InvalidRequest)


@pytest.mark.parametrize("parse", [parse_search, parse_extract])
@patient
@given(fields=options)
def test_no_fields_break_a_parser(parse: Any, fields: dict[str, Any]):
    """Any fields of any type give a request or InvalidRequest, and a request never keeps what is for us."""
    asked, refusal = outcome(parse, json.dumps(fields).encode())

    assert (asked is None) == isinstance(refusal, InvalidRequest)
    assert asked is None or not {"api_key", "include_usage"} & asked.request.extra.keys()


RESULT = SearchResult(
    title="Tides", url="https://a.example/", content="High water.", score=0.5, raw_content=None
)
FRAGMENT = encode_fragment(SearchAnswer(results=(RESULT,), answer=None, images=()))


def rendered(response: Response, *, wants_usage: bool = False, query: str = "tides") -> dict[str, Any]:
    """The decoded body of a search answer."""
    body = render_search(query, response, execution_id=EXECUTION, duration_s=0.5, wants_usage=wants_usage)
    value: dict[str, Any] = json.loads(body)
    return value


class TestAnswers:
    """What leaves the gateway."""

    def test_a_search_answer_has_what_clients_read(self):
        """Every member Tavily always sends is there, with its type."""
        body = rendered(Response(fragment=FRAGMENT, result_count=1, provider="tavily"))

        assert body.keys() == {
            *("query", "follow_up_questions", "answer", "images", "results"),
            *("response_time", "request_id", "amos"),
        }
        assert body["follow_up_questions"] is None
        assert body["answer"] is None
        assert body["images"] == []
        assert body["response_time"] == 0.5
        assert body["request_id"] == EXECUTION
        assert body["results"][0] == {
            "title": "Tides",
            "url": "https://a.example/",
            "content": "High water.",
            "score": 0.5,
            "raw_content": None,
        }

    @patient
    @given(st.text())
    def test_the_query_is_echoed_exactly(self, query: str):
        """Whatever can be parsed from JSON can be echoed in it."""
        assert (
            rendered(Response(fragment=FRAGMENT, result_count=1, provider="x"), query=query)["query"] == query
        )

    def test_the_extension_says_why(self):
        """Provider, cache, age, attempts and money are in the answer itself."""
        attempts = (
            Attempt(provider="tavily", outcome="retryable", reason="http_500", duration_s=0.12345678),
            Attempt(provider="jina", outcome="success", reason="", duration_s=1.0),
        )
        response = Response(
            fragment=FRAGMENT,
            result_count=1,
            provider="jina",
            attempts=attempts,
            cost=Cost(amount=10_000, unit="tokens", usd_micros=500),
            unsupported=("topic",),
            notes=("max_results was reduced to 20, the most there is.",),
            is_degraded=True,
        )

        assert rendered(response)["amos"] == {
            "provider": "jina",
            "cache": "miss",
            "age_s": 0.0,
            "stale": False,
            "degraded": True,
            "attempts": [
                {"provider": "tavily", "outcome": "retryable", "reason": "http_500", "duration_s": 0.123457},
                {"provider": "jina", "outcome": "success", "reason": "", "duration_s": 1.0},
            ],
            "credits": 0.0,
            "cost_usd": 0.0005,
            "unsupported": ["topic"],
            "notes": ["max_results was reduced to 20, the most there is."],
            "execution_id": EXECUTION,
        }

    def test_usage_is_there_if_asked_for(self):
        """Credits are a whole number in `usage`, as at Tavily, and exact in `amos`."""
        spent = Response(
            fragment=FRAGMENT, result_count=1, provider="tavily", cost=Cost(amount=1.6, unit="credits")
        )

        assert rendered(spent, wants_usage=True)["usage"] == {"credits": 2}
        assert rendered(spent)["amos"]["credits"] == 1.6
        assert "usage" not in rendered(spent)

    def test_an_extract_answer_has_what_clients_read(self):
        """Both lists are there, whatever they hold."""
        fragment = b'"results":[],"failed_results":[{"url":"https://a.example","error":"Gone."}]'
        response = Response(fragment=fragment, result_count=0, provider="")

        body = json.loads(render_extract(response, execution_id=EXECUTION, duration_s=0.1, wants_usage=True))

        assert body["results"] == []
        assert body["failed_results"] == [{"url": "https://a.example", "error": "Gone."}]
        assert body["usage"] == {"credits": 0}
        assert body["request_id"] == EXECUTION

    def test_an_error_speaks_where_clients_listen(self):
        """The sentence is in detail.error; what we add stands beside it."""
        attempt = Attempt(provider="tavily", outcome="skipped", reason="circuit_open", duration_s=0.0)

        body = json.loads(
            render_error("No.", code="all_providers_failed", execution_id=EXECUTION, attempts=(attempt,))
        )

        assert body["detail"] == {"error": "No."}
        assert body["amos"]["execution_id"] == EXECUTION
        assert body["amos"]["attempts"][0]["reason"] == "circuit_open"
        assert json.loads(render_error("No.", code="not_found"))["amos"] == {"code": "not_found"}
