"""What `/search` and `/extract` promise."""

from __future__ import annotations

from typing import Any

from api.openapi.operation import Answer, Body, Link, Operation, Parameters
from api.rest.dialects.tavily_shapes import (
    EXTRACT_ANSWER,
    EXTRACT_BODY,
    SEARCH_ANSWER,
    SEARCH_BODY,
    SEARCH_QUERY,
)
from orchestrator import errors

TAG = "Search"

EXECUTION = (
    *(errors.InvalidRequest, errors.PermissionDenied, errors.RateLimited, errors.AnonymousLimited),
    *(errors.BudgetExhausted, errors.QuotaExhausted, errors.AllProvidersFailed, errors.DeadlineExceeded),
    *(errors.NotInCache, errors.Overloaded, errors.EventLogUnavailable, errors.LoopDetected),
)
"""How an execution can fail."""

ASKED = ("Cache-Control", "X-Request-Id", "traceparent")
"""Headers that every call may send."""

TOLD = (
    *("Cache-Status", "Age", "Server-Timing", "RateLimit", "RateLimit-Policy"),
    *("X-Request-Id", "traceparent", "Cache-Control"),
)
"""Headers that every answer has, or may have."""

_NEXT = {
    "execution": Link(
        "execution", {"id": "$response.body#/request_id"}, "What happened, within a second of the answer."
    )
}

_AMOS: dict[str, Any] = {
    "provider": "tavily",
    "cache": "miss",
    "age_s": 0.0,
    "stale": False,
    "degraded": False,
    "attempts": [{"provider": "tavily", "outcome": "success", "reason": "", "duration_s": 0.912}],
    "credits": 1.0,
    "cost_usd": 0.008,
    "unsupported": [],
    "notes": [],
    "execution_id": "019ad1c4-7c1e-7d10-8a3c-5f0f3a6c2b11",
}

_FOUND: dict[str, Any] = {
    "query": "how do tides work",
    "follow_up_questions": None,
    "results": [
        {
            "title": "Tides",
            "url": "https://oceans.example/tides",
            "content": "The moon's pull raises the water on both sides of the earth.",
            "score": 0.94,
            "raw_content": None,
        }
    ],
    "answer": None,
    "images": [],
    "response_time": 0.914,
    "request_id": "019ad1c4-7c1e-7d10-8a3c-5f0f3a6c2b11",
    "amos": _AMOS,
}

_READ: dict[str, Any] = {
    "results": [{"url": "https://oceans.example/tides", "raw_content": "# Tides\n\nTwice a day ..."}],
    "failed_results": [{"url": "https://oceans.example/gone", "error": "The page answered 404."}],
    "response_time": 1.207,
    "request_id": "019ad1c4-7c1e-7d10-8a3c-5f0f3a6c2b11",
    "amos": _AMOS,
}

_QUERY = Parameters(shape=SEARCH_QUERY, examples={"q": "how do tides work"}, may_be_empty=True)
_NOT_CHANGED = Answer(None, "You have this answer already.", 304, headers=("ETag", *TOLD, "Accept-Query"))

OPERATIONS = (
    Operation(
        method="POST",
        path="/search",
        id="search",
        tag=TAG,
        summary="Search the web",
        description="From the cache where it may, else by the first provider of the chain that has a useful "
        "answer. `amos` says which, and why.",
        scopes=("search",),
        headers=ASKED,
        body=Body(
            SEARCH_BODY,
            "What to search for.",
            {
                "a search": {"query": "how do tides work"},
                "only news of this week": {
                    "query": "tidal power",
                    "topic": "news",
                    "time_range": "week",
                    "max_results": 10,
                },
            },
        ),
        answers=(Answer(SEARCH_ANSWER, "What was found.", headers=TOLD, example=_FOUND, links=_NEXT),),
        errors=EXECUTION,
        extensions={"x-also-query": "QUERY (RFC 10008) takes the same body; its answer has an ETag."},
    ),
    Operation(
        method="GET",
        path="/search",
        id="search_by_url",
        tag=TAG,
        summary="Search the web by a URL",
        description="For people, links and curl. Lists are repeated, or separated by commas; `query` is "
        "understood in place of `q`, and `api_key` as everywhere, but URLs end up in logs.",
        scopes=("search",),
        query=_QUERY,
        headers=(*ASKED, "If-None-Match"),
        answers=(
            Answer(
                SEARCH_ANSWER,
                "What was found.",
                headers=(*TOLD, "ETag", "Accept-Query"),
                example=_FOUND,
            ),
            _NOT_CHANGED,
        ),
        errors=EXECUTION,
    ),
    Operation(
        method="HEAD",
        path="/search",
        id="search_head",
        tag=TAG,
        summary="The headers of a search",
        description="Searches like GET and spends the same.",
        scopes=("search",),
        query=_QUERY,
        headers=(*ASKED, "If-None-Match"),
        answers=(
            Answer(None, "There is an answer.", headers=(*TOLD, "ETag", "Accept-Query")),
            _NOT_CHANGED,
        ),
        errors=EXECUTION,
    ),
    Operation(
        method="POST",
        path="/extract",
        id="extract",
        tag=TAG,
        summary="Read pages",
        description="Pages that nobody could read are in `failed_results`; the others are unharmed.",
        scopes=("extract",),
        headers=ASKED,
        body=Body(
            EXTRACT_BODY,
            "Which pages to read.",
            {"two pages": {"urls": ["https://oceans.example/tides", "https://oceans.example/gone"]}},
        ),
        answers=(Answer(EXTRACT_ANSWER, "What the pages say.", headers=TOLD, example=_READ, links=_NEXT),),
        errors=EXECUTION,
    ),
)
