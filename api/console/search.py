"""`/`: a search, its answer, and why this answer.

The question is a plain GET with the same names as `GET /search`, so that it works without JavaScript and can
be kept as a bookmark. It goes through the one pipeline as every other call does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec

from api.console.waterfall import Waterfall, waterfall
from api.rest.dialects.fields import parameters
from api.rest.dialects.tavily import parse_search_query
from api.rest.problems import Problem, problem_of
from orchestrator import limits
from orchestrator.errors import EventLogUnavailable, GatewayError
from orchestrator.history import closing, saved
from orchestrator.model import TOPICS, CacheControl, SearchAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response as Page
    from starlette.routing import Route

    from api.console.visits import Console, Visit
    from orchestrator.events import Cost
    from orchestrator.model import Response

OPTIONS = (
    "topic",
    "search_depth",
    "max_results",
    "time_range",
    "include_domains",
    "exclude_domains",
    "include_answer",
)
"""What the form offers beside the query, under the names of the API."""

FRESH = "fresh"
"""The form's wish for an answer that is not from the cache."""

DEPTHS = ("basic", "advanced", "fast")
"""chosen: the depths worth a choice here; the API takes all of them."""

TIME_RANGES = ("day", "week", "month", "year")
"""The values of `time_range` without their short forms."""

COUNTS = (5, 10, limits.RESULTS_MAX)
"""chosen: the default, a page, all there can be."""

_decode = msgspec.json.Decoder(SearchAnswer).decode


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a search: an answer and how it came about, or the problem. `None` where there is none."""

    answer: SearchAnswer | None = None
    response: Response | None = None
    saved: Cost | None = None
    problem: Problem | None = None
    execution_id: str = ""
    duration_s: float = 0.0
    waterfall: Waterfall = Waterfall((), 0.0)


def routes(console: Console) -> list[Route]:
    """The routes of this file."""

    async def search(request: Request, visit: Visit) -> Page:
        asked: dict[str, str] = form_of(b"")
        outcome = None
        try:
            asked = form_of(request.scope["query_string"])
            if asked["q"]:
                outcome = await _searched(console, visit, asked)
        except (GatewayError, Problem) as error:
            outcome = Outcome(problem=problem_of(error))
        return await visit.page(
            "parts/answer.html" if visit.is_fragment else "search.html",
            problem=None if outcome is None else outcome.problem,
            asked=asked,
            has_options=any(text for name, text in asked.items() if name != "q"),
            outcome=outcome,
            topics=TOPICS,
            depths=DEPTHS,
            time_ranges=TIME_RANGES,
            counts=COUNTS,
            query_chars_max=limits.QUERY_CHARS_MAX,
            is_web=is_web,
        )

    return [console.route("/", search, "search")]


def form_of(query_string: bytes) -> dict[str, str]:
    """What every field of the form holds, `""` for nothing. Raises InvalidRequest."""
    fields = dict.fromkeys(("q", *OPTIONS, FRESH), "")
    return fields | {name: text.strip() for name, text in parameters(query_string) if name in fields}


def is_web(url: str) -> bool:
    """Whether a URL that a stranger wrote may become a link."""
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


async def _searched(console: Console, visit: Visit, asked: Mapping[str, str]) -> Outcome:
    """The outcome of a search. Raises InvalidRequest for what is none."""
    given = {name: text for name, text in asked.items() if text and name != FRESH}
    wanted = parse_search_query(urlencode(given).encode()).request
    caller = visit.caller
    if asked[FRESH]:
        caller = msgspec.structs.replace(caller, cache_control=CacheControl(no_cache=True))
    call = console.gateway.open(wanted, caller)
    try:
        response = await console.gateway.search(call)
    except GatewayError as error:
        return Outcome(
            problem=problem_of(error),
            execution_id="" if isinstance(error, EventLogUnavailable) else call.trail.execution_id,
            waterfall=waterfall(call.trail.events),
        )
    return Outcome(
        answer=_decode(b"{" + response.fragment + b"}"),
        response=response,
        saved=saved(call.trail.events),
        execution_id=call.trail.execution_id,
        duration_s=closing(call.trail.events).duration_s,
        waterfall=waterfall(call.trail.events),
    )
