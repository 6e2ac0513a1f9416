"""What is passed on to Tavily, as the OpenAPI document shows it: what AMOS looks at; the rest is Tavily's."""

from __future__ import annotations

from typing import Any

from api.openapi.operation import Schema
from api.rest.dialects.tavily import Amos
from api.rest.dialects.tavily_shapes import Usage
from orchestrator import limits
from orchestrator.model import DEPTHS, FORMATS

_KEY: Schema = {
    "type": ["string", "null"],
    "description": "An API key, where no header can be set; one in a header wins.",
}
_USAGE: Schema = {"type": ["boolean", "null"], "description": "Also say what the call cost, in `usage`."}
_NOTE = " Other fields, and newer ones, go to Tavily as they are. A null is as good as no field."


def _integer(low: int, high: int, description: str) -> Schema:
    return {"type": ["integer", "null"], "minimum": low, "maximum": high, "description": description}


def _patterns(description: str, most: int = limits.INCLUDE_DOMAINS_MAX) -> Schema:
    return {
        "type": ["array", "null"],
        "items": {"type": "string"},
        "maxItems": most,
        "description": description,
    }


def _one_of(values: tuple[str, ...], description: str) -> Schema:
    return {"enum": [*values, None], "description": description}


_PAGES: dict[str, Schema] = {
    "url": {
        "type": "string",
        "format": "public-url",
        "maxLength": limits.URL_CHARS_MAX,
        "description": "Where to begin: an address on the public internet; the scheme may be left out.",
    },
    "instructions": {"type": ["string", "null"], "description": "What to look for; costs twice as much."},
    "max_depth": _integer(1, 5, "How many links away from the beginning; 1 by default."),
    "max_breadth": _integer(1, 500, "How many links of each page; 20 by default."),
    "limit": _integer(1, limits.RELAY_PAGES_MAX, "How many pages at most; 50 by default."),
    "select_paths": _patterns("Only paths that match one of these regular expressions."),
    "exclude_paths": _patterns("No paths that match one of these."),
    "select_domains": _patterns("Only hosts that match one of these."),
    "exclude_domains": _patterns("No hosts that match one of these."),
    "timeout": {
        "type": ["number", "null"],
        "minimum": limits.EXTRACT_TIMEOUT_S_MIN,
        "description": f"Seconds to wait at most; more than {limits.RELAY_PAGES_S_MAX:g} mean that.",
    },
    "include_usage": _USAGE,
    "api_key": _KEY,
}


def _body(description: str, properties: dict[str, Schema], required: list[str]) -> Schema:
    return {
        "type": "object",
        "description": description + _NOTE,
        "properties": properties,
        "required": required,
    }


MAP_BODY = _body("Where to begin, and which pages to list.", _PAGES, ["url"])

CRAWL_BODY = _body(
    "Where to begin, and which pages to read.",
    _PAGES
    | {
        "extract_depth": _one_of(DEPTHS[:2], "basic by default; advanced costs twice as much."),
        "format": _one_of(FORMATS, "How to write the text; markdown by default."),
        "chunks_per_source": _integer(1, 5, "How many parts of each page; with `instructions`."),
    },
    ["url"],
)

RESEARCH_BODY = _body(
    "What is to be researched.",
    {
        "input": {"type": "string", "format": "query", "description": "The question or the task."},
        "model": _one_of(("mini", "pro", "auto"), "How thorough; auto by default. It decides the price."),
        "stream": {
            "type": ["boolean", "null"],
            "description": "Answer with server-sent events, as the research is made; five minutes at most.",
        },
        "citation_format": _one_of(("numbered", "mla", "apa", "chicago"), "How sources are cited."),
        "include_domains": _patterns("Only these domains.", limits.RESEARCH_DOMAINS_MAX),
        "exclude_domains": _patterns("None of these domains.", limits.RESEARCH_DOMAINS_MAX),
        "api_key": _KEY,
    },
    ["input"],
)

FEEDBACK_BODY = _body(
    "What somebody thought of an answer of Tavily's.",
    {
        "request_id": {"type": ["string", "null"], "description": "That of a map, a crawl or a research."},
        "human_score": {"description": "1 perfect, 0 irrelevant."},
        "comment": {"description": "In words."},
        "api_key": _KEY,
    },
    [],
) | {"minProperties": 1}


def _answer(description: str, properties: dict[str, Any], required: list[str]) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {**properties, "amos": Amos},
        "required": [*required, "amos"],
    }


_RESULTS: dict[str, Any] = {
    "base_url": {"type": "string", "description": "Where it began."},
    "response_time": {"description": "Seconds at Tavily."},
    "usage": Usage,
    "request_id": {"type": "string", "description": "Tavily's own id of it, for feedback."},
}

MAP_ANSWER = _answer(
    "The addresses that were found.",
    _RESULTS | {"results": {"type": "array", "items": {"type": "string"}}},
    ["results"],
)

CRAWL_ANSWER = _answer(
    "The pages that were read.",
    _RESULTS
    | {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"url": {"type": "string"}, "raw_content": {"type": ["string", "null"]}},
            },
        }
    },
    ["results"],
)

RESEARCH_ANSWER = _answer(
    "How far the research is, and when it is done what it found.",
    {
        "request_id": {"type": "string", "description": "By which to ask for it; good for this client only."},
        "status": {"type": "string", "description": "pending, in_progress, completed or failed."},
        "content": {"description": "The report: Markdown, or an object of the `output_schema`."},
        "sources": {"type": "array", "items": {"type": "object"}},
        "created_at": {"type": "string", "description": "When it was begun."},
        "input": {"type": "string"},
        "model": {"type": "string"},
        "response_time": {"type": ["number", "string", "null"], "description": "Seconds at Tavily."},
        "usage": Usage,
    },
    ["request_id"],
)

FEEDBACK_ANSWER = _answer(
    "That it was taken, in Tavily's words.",
    {
        "success": {"type": "boolean"},
        "feedback_id": {"type": "string"},
        "response_time": {"type": "number"},
    },
    [],
)
