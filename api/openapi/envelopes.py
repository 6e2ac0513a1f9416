"""How a failure looks to the clients that listen on a path, as schemas: the counterpart of problems.render.

A test holds each of them against what `render` really writes on the paths of its operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from api.openapi.operation import JSON, Schema
from api.rest.dialects.tavily import TavilyError
from api.rest.problems import ProblemDetails


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One way to tell of a failure; `name` begins those of its components.

    `codes` makes the schema that says which codes there may be. `statuses` are those it has for ours.
    """

    name: str
    kind: Any
    media_type: str
    codes: Callable[[Sequence[str]], Schema]
    statuses: Mapping[int, int] = {}


def _at_the_top(codes: Sequence[str]) -> Schema:
    return {"properties": {"code": {"enum": list(codes)}}}


def _in_amos(codes: Sequence[str]) -> Schema:
    return {"properties": {"amos": _at_the_top(codes)}}


PROBLEM = Envelope(
    name="Problem", kind=ProblemDetails, media_type="application/problem+json", codes=_at_the_top
)

TAVILY = Envelope(name="Tavily", kind=TavilyError, media_type=JSON, codes=_in_amos)

_BY_FIRST_PART = {
    **dict.fromkeys(("search", "extract", "map", "crawl", "research", "usage", "feedback"), TAVILY)
}


def envelope_of(path: str) -> Envelope:
    """The envelope of a path; where nobody else's client listens, problem details."""
    return _BY_FIRST_PART.get(path.split("/")[1], PROBLEM)
