"""`/reports/{name}`: what the recorded events add up to over a window of time."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from api.rest.health import CAREFUL, json_response
from api.rest.visitor import visitor_of
from api.spreadsheet import MEDIA_TYPE, report_csv
from orchestrator.errors import InvalidRequest
from orchestrator.reports.report import LIMIT_DEFAULT, LIMIT_MAX, Question
from orchestrator.reports.windows import zone_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from orchestrator.gateway import Gateway
    from orchestrator.ports import ReportStore

PARAMETERS = ("since", "until", "by", "limit", "tz", "format")

FORMATS = ("json", "csv")

SINCE_DEFAULT = "24h"

ZONE_DEFAULT = "UTC"

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhdw])")
_NUMBER = re.compile(r"[0-9]{1,9}")
_EPOCH = re.compile(r"[0-9]{9,11}(\.[0-9]{1,6})?")  # shorter is more likely an age without its unit


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [Route("/reports/{name}", _report(gateway))]


def _report(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def report(request: Request) -> Response:
        await gateway.principal_for(visitor_of(request.scope).caller(), "reports")
        parameters = request.query_params.multi_items()
        found = await answer(gateway.reports, request.path_params["name"], parameters, time.time())
        form = dict(parameters).get("format") or preferred(request.headers.getlist("accept"))
        return _csv_response(report_csv(found)) if form == "csv" else json_response(found)

    return report


def preferred(accept: Iterable[str]) -> str:
    """The format that these `Accept` fields ask for: CSV if its quality is above that of JSON, else JSON.

    Nobody is refused: who accepts neither is given JSON (RFC 9110, 12.5.1).
    """
    qualities = {"csv": -1.0, "json": 0.0}
    for part in ",".join(accept).lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        form = {MEDIA_TYPE: "csv", "application/json": "json"}.get(media_type)
        if form and re.fullmatch(r"[01](\.[0-9]{0,3})?", quality):
            qualities[form] = float(quality)
    return "csv" if qualities["csv"] > qualities["json"] else "json"


def _csv_response(content: bytes) -> Response:
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    headers |= {name.decode(): value.decode() for name, value in CAREFUL}
    return Response(content, headers=headers, media_type=f"{MEDIA_TYPE}; charset=utf-8; header=present")


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
    given: dict[str, str] = {}
    for parameter, value in parameters:
        if parameter not in PARAMETERS:
            raise InvalidRequest(
                f"An unknown parameter was given; a report has {', '.join(PARAMETERS)}.", field="parameters"
            )
        if parameter in given:
            raise InvalidRequest(f"{parameter}: given more than once.", field=parameter)
        if not value:
            raise InvalidRequest(f"{parameter}: has no value; leave it out for its default.", field=parameter)
        given[parameter] = value
    if given.get("format", "json") not in FORMATS:
        raise InvalidRequest(f"format: expected one of {', '.join(FORMATS)}.", field="format")
    limit = given.get("limit", str(LIMIT_DEFAULT))
    if not _NUMBER.fullmatch(limit):
        raise InvalidRequest(f"limit: expected a number from 1 to {LIMIT_MAX}.", field="limit")
    time_zone = given.get("tz", ZONE_DEFAULT)
    zone = zone_of(time_zone)
    return Question(
        since=moment("since", given.get("since", SINCE_DEFAULT), now, zone),
        until=moment("until", given.get("until", "now"), now, zone),
        by=given.get("by", ""),
        limit=int(limit),
        time_zone=time_zone,
    )


def moment(field: str, text: str, now: float, zone: tzinfo = UTC) -> float:
    """A moment in epoch seconds: `now`, an age (`90m`, `24h`, `7d`, `2w`), epoch seconds or ISO 8601.

    ISO text without an offset is in the zone; what lies before 1970 is 1970. Raises InvalidRequest.
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
        return max(0.0, (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"{field}: expected an age such as 24h or 7d, a moment such as 2026-11-22T10:00:00Z, or now.",
            field=field,
        ) from error
