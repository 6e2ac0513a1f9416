"""The shape of every tool's arguments and answers, as JSON Schema 2020-12 for clients and models.

Written out rather than generated: some clients cannot follow a `$ref`, and each description is read by a
model that has to choose by it. The bounds come from `limits`; the rules are enforced behind the door, by the
stage that checks every call, so a schema that a client ignores changes nothing.
"""

from __future__ import annotations

from typing import Any

from orchestrator import limits
from orchestrator.model import DEPTHS, TOPICS

Schema = dict[str, Any]

FETCH_ID_CHARS_MAX = 3_000
"""chosen: more than base64 makes of the longest URL and its checksum."""


def _object(properties: dict[str, Schema], *required: str, closed: bool = False) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "required": list(required)}
    return schema | {"additionalProperties": False} if closed else schema


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _choice(values: tuple[str, ...], description: str) -> Schema:
    return {"type": "string", "enum": list(values), "description": description}


def _count(low: int, high: int, description: str) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": description}


def _texts(most: int, description: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "maxItems": most, "description": description}


_QUERY = _text(
    "What to search for: a few specific words rather than a sentence.",
    minLength=limits.QUERY_CHARS_MIN,
    maxLength=limits.QUERY_CHARS_MAX,
)
_DATE = r"^\d{4}-\d{2}-\d{2}$"

SEARCH_INPUT = _object({"query": _QUERY}, "query", closed=True)

FETCH_INPUT = _object(
    {
        "id": _text(
            "The id of a result of the tool search, or the URL of any page.",
            minLength=1,
            maxLength=FETCH_ID_CHARS_MAX,
        )
    },
    "id",
    closed=True,
)

WEB_SEARCH_INPUT = _object(
    {
        "query": _QUERY,
        "max_results": _count(
            0, limits.RESULTS_MAX, f"How many results at most; {limits.RESULTS_DEFAULT} by default."
        ),
        "search_depth": _choice(
            DEPTHS, "How thoroughly to search: basic by default; advanced costs twice as much."
        ),
        "topic": _choice(TOPICS, "The kind of source: general by default; news adds published_date."),
        "time_range": _choice(("day", "week", "month", "year"), "Only what was published in the last …"),
        "start_date": _text("Only what was published on this day or later, YYYY-MM-DD.", pattern=_DATE),
        "end_date": _text("Only what was published on this day or earlier, YYYY-MM-DD.", pattern=_DATE),
        "include_domains": _texts(limits.INCLUDE_DOMAINS_MAX, "Only results from these domains."),
        "exclude_domains": _texts(limits.EXCLUDE_DOMAINS_MAX, "No results from these domains."),
        "country": _text("Prefer results from this country: its English name or two-letter code."),
        "language": _text("Prefer results in this language: its English name or ISO 639-1 code."),
        "filter_by_language": _flag("Only results in that language."),
        "exact_match": _flag("Only results that hold the phrases in double quotes word for word."),
        "include_answer": _flag("Also write a short answer from the results."),
        "include_raw_content": _flag("Also give the text of each page, which may be long."),
        "include_published_date": _flag("Also say when each page was published, whatever the topic."),
        "include_images": _flag("Also give URLs of images."),
        "include_image_descriptions": _flag("Describe these images; needs include_images."),
        "include_favicon": _flag("Also give the URL of each site's icon."),
        "chunks_per_source": _count(1, 3, "How many excerpts of each page its content may hold."),
        "safe_search": _flag("Leave out what is not for everybody, where the provider can."),
    },
    "query",
    closed=True,
)

NOT_OFFERED = {
    "days": "time_range and start_date say the same in fewer ways to be wrong",
    "include_domains_mode": "the names of its values still change at the provider",
    "auto_parameters": "the model has chosen the parameters already, and it may double the price",
    "filter_by_published_date": "the date window says it",
    "extra": "no option by itself",
}
"""Fields of a search that are no argument, with the reason."""

EXTRACT_INPUT = _object(
    {
        "urls": {
            "type": "array",
            "items": {"type": "string", "maxLength": limits.URL_CHARS_MAX},
            "minItems": 1,
            "maxItems": limits.URLS_MAX,
            "description": "The pages to read, as http or https URLs.",
        },
        "query": _text(
            "Give only the parts of each page that are about this.", maxLength=limits.QUERY_CHARS_MAX
        ),
        "extract_depth": _choice(
            ("basic", "advanced"), "basic by default; advanced also reads tables and costs twice as much."
        ),
        "format": _choice(("markdown", "text"), "How to write the text; markdown by default."),
        "chunks_per_source": _count(1, 5, "How many parts of each page; needs query."),
        "include_images": _flag("Also give URLs of the images in each page."),
        "include_favicon": _flag("Also give the URL of each site's icon."),
    },
    "urls",
    closed=True,
)

_NUMBER: Schema = {"type": "number"}
_WORD: Schema = {"type": "string"}
_WORDS: Schema = {"type": "array", "items": _WORD}
# A list of types is legal as well, but clients that translate schemas for some models refuse or drop it.
_MAYBE_TEXT: Schema = {"anyOf": [_WORD, {"type": "null"}]}
_IMAGES: Schema = {
    "type": "array",
    "items": {"anyOf": [_WORD, _object({"url": _WORD, "description": _MAYBE_TEXT}, "url")]},
}

_AMOS = _object(
    {
        "provider": _text("Who gave the answer."),
        "cache": _text("l1 or l2: from the cache; collapsed: shared with the same call at that time."),
        "age_s": {"type": "number", "description": "Seconds since the answer was fetched."},
        "stale": _flag("It is past its time: a fresher one is being fetched, or could not be had."),
        "degraded": _flag("The web could not be reached; local documents stand in for it."),
        "attempts": {
            "type": "array",
            "description": "Every provider that was asked or passed by, in order.",
            "items": _object(
                {"provider": _WORD, "outcome": _WORD, "reason": _WORD, "duration_s": _NUMBER},
                *("provider", "outcome", "reason", "duration_s"),
            ),
        },
        "credits": _NUMBER,
        "cost_usd": _NUMBER,
        "unsupported": {**_WORDS, "description": "Arguments that this provider could not honour."},
        "notes": _WORDS,
        "execution_id": _text("By which an operator finds this call."),
    },
    *("provider", "cache", "age_s", "stale", "degraded", "attempts", "execution_id"),
)

_ENVELOPE = {"response_time": _NUMBER, "request_id": _WORD, "amos": _AMOS}

WEB_SEARCH_OUTPUT = _object(
    {
        "query": _WORD,
        "answer": _MAYBE_TEXT,
        "results": {
            "type": "array",
            "items": _object(
                {
                    "title": _WORD,
                    "url": _WORD,
                    "content": _text("The excerpts of the page that fit the query."),
                    "score": _text("0 to 1, falling from result to result.") | {"type": "number"},
                    "raw_content": _MAYBE_TEXT,
                    "published_date": _WORD,
                    "favicon": _WORD,
                    "images": _IMAGES,
                    "id": _text("The provider's own; the tool fetch wants the URL."),
                },
                *("title", "url", "content", "score"),
            ),
        },
        "images": _IMAGES,
        "auto_parameters": {"type": "object"},
        "follow_up_questions": {"type": "null"},
        **_ENVELOPE,
    },
    *("query", "results", "amos"),
)

EXTRACT_OUTPUT = _object(
    {
        "results": {
            "type": "array",
            "items": _object(
                {"url": _WORD, "title": _WORD, "raw_content": _WORD, "favicon": _WORD, "images": _IMAGES},
                *("url", "raw_content"),
            ),
        },
        "failed_results": {
            "type": "array",
            "items": _object({"url": _WORD, "error": _WORD}, "url", "error"),
        },
        **_ENVELOPE,
    },
    *("results", "failed_results", "amos"),
)

SEARCH_OUTPUT = _object(
    {
        "results": {
            "type": "array",
            "items": _object({"id": _WORD, "title": _WORD, "url": _WORD}, "id", "title", "url"),
        }
    },
    "results",
)

FETCH_OUTPUT = _object(
    {"id": _WORD, "title": _WORD, "text": _WORD, "url": _WORD, "metadata": {"type": "object"}},
    *("id", "title", "text", "url"),
)
