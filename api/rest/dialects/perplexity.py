"""Perplexity's Search API, which is also what LiteLLM's proxy speaks under `/v1/search`.

The fields are those of the client perplexityai 0.46 and of
https://docs.perplexity.ai/api-reference/search-post, read on 2026-11-30. Fields that are native ones
(`topic`, `search_depth`, ...) are taken as such, because clients of LiteLLM send a provider's own options
beside the common ones. What no provider of ours can do is passed over and named in `amos.unsupported`, and so
are unknown fields: LiteLLM's clients send several that mean nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from itertools import zip_longest
from typing import Any, Literal

import msgspec

from api.rest.dialects import tavily
from api.rest.dialects.dialect import Dialect, Outcome
from api.rest.dialects.fields import build, decode_object
from api.rest.dialects.found import Hit, Remembered, day, encoded, hits_of, text_of
from orchestrator.canonical import search_key
from orchestrator.errors import InvalidRequest
from orchestrator.filters.validate import check_search
from orchestrator.model import Attempt, Response, SearchRequest

NAME = "perplexity"

RESULTS_DEFAULT = 10
"""Perplexity: `max_results` when it is not given."""

QUERIES_MAX = 5
"""Perplexity: "up to 5 queries in a single request"."""

CHARS_PER_TOKEN = 4
"""chosen: what English takes on the average in common tokenisers; only the length of a text depends on it."""

IGNORED_SHOWN_MAX = 32
"""chosen: so many unknown fields are named in the answer; who sends more knows that they are not options."""

IGNORED_CHARS_MAX = 40
"""chosen: a longer name is cut there."""

_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_NATIVE = frozenset(SearchRequest.__struct_fields__) - {"extra", "query", "max_results", "country"}
_PLAIN = frozenset({"query", "max_results"})
_DEFAULTS = {"max_results": RESULTS_DEFAULT}
_ROUTING = frozenset({"search_tool_name", "model"})

_encode = msgspec.json.Encoder().encode


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a request, as the client's types have them."""

    query: str | tuple[str, ...]
    max_results: int = RESULTS_DEFAULT
    max_tokens: int | None = None
    max_tokens_per_page: int | None = None
    search_domain_filter: tuple[str, ...] = ()
    search_recency_filter: Literal["hour", "day", "week", "month", "year"] | None = None
    search_after_date_filter: str | None = None
    search_before_date_filter: str | None = None
    last_updated_after_filter: str | None = None
    last_updated_before_filter: str | None = None
    search_language_filter: tuple[str, ...] = ()
    search_mode: Literal["web", "academic", "sec"] | None = None
    search_type: Literal["web", "fast", "people"] | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    country: str | None = None
    display_server_time: bool = False


_FIELDS = frozenset(Body.__struct_fields__)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One search or several, and what of their answer is wanted. `None` does not bound the text."""

    requests: tuple[SearchRequest, ...]
    chars_max: int | None = None
    chars_per_result_max: int | None = None
    shows_time: bool = False
    unsupported: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    credential: str | None = None

    @property
    def request(self) -> SearchRequest:
        """The first search, usually the only one."""
        return self.requests[0]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong: a sentence for a person, our code for programs, and the status."""

    message: str
    type: str
    code: int


class PerplexityError(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as Perplexity's clients show it, and our addition."""

    error: Fault
    amos: tavily.AmosOfError


class _Result(msgspec.Struct, frozen=True, gc=False):
    title: msgspec.Raw
    url: msgspec.Raw
    snippet: msgspec.Raw | str
    date: str | None
    last_updated: str | None = None


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "search"
    id: str
    results: msgspec.Raw
    server_time: str | None
    amos: Any


# --- requests -----------------------------------------------------------------------------------------------


def parse(body: bytes, _query_string: bytes = b"") -> Asked:
    """The question in a JSON body. Raises InvalidRequest, whatever the bytes."""
    given = {name: value for name, value in decode_object(body).items() if value is not None}
    queries = given.get("query")
    if queries is None or queries == []:
        raise InvalidRequest("query: Query is missing.", field="query")
    if isinstance(queries, list) and len(queries) > QUERIES_MAX:
        raise InvalidRequest(f"query: At most {QUERIES_MAX} queries are allowed.", field="query")
    if isinstance(queries, str) and given.keys() <= _PLAIN:
        # Most questions are no more than this, and take a third of the time of the others.
        plain = build(SearchRequest, _DEFAULTS | given)
        _check_count(plain.limit)
        return Asked(requests=(plain,))
    asked = build(Body, {name: value for name, value in given.items() if name in _FIELDS})
    _check_count(asked.max_results)
    options = {**_options(asked), **{name: value for name, value in given.items() if name in _NATIVE}}
    texts = (asked.query,) if isinstance(asked.query, str) else asked.query
    is_hour = asked.search_recency_filter == "hour"
    return Asked(
        requests=_different([build(SearchRequest, {**options, "query": text}) for text in texts]),
        chars_max=_chars("max_tokens", asked.max_tokens),
        chars_per_result_max=_chars("max_tokens_per_page", asked.max_tokens_per_page),
        shows_time=asked.display_server_time,
        unsupported=(*_unsupported(asked), *_unknown(given)),
        notes=("search_recency_filter hour was taken as day, the shortest there is.",) if is_hour else (),
    )


def _check_count(max_results: int) -> None:
    if max_results < 1:
        raise InvalidRequest("max_results: Must be 1 or more.", field="max_results")


def _options(asked: Body) -> dict[str, Any]:
    """What is the same for every query, in our vocabulary. Raises InvalidRequest."""
    recency = asked.search_recency_filter
    after = _iso("search_after_date_filter", asked.search_after_date_filter)
    before = _iso("search_before_date_filter", asked.search_before_date_filter)
    if recency and (after or before):
        raise InvalidRequest(
            "search_recency_filter: It cannot be combined with a date filter.", field="search_recency_filter"
        )
    domains = asked.search_domain_filter
    options: dict[str, Any] = {
        "max_results": asked.max_results,
        "time_range": "day" if recency == "hour" else recency,
        "start_date": after,
        "end_date": before,
        "country": asked.country,
        "search_depth": "fast" if asked.search_type == "fast" else None,
        "include_domains": [name for name in domains if not name.startswith("-")],
        "exclude_domains": [name[1:] for name in domains if name.startswith("-")],
    }
    if len(asked.search_language_filter) == 1:
        options |= {"language": asked.search_language_filter[0], "filter_by_language": True}
    return options


def _iso(field: str, text: str | None) -> str | None:
    """A date as `YYYY-MM-DD`. Perplexity writes `MM/DD/YYYY`, with or without leading zeros."""
    if not text:
        return None
    found = _DATE.fullmatch(text)
    try:
        if found is not None and text.isascii():
            return date(int(found[3]), int(found[1]), int(found[2])).isoformat()
    except ValueError:
        pass
    raise InvalidRequest(f"{field}: Invalid date. Expected MM/DD/YYYY.", field=field)


def _chars(field: str, tokens: int | None) -> int | None:
    if tokens is None:
        return None
    if tokens < 1:
        raise InvalidRequest(f"{field}: Must be 1 or more.", field=field)
    return tokens * CHARS_PER_TOKEN


def _different(requests: Sequence[SearchRequest]) -> tuple[SearchRequest, ...]:
    """The requests without those that ask the same again. Raises InvalidRequest before any is asked."""
    if len(requests) == 1:
        return tuple(requests)
    different: dict[str, SearchRequest] = {}
    for request in requests:
        try:
            checked, _ = check_search(request)
        except InvalidRequest as error:
            raise SEARCH.in_its_words(error) from error
        different.setdefault(search_key(checked), request)
    return tuple(different.values())


def _unsupported(asked: Body) -> list[str]:
    """Which fields ask for what nobody here can do."""
    wishes = {
        "last_updated_after_filter": asked.last_updated_after_filter,
        "last_updated_before_filter": asked.last_updated_before_filter,
        "search_context_size": asked.search_context_size,
        "search_language_filter": len(asked.search_language_filter) > 1,
        "search_mode": asked.search_mode not in (None, "web"),
        "search_type": asked.search_type == "people",
    }
    return [name for name, is_wished in wishes.items() if is_wished]


def _unknown(given: Iterable[str]) -> list[str]:
    names = [name for name in given if name not in _FIELDS and name not in _NATIVE and name not in _ROUTING]
    return [name[:IGNORED_CHARS_MAX] for name in names[:IGNORED_SHOWN_MAX]]


# --- answers ------------------------------------------------------------------------------------------------


def render(asked: Asked, response: Response, *, execution_id: str, duration_s: float = 0.0) -> bytes:
    """The answer to one search."""
    why = tavily.why(response, execution_id, unsupported=asked.unsupported, notes=asked.notes)
    if asked.chars_max is None and asked.chars_per_result_max is None:
        return _answer(asked, _results(response.fragment), execution_id, why)
    return _answer(asked, _cut(asked, hits_of(response.fragment)), execution_id, why)


def render_several(asked: Asked, outcomes: Sequence[Outcome]) -> bytes:
    """The answer to several searches: their results in turn, best first, each page once.

    `max_results` is the most of all together. A search that failed is told in `amos.searches`, beside those
    that did not; there is one that did not.
    """
    found = [() if one.response is None else hits_of(one.response.fragment) for one in outcomes]
    merged: dict[bytes, Hit] = {}
    for row in zip_longest(*found):
        for hit in row:
            if hit is not None:
                merged.setdefault(bytes(hit.url), hit)
    why = {"searches": [_why_one(asked, one) for one in outcomes]}
    best = _cut(asked, list(merged.values())[: asked.request.limit])
    return _answer(asked, best, outcomes[0].execution_id, why)


def _why_one(asked: Asked, outcome: Outcome) -> dict[str, Any]:
    why: dict[str, Any] = {"query": outcome.request.query}
    if outcome.response is not None:
        answered = tavily.why(
            outcome.response, outcome.execution_id, unsupported=asked.unsupported, notes=asked.notes
        )
        return why | msgspec.structs.asdict(answered)
    error = outcome.error
    assert error is not None  # it is one or the other
    return why | {"code": error.code, "error": error.message, "execution_id": outcome.execution_id}


@Remembered
def _results(fragment: bytes) -> msgspec.Raw:
    return encoded(
        [_Result(hit.title, hit.url, hit.content, day(hit.published_date)) for hit in hits_of(fragment)]
    )


def _cut(asked: Asked, hits: Sequence[Hit]) -> msgspec.Raw:
    """The results with their texts cut to the lengths asked for."""
    most, left = asked.chars_per_result_max, asked.chars_max
    results = []
    for hit in hits:
        snippet = text_of(hit.content)[:most][:left]
        left = None if left is None else left - len(snippet)
        results.append(_Result(hit.title, hit.url, snippet, day(hit.published_date)))
    return encoded(results)


def _answer(asked: Asked, results: msgspec.Raw, execution_id: str, why: Any) -> bytes:
    return _encode(
        _Answer(
            id=execution_id,
            results=results,
            server_time=datetime.now(UTC).isoformat(timespec="seconds") if asked.shows_time else None,
            amos=why,
        )
    )


def render_error(
    message: str, *, status: int, code: str, execution_id: str = "", attempts: Sequence[Attempt] = ()
) -> bytes:
    """An error in Perplexity's envelope; `type` is our code."""
    amos = tavily.amos_of_error(code, execution_id, attempts)
    return _encode(PerplexityError(error=Fault(message=message, type=code, code=status), amos=amos))


SEARCH = Dialect(
    name=NAME,
    parsers={"POST": parse},
    render=render,
    render_several=render_several,
    words={
        "include_domains": "search_domain_filter",
        "exclude_domains": "search_domain_filter",
        "start_date": "search_after_date_filter",
        "end_date": "search_before_date_filter",
        "time_range": "search_recency_filter",
        "language": "search_language_filter",
    },
)
"""One search or up to five in one call."""
