"""What reports and searches over executions share: parameters read strictly, an answer as a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from starlette.responses import Response

from api.rest.accept import quality
from api.rest.plain_routes import careful_headers
from api.spreadsheet import MEDIA_TYPE
from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from starlette.requests import Request

FORMATS = ("json", "csv")

NUMBER = re.compile(r"[0-9]{1,9}")
"""A `limit` as it is written; of whole numbers that bounds decide about."""


def read(parameters: Iterable[tuple[str, str]], names: Sequence[str], what: str) -> dict[str, str]:
    """The parameters by their names, each given once and with a value; `format` is one of `FORMATS`.

    `what` is what has them, for people. Raises InvalidRequest.
    """
    given: dict[str, str] = {}
    for parameter, value in parameters:
        if parameter not in names:
            raise InvalidRequest(
                f"An unknown parameter was given; {what} has {', '.join(names)}.", field="parameters"
            )
        if parameter in given:
            raise InvalidRequest(f"{parameter}: given more than once.", field=parameter)
        if not value:
            raise InvalidRequest(f"{parameter}: has no value; leave it out for its default.", field=parameter)
        given[parameter] = value
    if given.get("format", "json") not in FORMATS:
        raise InvalidRequest(f"format: expected one of {', '.join(FORMATS)}.", field="format")
    return given


def wants_csv(request: Request) -> bool:
    """Whether the answer shall be CSV: by `format`, or else by `Accept`."""
    form = request.query_params.get("format") or preferred(request.headers.getlist("accept"))
    return form == "csv"


def preferred(accept: Iterable[str]) -> str:
    """The format that these `Accept` fields ask for: CSV if its quality is above that of JSON, else JSON.

    Nobody is refused: who accepts neither is given JSON.
    """
    header = ", ".join(accept)
    return "csv" if quality(header, MEDIA_TYPE) > quality(header, "application/json") else "json"


def csv_response(content: bytes) -> Response:
    """A table that nobody keeps."""
    headers = {**careful_headers(), "Vary": "Accept"}
    return Response(content, headers=headers, media_type=f"{MEDIA_TYPE}; charset=utf-8; header=present")
