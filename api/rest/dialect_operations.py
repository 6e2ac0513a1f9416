"""What the doors of the dialects promise: the native search in the words of others."""

from __future__ import annotations

from typing import Any

from api.openapi.operation import Answer, Body, Operation, Parameters
from api.rest.dialects.foreign_shapes import (
    OPENWEBUI_BODY,
    OPENWEBUI_PAGES,
    PERPLEXITY_ANSWER,
    PERPLEXITY_BODY,
    SEARXNG_QUERY,
    OpenWebuiPage,
    OpenWebuiResult,
    SearxngAnswer,
)
from api.rest.doors import LOAD_PATH, TOOL_ROUTE
from api.rest.search_operations import ASKED, EXECUTION, TOLD

TAG = "Dialects"
_FORM = "application/x-www-form-urlencoded"
_FOUND = "What was found."


def _perplexity(path: str, name: str, *, path_parameters: dict[str, Any] | None = None) -> Operation:
    return Operation(
        method="POST",
        path=path,
        id=name,
        tag=TAG,
        summary="Search as Perplexity and LiteLLM do",
        description="Each query of a list is an execution of its own; if some fail the others are it.",
        scopes=("search",),
        path_parameters=path_parameters or {},
        refusals=("not_found",) if path_parameters else (),
        headers=ASKED,
        body=Body(
            PERPLEXITY_BODY,
            "What to search for.",
            {"a search": {"query": "how do tides work", "max_results": 5}},
        ),
        answers=(Answer(PERPLEXITY_ANSWER, _FOUND, headers=TOLD),),
        errors=EXECUTION,
    )


def _searxng(path: str, name: str) -> tuple[Operation, ...]:
    def operation(method: str, suffix: str, **more: Any) -> Operation:
        return Operation(
            method=method,
            path=path,
            id=name + suffix,
            tag=TAG,
            summary="Search as a client of SearXNG does",
            description="Parameters come in the URL, in a form, or in both; the form wins.",
            scopes=("search",),
            errors=EXECUTION,
            refusals=("forbidden",),
            **more,
        )

    query = Parameters(shape=SEARXNG_QUERY, examples={"q": "how do tides work"})
    asked = (*ASKED, "If-None-Match")
    told = (*TOLD, "ETag")
    known = Answer(None, "You have this answer already.", 304, headers=told)
    found = Answer(SearxngAnswer, _FOUND, headers=told)
    there = Answer(None, "There is an answer.", headers=told)
    form = Body(SEARXNG_QUERY, "The parameters.", media_type=_FORM)
    return (
        operation("GET", "", query=query, headers=asked, answers=(found, known)),
        operation("HEAD", "_head", query=query, headers=asked, answers=(there, known)),
        operation(
            "POST", "_form", body=form, headers=ASKED, answers=(Answer(SearxngAnswer, _FOUND, headers=TOLD),)
        ),
    )


OPERATIONS = (
    _perplexity("/v1/search", "litellm_search"),
    _perplexity(
        TOOL_ROUTE,
        "litellm_search_tool",
        path_parameters={
            "tool": {
                "description": "The name that LiteLLM gives a search tool; every name means this gateway.",
                "schema": {"type": "string", "minLength": 1},
                "example": "web",
            }
        },
    ),
    _perplexity("/perplexity/search", "perplexity_search"),
    *_searxng("/searxng/search", "searxng_search"),
    *_searxng("/searxng", "searxng_root"),
    Operation(
        method="POST",
        path="/openwebui/search",
        id="openwebui_search",
        tag=TAG,
        summary="Search as Open WebUI's external engine does",
        scopes=("search",),
        headers=ASKED,
        body=Body(
            OPENWEBUI_BODY, "What to search for.", {"a search": {"query": "how do tides work", "count": 3}}
        ),
        answers=(Answer({"type": "array", "items": OpenWebuiResult}, _FOUND, headers=TOLD),),
        errors=EXECUTION,
    ),
    Operation(
        method="POST",
        path=LOAD_PATH,
        id="openwebui_load",
        tag=TAG,
        summary="Read pages as Open WebUI's external loader does",
        description="Pages that nobody could read are left out of the list.",
        scopes=("extract",),
        headers=ASKED,
        body=Body(
            OPENWEBUI_PAGES, "Which pages to read.", {"a page": {"urls": ["https://oceans.example/tides"]}}
        ),
        answers=(Answer({"type": "array", "items": OpenWebuiPage}, "What the pages say.", headers=TOLD),),
        errors=EXECUTION,
    ),
)
