"""`/reports/{name}`: what the recorded events add up to over a window of time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from starlette.routing import Route

from api.moments import moment
from api.rest.plain_routes import client_with, json_response
from api.rest.tables import NUMBER, csv_response, read, wants_csv
from api.spreadsheet import report_csv
from orchestrator.errors import InvalidRequest
from orchestrator.reports.report import LIMIT_DEFAULT, LIMIT_MAX, Question
from orchestrator.reports.windows import zone_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway
    from orchestrator.ports import ReportStore


class ReportParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a report, as they are written."""

    since: str = "24h"
    until: str = "now"
    by: str = ""
    limit: int = LIMIT_DEFAULT
    tz: str = "UTC"
    format: Literal["json", "csv"] = "json"


PARAMETERS = ReportParameters.__struct_fields__


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [Route("/reports/{name}", _report(gateway))]


def _report(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def report(request: Request) -> Response:
        await client_with(gateway, request, "reports")
        parameters = request.query_params.multi_items()
        found = await answer(gateway.reports, request.path_params["name"], parameters, time.time())
        return csv_response(report_csv(found)) if wants_csv(request) else json_response(found)

    return report


async def answer(
    store: ReportStore, name: str, parameters: Iterable[tuple[str, str]], now: float
) -> dict[str, Any]:
    """The report `name` with these `PARAMETERS`, of which `format` is for whoever shows it.

    `now` is epoch seconds. Raises NotFound for another name, InvalidRequest for a parameter,
    EventLogUnavailable.
    """
    return await store.report(name, question(parameters, now))


def question(parameters: Iterable[tuple[str, str]], now: float) -> Question:
    """What is asked with these parameters; one that is not given has its default. Raises InvalidRequest."""
    given = read(parameters, PARAMETERS, "a report")
    if not NUMBER.fullmatch(given.get("limit", "1")):
        raise InvalidRequest(f"limit: expected a number from 1 to {LIMIT_MAX}.", field="limit")
    asked = msgspec.convert(given, ReportParameters, strict=False)
    zone = zone_of(asked.tz)
    return Question(
        since=moment("since", asked.since, now, zone),
        until=moment("until", asked.until, now, zone),
        by=asked.by,
        limit=asked.limit,
        time_zone=asked.tz,
    )
