"""`/console/live`: executions as they end. The page asks every two seconds for what is new.

Nothing is pushed: a poll works behind every proxy, and ends with the page. However many pages are open, the
record is asked no more than twice a second for each client, and for all who see everybody's calls together.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import msgspec

from api.rest.executions_search import POSITION
from api.rest.problems import problem_of
from orchestrator.errors import EventLogUnavailable
from orchestrator.executions import ExecutionQuery, FoundExecutions

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from api.console.visits import Console, Visit
    from orchestrator.ports import ReportStore

ROWS_MAX = 100
"""chosen: the page keeps so many rows; older ones are found among the executions."""

NEW_ROWS_MAX = 50
"""chosen: what one look shows; more in two seconds is a stream nobody reads."""

WINDOW_S = 3_600.0
"""chosen: what the list begins with, and how long a page may have slept without missing anything."""

SHARED_S = 0.5
"""chosen: for so long what was found answers others too; nobody notices beside the two seconds of a page."""


class Newest:
    """What ended last, for each client who looks and, by `None`, for those who see everybody's calls."""

    def __init__(self, reports: ReportStore) -> None:
        self._reports = reports
        self._looks: dict[str | None, _Look] = {}

    async def of(self, client: str | None) -> FoundExecutions:
        """The newest calls of the client, as they were `SHARED_S` ago at most. Raises EventLogUnavailable."""
        now = time.monotonic()
        self._looks = {whose: look for whose, look in self._looks.items() if look.is_of_use(now)}
        look = self._looks.setdefault(client, _Look())
        # One page looks for all. If it leaves, the look ends with it, and the next who waits takes it over.
        async with look.turn:
            if not look.is_for(now):
                begun = time.monotonic()
                look.found = await self._found(client)
                look.begun, look.ended = begun, time.monotonic()
        if isinstance(look.found, EventLogUnavailable):
            raise look.found
        return look.found

    async def _found(self, client: str | None) -> FoundExecutions | EventLogUnavailable:
        now = time.time()
        # Clocks of instances differ a little: what one of them dates a moment ahead is new all the same.
        wanted = ExecutionQuery(since=now - WINDOW_S, until=now + WINDOW_S, client=client, limit=NEW_ROWS_MAX)
        try:
            return await self._reports.executions(wanted)
        except EventLogUnavailable as error:
            return error


class _Look:
    """A client's last look and what was found or kept it from being; moments of the monotonic clock."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.begun = self.ended = -math.inf
        self.found: FoundExecutions | EventLogUnavailable = FoundExecutions(searched_since=0.0)

    def is_for(self, asked: float) -> bool:
        """Whether it answers who asked then: it was under way, or had begun a moment before."""
        return asked < max(self.ended, self.begun + SHARED_S)

    def is_of_use(self, now: float) -> bool:
        """Whether anybody who asks now may share it."""
        return self.turn.locked() or self.is_for(now)


def routes(console: Console) -> list[Route]:
    """The routes of this file."""
    newest = Newest(console.gateway.reports)

    async def live(_request: Request, visit: Visit) -> Response:
        found = await newest.of(visit.whose)
        return await visit.page("live.html", found=found, after=_cursor(found, 0), rows_max=ROWS_MAX)

    async def rows(request: Request, visit: Visit) -> Response:
        text = request.query_params.get("after", "")
        after = int(text) if POSITION.fullmatch(text) else 0
        try:
            found = _since(after, await newest.of(visit.whose))
        except EventLogUnavailable as error:
            return await visit.page("parts/live_failure.html", problem=problem_of(error))
        return await visit.page("parts/live_rows.html", found=found, after=_cursor(found, after))

    return [console.route("/console/live", live), console.route("/console/live/rows", rows)]


def _since(after: int, found: FoundExecutions) -> FoundExecutions:
    """What of it is new to a page that has seen all up to the position; `next` if that is not all."""
    new = tuple(one for one in found.executions if one.position > after)
    return msgspec.structs.replace(
        found, executions=new, next=found.next if len(new) == len(found.executions) else None
    )


def _cursor(found: FoundExecutions, after: int) -> int:
    """The position after which everything is new to the page."""
    return max((one.position for one in found.executions), default=after)
