"""The wire formats of Perplexity, SearXNG and Open WebUI as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from api.openapi.operation import Schema, Shape, not_both, says
from api.rest.dialects import perplexity, searxng
from api.rest.dialects.tavily import Amos
from api.rest.dialects.tavily_shapes import SEARCH_FIELDS
from orchestrator import limits

_QUERY = SEARCH_FIELDS["query"]
_TEXT: Schema = {"type": "string", **_QUERY}


# --- Perplexity ---------------------------------------------------------------------------------------------

_DAY = {"format": "us-date"}


PERPLEXITY_BODY = Shape(
    name="PerplexitySearchRequest",
    kind=perplexity.Body,
    description="A search in Perplexity's words. The fields of the native search are taken as well; unknown "
    "ones are passed over and named in `amos.unsupported`.",
    fields={
        "query": says(
            f"One query, or up to {perplexity.QUERIES_MAX} that are searched at once.",
            anyOf=[
                _TEXT,
                {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": perplexity.QUERIES_MAX},
            ],
        ),
        "max_results": says(
            f"How many results in all; more than {limits.RESULTS_MAX} are reduced to that.", minimum=1
        ),
        "max_tokens": says(
            f"How long all texts may be together, at {perplexity.CHARS_PER_TOKEN} characters a token.",
            minimum=1,
        ),
        "max_tokens_per_page": says("How long each text may be.", minimum=1),
        "search_domain_filter": says(
            "Only results from these domains; one with a - in front gives none.",
            items={"type": "string", "format": "domain"},
        ),
        "search_recency_filter": says(
            "Only what was published lately; hour is taken as day. Not together with a date."
        ),
        "search_after_date_filter": says("Only what was published on this day or later, MM/DD/YYYY.", **_DAY),
        "search_before_date_filter": says("The same, or earlier; not before the other.", **_DAY),
        "search_language_filter": says("Only results in this language, if it is one."),
        "country": says("Prefer results from this country, by its two-letter code.", format="country"),
        "display_server_time": says("Whether to tell `server_time`."),
        **{
            name: says("Passed over, and named in `amos.unsupported`.")
            for name in ("last_updated_after_filter", "last_updated_before_filter", "search_context_size")
        },
        "search_mode": says("web; others are passed over and named."),
        "search_type": says("fast is the search depth fast; people is passed over and named."),
    },
    is_lenient=True,
    rules={
        "allOf": [
            not_both("search_recency_filter", "search_after_date_filter"),
            not_both("search_recency_filter", "search_before_date_filter"),
        ]
    },
)


class PerplexityResult(msgspec.Struct, frozen=True, kw_only=True):
    """One page; `date` is the day of its publication, if anybody knows."""

    title: str
    url: str
    snippet: str
    date: str | None
    last_updated: None


class AnsweredSearch(Amos, frozen=True, kw_only=True):
    """One of several searches that was answered: its query, and why this answer."""

    query: str


class FailedSearch(msgspec.Struct, frozen=True, kw_only=True):
    """One of several searches that was not answered: its query, and what failed."""

    query: str
    code: str
    error: str
    execution_id: str


_SEARCHES: dict[str, Any] = {
    "type": "object",
    "description": "What became of each query.",
    "properties": {"searches": {"type": "array", "items": {"anyOf": [AnsweredSearch, FailedSearch]}}},
    "required": ["searches"],
}


class PerplexityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, best first; `id` is that of the execution, or of the first of several."""

    object: Literal["search"]
    id: str
    results: tuple[PerplexityResult, ...]
    server_time: str | None
    amos: dict[str, Any]


PERPLEXITY_ANSWER = Shape(
    name="PerplexityAnswer",
    kind=PerplexityAnswer,
    fields={"amos": says("Why this answer; of several queries one for each.", anyOf=[Amos, _SEARCHES])},
)

# --- SearXNG ------------------------------------------------------------------------------------------------


class SearxngQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of an instance that mean something here; others are passed over."""

    q: str
    format: Literal["json", ""] = "json"
    pageno: int = 1
    categories: str = ""
    language: str = ""
    time_range: Literal["day", "week", "month", "year", ""] = ""
    safesearch: int = 0
    engines: str = ""


SEARXNG_QUERY = Shape(
    name="SearxngQuery",
    kind=SearxngQuery,
    fields={
        "q": _QUERY,
        "format": says("Only JSON is offered; html, csv and rss are 403."),
        "pageno": says(
            f"1 for the first {searxng.PAGE_RESULTS} results, 2 for as many more; later pages are empty.",
            minimum=1,
            maximum=searxng.PAGE_MAX,
        ),
        "categories": says("news or general; others are passed over and named in `amos.unsupported`."),
        "language": says("A code such as en or en-US, or all.", pattern="^([a-z]{2}(-[A-Z]{2})?|all|auto)?$"),
        "time_range": says("Only what was published lately."),
        "safesearch": says("2 asks for it, 1 is passed over and named.", minimum=0, maximum=2),
        "engines": says("Passed over, and named in `amos.unsupported`."),
    },
)


class SearxngResult(msgspec.Struct, frozen=True, kw_only=True):
    """One page. Its engine is the provider."""

    title: str
    url: str
    content: str
    engine: str
    engines: tuple[str, ...]
    positions: tuple[int, ...]
    score: float
    category: str
    published: str | None = msgspec.field(name="publishedDate")
    template: str


class SearxngAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, best first; `unresponsive_engines` are providers that failed, and why."""

    query: str
    number_of_results: int
    results: tuple[SearxngResult, ...]
    answers: tuple[str, ...]
    corrections: tuple[str, ...]
    infoboxes: tuple[str, ...]
    suggestions: tuple[str, ...]
    unresponsive_engines: tuple[tuple[str, str], ...]
    amos: Amos


# --- Open WebUI ---------------------------------------------------------------------------------------------


class OpenWebuiQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A search as Open WebUI asks for it; unknown fields are passed over."""

    query: str
    count: int = limits.RESULTS_DEFAULT


OPENWEBUI_BODY = Shape(
    name="OpenWebuiQuestion",
    kind=OpenWebuiQuestion,
    fields={
        "query": _QUERY,
        "count": says(f"How many results; more than {limits.RESULTS_MAX} are reduced to that.", minimum=0),
    },
    is_lenient=True,
)


class OpenWebuiResult(msgspec.Struct, frozen=True, kw_only=True):
    """One page."""

    link: str
    title: str
    snippet: str


class OpenWebuiPages(msgspec.Struct, frozen=True, kw_only=True):
    """The pages to read; unknown fields are passed over."""

    urls: str | tuple[str, ...]


_URL: Schema = {"type": "string", "maxLength": limits.URL_CHARS_MAX, "format": "public-url"}

OPENWEBUI_PAGES = Shape(
    name="OpenWebuiPages",
    kind=OpenWebuiPages,
    fields={
        "urls": says(
            "http or https URLs on the public internet.",
            anyOf=[_URL, {"type": "array", "items": _URL, "minItems": 1, "maxItems": limits.URLS_MAX}],
        )
    },
)


class PageMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a page is, and its title if it has one."""

    source: str
    title: str = ""


class OpenWebuiPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page that could be read."""

    page_content: str
    metadata: PageMetadata
