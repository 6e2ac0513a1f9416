"""`/reports/{name}`: what the recorded events add up to over a window of time."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from api.rest.health import json_response
from api.rest.visitor import visitor_of
from orchestrator.errors import InvalidRequest
from orchestrator.reports.report import Question

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway
    from orchestrator.ports import ReportStore

PARAMETERS = ("since", "until", "by")

SINCE_DEFAULT = "24h"

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhdw])")
_EPOCH = re.compile(r"[0-9]{9,11}(\.[0-9]{1,6})?")  # shorter is more likely an age without its unit


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [Route("/reports/{name}", _report(gateway))]


def _report(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def report(request: Request) -> Response:
        await gateway.principal_for(visitor_of(request.scope).caller(), "reports")
        parameters = request.query_params.multi_items()
        name = request.path_params["name"]
        return json_response(await answer(gateway.reports, name, parameters, time.time()))

    return report


async def answer(
    store: ReportStore, name: str, parameters: Iterable[tuple[str, str]], now: float
) -> dict[str, Any]:
    """The report `name` with the parameters `since`, `until` and `by`; of a repeated one the last counts.

    `now` is epoch seconds. Raises NotFound for another name, InvalidRequest for a parameter,
    EventLogUnavailable.
    """
    given = dict(parameters)
    for parameter in given:
        if parameter not in PARAMETERS:
            raise InvalidRequest(
                f"An unknown parameter was given; a report has {', '.join(PARAMETERS)}.", field="parameters"
            )
    until = moment("until", given.get("until") or "now", now)
    since = moment("since", given.get("since") or SINCE_DEFAULT, now)
    question = Question(since=since, until=until, by=given.get("by", ""))
    return await store.report(name, question)


def moment(field: str, text: str, now: float) -> float:
    """A moment in epoch seconds: `now`, an age (`90m`, `24h`, `7d`, `2w`), epoch seconds or ISO 8601.

    ISO text without an offset is UTC; what lies before 1970 is 1970. Raises InvalidRequest.
    """
    if text == "now":
        return now
    if age := _AGE.fullmatch(text):
        return max(0.0, now - int(age["count"]) * _UNITS_S[age["unit"]])
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        # A plus sign of an offset arrives as a blank from clients that do not encode it.
        parsed = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return max(0.0, (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"{field}: expected an age such as 24h or 7d, a moment such as 2026-11-22T10:00:00Z, or now.",
            field=field,
        ) from error
