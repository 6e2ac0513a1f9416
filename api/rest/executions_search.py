"""`/executions?…`: past executions that fit, newest first, a page at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

import msgspec
from starlette.routing import Route

from api.moments import moment
from api.rest.plain_routes import json_response
from api.rest.tables import NUMBER, csv_response, read, wants_csv
from api.rest.visitor import visitor_of
from api.spreadsheet import table_csv
from orchestrator.errors import InvalidRequest
from orchestrator.executions import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    ExecutionQuery,
    FoundExecution,
    FoundExecutions,
)
from orchestrator.limits import FRAME_NAME_CHARS_MAX
from orchestrator.reports.catalogue import MOMENT_MAX

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orchestrator.gateway import Gateway

MIN_DURATION_S_MAX = 86_400
"""chosen: a day; no call stays as long."""

OUTCOMES = ("answered", "failed")

_NAMES = ("client", "operation", "door", "provider", "cache", "outcome", "error", "text")
_SECONDS = re.compile(r"[0-9]{1,5}(\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?")
POSITION = re.compile(r"[0-9]{1,18}")
"""A cursor as it is written: a position, which fits the 64-bit integers of SQL."""


class ExecutionParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a search over executions, as they are written; `""` is any."""

    since: str = "24h"
    until: str = "now"
    client: str = ""
    operation: str = ""
    door: str = ""
    provider: str = ""
    cache: str = ""
    outcome: str = ""
    error: str = ""
    text: str = ""
    min_duration: float = 0.0
    before: str = ""
    limit: int = LIMIT_DEFAULT
    format: Literal["json", "csv"] = "json"


PARAMETERS = ExecutionParameters.__struct_fields__

COLUMNS = FoundExecution.__struct_fields__


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [Route("/executions", _executions(gateway))]


def _executions(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def executions(request: Request) -> Response:
        caller = visitor_of(request.scope).caller()
        await gateway.principal_for(caller)  # before a stranger learns what is wrong with the question
        parameters = request.query_params.multi_items()
        found = await gateway.executions(question(parameters, time.time()), caller)
        response = csv_response(as_csv(found)) if wants_csv(request) else json_response(found)
        if found.next is not None:
            more = urlencode({**dict(parameters), "before": found.next})
            response.headers["Link"] = f'<?{more}>; rel="next"'
        return response

    return executions


def as_csv(found: FoundExecutions) -> bytes:
    """The executions as one table, with a heading also if there are none."""
    return table_csv(COLUMNS, map(msgspec.structs.asdict, found.executions))


def question(parameters: Iterable[tuple[str, str]], now: float) -> ExecutionQuery:
    """What is asked with these parameters; `now` is epoch seconds. Raises InvalidRequest."""
    given = read(parameters, PARAMETERS, "a search over executions")
    names = {name: given[name] for name in _NAMES if name in given}
    for name, value in names.items():
        if len(value) > FRAME_NAME_CHARS_MAX or not value.isprintable():
            raise _refused(name, f"at most {FRAME_NAME_CHARS_MAX} characters that can be printed")
    if names.get("outcome", "answered") not in OUTCOMES:
        raise _refused("outcome", f"one of {', '.join(OUTCOMES)}")
    seconds = f"seconds from 0 to {MIN_DURATION_S_MAX}, such as 2 or 0.5"
    least = float(_matching(_SECONDS, given, "min_duration", seconds) or 0)
    if least > MIN_DURATION_S_MAX:
        raise _refused("min_duration", seconds)
    before = _matching(POSITION, given, "before", "the value of `next` in another page")
    limit = int(_matching(NUMBER, given, "limit", f"a number from 1 to {LIMIT_MAX}") or LIMIT_DEFAULT)
    if not 0 < limit <= LIMIT_MAX:
        raise _refused("limit", f"a number from 1 to {LIMIT_MAX}")
    since = moment("since", given.get("since", "24h"), now)
    until = moment("until", given.get("until", "now"), now)
    if until > MOMENT_MAX:
        raise _refused("until", "a moment before the year 9000")
    if since >= until:
        raise InvalidRequest("since: must be before until.", field="since")
    query = ExecutionQuery(
        since=since,
        until=until,
        duration_s_min=least,
        before=int(before) if before else None,
        limit=limit,
    )
    return msgspec.structs.replace(query, **names)


def _matching(form: re.Pattern[str], given: dict[str, str], name: str, expected: str) -> str:
    """The parameter, `""` if it is not given. Raises InvalidRequest if it has another form."""
    value = given.get(name, "")
    if value and not form.fullmatch(value):
        raise _refused(name, expected)
    return value


def _refused(name: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: expected {expected}.", field=name)
