"""What the paths promise that are passed on to Tavily."""

from __future__ import annotations

import msgspec

from api.openapi.operation import Answer, Body, Operation, Parameters, Shape
from api.rest.dialects import tavily_relay_shapes as shapes
from orchestrator import errors

TAG = "Passed on"

_EXECUTION = (
    *(errors.InvalidRequest, errors.RateLimited, errors.BudgetExhausted, errors.NotOffered),
    *(errors.QuotaExhausted, errors.AllProvidersFailed, errors.DeadlineExceeded),
    *(errors.Overloaded, errors.EventLogUnavailable),
)
_ASKED = ("X-Request-Id", "traceparent")
_TOLD = (
    *("Cache-Status", "Server-Timing", "RateLimit", "RateLimit-Policy"),
    *("X-Request-Id", "traceparent", "Cache-Control"),
)


class _Nothing(msgspec.Struct):
    """The query has no fields of a type of ours."""


_STATUS_QUERY = Parameters(
    shape=Shape(
        name="ResearchQuery",
        kind=_Nothing,
        more={
            "include_usage": {
                "type": "boolean",
                "description": "Also say what it cost, when that is known.",
            }
        },
    )
)

OPERATIONS = (
    Operation(
        method="POST",
        path="/map",
        id="map",
        tag=TAG,
        summary="List the pages of a site",
        description="By Tavily, under a key of the operator's. Never cached.",
        scopes=("extract",),
        headers=_ASKED,
        body=Body(shapes.MAP_BODY, "Where to begin.", {"a site": {"url": "https://oceans.example"}}),
        answers=(Answer(shapes.MAP_ANSWER, "What was found.", headers=_TOLD),),
        errors=(*_EXECUTION, errors.UrlRefused),
    ),
    Operation(
        method="POST",
        path="/crawl",
        id="crawl",
        tag=TAG,
        summary="Read the pages of a site",
        description="By Tavily, under a key of the operator's; may take some minutes. Never cached.",
        scopes=("extract",),
        headers=_ASKED,
        body=Body(
            shapes.CRAWL_BODY, "Where to begin.", {"a site": {"url": "https://oceans.example", "limit": 10}}
        ),
        answers=(Answer(shapes.CRAWL_ANSWER, "What the pages say.", headers=_TOLD),),
        errors=(*_EXECUTION, errors.UrlRefused),
    ),
    Operation(
        method="POST",
        path="/research",
        id="research",
        tag=TAG,
        summary="Begin a research",
        description="By Tavily, under a key of the operator's. Ask `GET /research/{task}` until it is done.",
        scopes=("extract",),
        headers=_ASKED,
        body=Body(shapes.RESEARCH_BODY, "What to research.", {"a question": {"input": "how do tides work"}}),
        answers=(
            Answer(
                shapes.RESEARCH_ANSWER,
                "It has begun; or, with `stream`, the events of its making.",
                headers=_TOLD[2:],  # a stream has begun before it is known what there is to say of it
                also={"text/event-stream": {"description": "Events as Tavily sends them."}},
            ),
        ),
        errors=_EXECUTION,
    ),
    *(
        Operation(
            method=method,
            path="/research/{task}",
            id=name,
            tag=TAG,
            summary=summary,
            scopes=("extract",),
            path_parameters={
                "task": {
                    "description": "The `request_id` that its beginning was answered with.",
                    "schema": {"type": "string"},
                    "example": "0b6a2f5e-0c64-4f0d-9a70-5b6f2f7a9f11.3f1c09aa5d2be1f07c44e9b2",
                }
            },
            query=_STATUS_QUERY,
            headers=_ASKED,
            answers=(
                Answer(kind, "It is done, or has failed.", headers=_TOLD),
                Answer(kind, "It is under way.", 202, headers=_TOLD),
            ),
            errors=(*_EXECUTION, errors.TaskNotFound),
        )
        for method, name, summary, kind in (
            ("GET", "research_status", "How far a research is", shapes.RESEARCH_ANSWER),
            ("HEAD", "research_status_head", "Whether a research is done", None),
        )
    ),
    Operation(
        method="POST",
        path="/feedback",
        id="feedback",
        tag=TAG,
        summary="Tell Tavily what an answer was worth",
        description="On maps, crawls and researches; not on searches, whose ids are AMOS's.",
        scopes=("extract",),
        headers=_ASKED,
        body=Body(
            shapes.FEEDBACK_BODY,
            "What was thought of it.",
            {"praise": {"request_id": "0b6a2f5e-0c64-4f0d-9a70-5b6f2f7a9f11", "human_score": 1}},
        ),
        answers=(Answer(shapes.FEEDBACK_ANSWER, "Tavily took it.", headers=_TOLD),),
        errors=(*_EXECUTION, errors.TaskNotFound),
    ),
)
