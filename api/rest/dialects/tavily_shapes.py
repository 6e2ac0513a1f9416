"""Tavily's wire format as the OpenAPI document shows it: the types of tavily.py, and what each field means.

The bounds are those that the validate stage enforces, from the same names; where it reduces a value in place
of refusing it, there is none here and the description says so.
"""

from __future__ import annotations

from typing import Any

import msgspec

from api.openapi.operation import Schema, Shape, not_both, says
from api.rest.dialects.tavily import DIGITS_MAX, INTEGERS, Amos
from orchestrator import limits
from orchestrator.model import (
    ANSWERS,
    DEPTHS,
    DOMAINS_MODES,
    FORMATS,
    RAW_CONTENTS,
    TIME_RANGES,
    TOPICS,
    ExtractRequest,
    Page,
    PageFailure,
    SearchAnswer,
    SearchRequest,
)

_DATE = {"format": "date"}


SEARCH_FIELDS: dict[str, Schema] = {
    "query": says(
        f"What to search for, {limits.QUERY_CHARS_MIN} to {limits.QUERY_CHARS_MAX} characters without the "
        "blanks at its ends. Control, bidi and invisible characters are removed first.",
        minLength=limits.QUERY_CHARS_MIN,
        format="query",
    ),
    "search_depth": says(
        "How thoroughly to search; basic by default. advanced costs twice as much.", enum=list(DEPTHS)
    ),
    "topic": says("The kind of source; general by default.", enum=list(TOPICS)),
    "max_results": says(
        f"How many results at most; {limits.RESULTS_DEFAULT} by default. More than {limits.RESULTS_MAX} are "
        "reduced to that, and `amos.notes` says so.",
        minimum=0,
    ),
    "chunks_per_source": says(
        "How many excerpts of each page its content may hold; more than 3 are reduced to that.", minimum=1
    ),
    "time_range": says(
        "Only what was published in the last day, week, month or year. Not together with a date.",
        enum=list(TIME_RANGES),
    ),
    "start_date": says("Only what was published on this day or later.", **_DATE),
    "end_date": says("Only what was published on this day or earlier; not before `start_date`.", **_DATE),
    "days": says(
        f"How many days back news may date; more than {limits.DAYS_MAX} are reduced to that.", minimum=1
    ),
    "include_answer": says("Also write an answer from the results, short or detailed.", enum=list(ANSWERS)),
    "include_raw_content": says(
        "Also give the text of each page, as Markdown or plain.", enum=list(RAW_CONTENTS)
    ),
    "include_images": says("Also give URLs of images."),
    "include_image_descriptions": says("Describe these images; then each is an object."),
    "include_favicon": says("Also give the URL of each site's icon."),
    "include_domains": says(
        "Only results from these domains; `*.example.com` and paths are allowed.",
        maxItems=limits.INCLUDE_DOMAINS_MAX,
        items={"type": "string", "format": "domain"},
    ),
    "exclude_domains": says(
        "No results from these domains.",
        maxItems=limits.EXCLUDE_DOMAINS_MAX,
        items={"type": "string", "format": "domain"},
    ),
    "include_domains_mode": says("How `include_domains` is meant.", enum=list(DOMAINS_MODES)),
    "country": says(
        "Prefer results from this country: its English name or two-letter code; an empty text is none.",
        format="country",
    ),
    "language": says("Prefer results in this language."),
    "filter_by_language": says("Only results in that language."),
    "include_published_date": says("Also say when each page was published, whatever the topic."),
    "filter_by_published_date": says("Only results whose date of publication is known."),
    "auto_parameters": says("Let the provider choose the other parameters; it may cost more."),
    "exact_match": says("Only results that hold the phrases in double quotes word for word."),
    "safe_search": says("Leave out what is not for everybody, where the provider can."),
}

_ENVELOPE: dict[str, Any] = {
    "api_key": says("An API key, where no header can be set; one in a header wins.", type="string"),
    "include_usage": says("Also say what the call cost, in `usage`.", type="boolean"),
}

_EXTRA = (
    f" Unknown fields are passed on to Tavily: at most {limits.EXTRA_FIELDS_MAX}, {limits.EXTRA_BYTES_MAX} "
    f"bytes, {limits.EXTRA_DEPTH_MAX} levels. A null is as good as no field."
)


SEARCH_BODY = Shape(
    name="SearchRequest",
    kind=SearchRequest,
    description="A web search, in Tavily's vocabulary." + _EXTRA,
    fields=SEARCH_FIELDS,
    without=frozenset({"extra"}),
    more=_ENVELOPE,
    is_lenient=True,
    rules={"allOf": [not_both("time_range", "start_date"), not_both("time_range", "end_date")]},
)

SEARCH_QUERY = Shape(
    name="SearchQuery",
    kind=SearchRequest,
    fields={name: details for name, details in SEARCH_FIELDS.items() if name != "query"}
    | {"q": SEARCH_FIELDS["query"]}
    | {name: {**SEARCH_FIELDS[name], "maximum": 10**DIGITS_MAX - 1} for name in INTEGERS},
    without=frozenset({"extra"}),
    renamed={"query": "q"},
    more={"include_usage": _ENVELOPE["include_usage"]},
)
"""`api_key` is understood too and not shown: a URL ends up in logs."""

EXTRACT_FIELDS: dict[str, Schema] = {
    "urls": says(
        "The pages to read: http or https URLs without a user name, on the public internet.",
        anyOf=[
            {"type": "string", "maxLength": limits.URL_CHARS_MAX, "format": "public-url"},
            {
                "type": "array",
                "items": {"type": "string", "maxLength": limits.URL_CHARS_MAX, "format": "public-url"},
                "minItems": 1,
                "maxItems": limits.URLS_MAX,
            },
        ],
    ),
    "query": says("Give only the parts of each page that are about this."),
    "chunks_per_source": says("How many parts of each page; more than 5 are reduced to that.", minimum=1),
    "extract_depth": says(
        "basic by default; advanced also reads tables and costs twice as much.", enum=list(DEPTHS[:2])
    ),
    "format": says("How to write the text; markdown by default.", enum=list(FORMATS)),
    "include_images": says("Also give URLs of the images in each page."),
    "include_favicon": says("Also give the URL of each site's icon."),
    "timeout": says(
        f"How many seconds to wait at most; more than {limits.EXTRACT_DEADLINE_S_MAX:g} are as good as that.",
        minimum=limits.EXTRACT_TIMEOUT_S_MIN,
    ),
}

EXTRACT_BODY = Shape(
    name="ExtractRequest",
    kind=ExtractRequest,
    description="The readable text of pages." + _EXTRA,
    fields=EXTRACT_FIELDS,
    renamed={"timeout_s": "timeout"},
    without=frozenset({"extra"}),
    more=_ENVELOPE,
    is_lenient=True,
)


class Usage(msgspec.Struct, frozen=True):
    """What the call cost in Tavily's credits, rounded; the exact figure is in `amos`."""

    credits: int


_CLOSING: dict[str, Any] = {
    "response_time": says("Seconds from the request to its answer.", type="number"),
    "usage": Usage,
    "request_id": says("The id of the execution.", type="string"),
    "amos": Amos,
}

SEARCH_ANSWER = Shape(
    name="SearchAnswer",
    kind=SearchAnswer,
    description="What was found, best first; an empty list is an answer too.",
    more={
        "query": says("The query as it was asked.", type="string"),
        "follow_up_questions": {"type": "null"},
        **_CLOSING,
    },
    required=("query", "follow_up_questions", "response_time", "request_id", "amos"),
)


class Extracted(msgspec.Struct, frozen=True):
    """The pages that could be read, and those that could not."""

    results: tuple[Page, ...]
    failed_results: tuple[PageFailure, ...]


EXTRACT_ANSWER = Shape(
    name="ExtractAnswer",
    kind=Extracted,
    more=_CLOSING,
    required=("response_time", "request_id", "amos"),
)
