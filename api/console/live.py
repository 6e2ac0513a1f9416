"""`/console/live`: executions as they end. The page asks every two seconds for what is new.

Nothing is pushed: a poll is one look into an index, works behind every proxy, and ends with the page.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from api.rest.executions_search import POSITION
from api.rest.problems import problem_of
from orchestrator.errors import EventLogUnavailable
from orchestrator.executions import ExecutionQuery, FoundExecutions

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from api.console.visits import Console, Visit

ROWS_MAX = 100
"""chosen: the page keeps so many rows; older ones are found among the executions."""

NEW_ROWS_MAX = 50
"""chosen: what one look shows; more in two seconds is a stream nobody reads."""

WINDOW_S = 3_600.0
"""chosen: what the list begins with, and how long a page may have slept without missing anything."""


def routes(console: Console) -> list[Route]:
    """The routes of this file."""

    async def live(_request: Request, visit: Visit) -> Response:
        found = await _newest(console, visit, 0)
        return await visit.page("live.html", found=found, after=_cursor(found, 0), rows_max=ROWS_MAX)

    async def rows(request: Request, visit: Visit) -> Response:
        text = request.query_params.get("after", "")
        after = int(text) if POSITION.fullmatch(text) else 0
        try:
            found = await _newest(console, visit, after)
        except EventLogUnavailable as error:
            problem = problem_of(error)
            return await visit.page("parts/live_failure.html", status=problem.status, problem=problem)
        return await visit.page("parts/live_rows.html", found=found, after=_cursor(found, after))

    return [console.route("/console/live", live), console.route("/console/live/rows", rows)]


async def _newest(console: Console, visit: Visit, after: int) -> FoundExecutions:
    now = time.time()
    # Clocks of instances differ a little: what one of them dates a moment ahead is new all the same.
    wanted = ExecutionQuery(since=now - WINDOW_S, until=now + WINDOW_S, after=after, limit=NEW_ROWS_MAX)
    return await console.gateway.executions(wanted, visit.caller)


def _cursor(found: FoundExecutions, after: int) -> int:
    """The position after which everything is new to the page."""
    return max((one.position for one in found.executions), default=after)
