"""`/console/executions`: a search over past executions, and one of them: why it ended as it did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from api.console.waterfall import waterfall
from api.rest.executions import answer
from api.rest.executions_search import OUTCOMES, question
from api.rest.problems import problem_of
from orchestrator import relays
from orchestrator.errors import EventLogUnavailable, InvalidRequest, NotFound, Overloaded
from orchestrator.executions import FoundExecutions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from api.console.visits import Console, Visit
    from orchestrator.events import Envelope

FILTERS = (
    *("since", "until", "text", "client", "operation", "door", "provider", "cache", "outcome", "error"),
    "min_duration",
)
"""The filters of the form, under the names of `GET /executions`."""

SINCE = ("1h", "24h", "7d", "30d")
"""chosen: how far back people look; a bookmark may say any other age or moment."""

OPERATIONS = ("search", "extract", *relays.OPERATIONS)
"""What can be asked of the gateway."""

DOORS = ("http", "mcp", "cli", "console")
"""By which doors; what warming begins has no last word, by which it would be found."""

CACHES = ("l1", "l2", "collapsed", "miss", "mixed", "relayed")
"""Where answers come from (RequestCompleted)."""

REFRESHES_MAX = 10
"""chosen: an execution that has just been answered is in the record within a second; after ten looks a second
apart something is wrong, and the page says so."""


class Line(NamedTuple):
    """One event for reading: its number, how long after the first, its name, and what it says as JSON."""

    seq: int
    after_s: float
    name: str
    says: str


def routes(console: Console) -> list[Route]:
    """The routes of this file."""

    async def executions(request: Request, visit: Visit) -> Response:
        given = {name: text.strip() for name, text in request.query_params.items() if text.strip()}
        asked = dict.fromkeys(FILTERS, "") | {name: given[name] for name in FILTERS if name in given}
        found, problem = FoundExecutions(executions=(), searched_since=0.0), None
        try:
            wanted = question([*_wanted(asked), *_cursor(given)], time.time())
            found = await console.gateway.executions(wanted, visit.caller)
        except (InvalidRequest, EventLogUnavailable, Overloaded) as error:
            problem = problem_of(error)
        return await visit.page(
            "parts/executions.html" if visit.is_fragment else "executions.html",
            asked=asked,
            found=found,
            problem=problem,
            is_filtered=any(text for name, text in asked.items() if name != "since"),
            is_later_page="before" in given,
            next=f"?{urlencode([*_wanted(asked), ('before', found.next)])}" if found.next else "",
            first=f"?{urlencode(_wanted(asked))}",
            **_choices(),
        )

    async def execution(request: Request, visit: Visit) -> Response:
        execution_id = request.path_params["id"]
        try:
            account = await answer(console.gateway.reports, execution_id, visit.whose)
        except NotFound as missing:
            return await _not_yet(request, visit, missing)
        keys = account.explanation.keys
        texts = await console.gateway.reports.texts(keys)
        return await visit.page(
            "execution.html",
            id=account.execution_id,
            it=account.explanation,
            asked=[texts[key] for key in keys if key in texts],
            waterfall=waterfall(account.events),
            lines=lines(account.events),
        )

    return [
        console.route("/console/executions", executions),
        console.route("/console/executions/{id}", execution),
    ]


def lines(events: Sequence[Envelope]) -> list[Line]:
    """The events for reading, in order."""
    begun_at = events[0].at if events else 0.0
    found = []
    for envelope in events:
        says: dict[str, Any] = msgspec.to_builtins(envelope.event)
        name = says.pop("type")
        text = msgspec.json.format(msgspec.json.encode(says), indent=0).decode()
        found.append(Line(envelope.seq, max(envelope.at - begun_at, 0.0), name, text))
    return found


async def _not_yet(request: Request, visit: Visit, missing: NotFound) -> Response:
    """The page of an execution that is not there; one that may still come is looked for again."""
    tried = request.query_params.get("tried", "")
    looks = int(tried) if tried.isascii() and tried.isdigit() and len(tried) < 3 else 0
    shown = await visit.page("no_execution.html", status=404, message=missing.message)
    if missing.retry_after_s is not None and looks < REFRESHES_MAX:
        shown.headers["Refresh"] = f"1; url={request.url.path}?tried={looks + 1}"
    return shown


def _choices() -> dict[str, tuple[str, ...]]:
    return {
        "since_choices": SINCE,
        "operations": OPERATIONS,
        "doors": DOORS,
        "caches": CACHES,
        "outcomes": OUTCOMES,
    }


def _wanted(asked: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, text) for name, text in asked.items() if text]


def _cursor(given: dict[str, str]) -> list[tuple[str, str]]:
    return [("before", given["before"])] if "before" in given else []
