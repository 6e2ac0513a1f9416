"""From what an operation may raise to its answers of status 400 and above, in the envelope of its path.

Statuses are those of api/rest/problems.py, codes those of the errors. Refusals that are no error of the
gateway but of HTTP alone stand in `REFUSALS`; a test holds it against every `Problem` in the code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from api.openapi.operation import JSON, Operation, Schema
from api.openapi.schemas import Schemas
from api.rest.envelopes import Envelope, envelope_at
from api.rest.problems import STATUSES, ProblemDetails
from orchestrator import errors
from orchestrator.errors import GatewayError


class Refusal(NamedTuple):
    """What HTTP refuses before there is a call, or for want of a route."""

    status: int
    meaning: str


REFUSALS: dict[str, Refusal] = {
    "host_missing": Refusal(400, "The request names no Host, or several."),
    "foreign_origin": Refusal(403, "A page of another origin asks."),
    "foreign_site": Refusal(403, "A page of another site asks."),
    "https_required": Refusal(403, "What shows a key must come by HTTPS."),
    "forbidden": Refusal(403, "Only JSON is offered of SearXNG's formats."),
    "path_keys_off": Refusal(404, "A key in the path is not accepted here."),
    "not_found": Refusal(404, "Nothing is offered at this path."),
    "bad_request": Refusal(400, "This is not valid HTTP."),
    "head_too_large": Refusal(431, "The head of the request is too large."),
    "unknown_transfer_coding": Refusal(501, "The body comes in a coding that nobody here can undo."),
    "method_not_allowed": Refusal(405, "The path has other methods; `Allow` names them."),
    "not_acceptable": Refusal(406, "The client does not read JSON, by its Accept."),
    "body_timeout": Refusal(408, "The body took too long to arrive."),
    "body_too_large": Refusal(413, "The body is larger than a request may be."),
    "not_json": Refusal(415, "The body is not declared as JSON."),
    "foreign_host": Refusal(421, "AMOS does not answer to the name in Host."),
    "internal_error": Refusal(500, "A fault of AMOS; the cause is in its log."),
    "not_running": Refusal(503, "The instance is starting or stopping."),
}
"""Every code of a `Problem`, its status, and what it means."""

_PROBLEM = Envelope(name="Problem", render=msgspec.json.encode, kind=ProblemDetails, code_at=("code",))
"""Where no API of another rules."""

_ANYWHERE = ("host_missing", "foreign_origin", "foreign_site", "foreign_host", "internal_error")
_OF_A_BODY = ("body_timeout", "body_too_large", "not_json")
_OF_A_KEY = (errors.Unauthenticated, errors.RefusedTooOften, errors.KeysUnavailable)
_HEADERS_OF_STATUS = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    404: ("Retry-After",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    432: ("Retry-After",),
    503: ("Retry-After",),
    504: ("Retry-After",),
}


class Failures:
    """The failures of operations, with the schemas they need. Those that are alike are one component."""

    def __init__(self, schemas: Schemas) -> None:
        self.components: dict[str, Schema] = {}
        self._schemas = schemas

    def of(self, operation: Operation) -> dict[str, Schema]:
        """The responses above 399, by status."""
        envelope = envelope_at(operation.path) or _PROBLEM
        by_status: dict[int, dict[str, str]] = {}
        for code, ours, meaning in (*_refusals(operation), *_errors(operation)):
            status = envelope.statuses.get(ours, ours)
            by_status.setdefault(status, {}).setdefault(code, meaning)
        return {
            str(status): self._shared(
                f"{envelope.name}{status}", self._response(operation, envelope, status, codes)
            )
            for status, codes in by_status.items()
        }

    def _shared(self, stem: str, response: Schema) -> Schema:
        """A reference to the response, which has the stem for a name, or the next one that is free."""
        name, number = stem, 2
        while self.components.setdefault(name, response) != response:
            name, number = f"{stem}-{number}", number + 1
        return {"$ref": f"#/components/responses/{name}"}

    def _response(
        self, operation: Operation, envelope: Envelope, status: int, codes: dict[str, str]
    ) -> Schema:
        media_type = "application/problem+json" if envelope is _PROBLEM else JSON
        narrowed: Schema = {"enum": sorted(codes)}
        for member in reversed(envelope.code_at):
            narrowed = {"properties": {member: narrowed}}
        content = {media_type: {"schema": {"allOf": [self._schemas.of(envelope.kind), narrowed]}}}
        if status in operation.error_schemas:
            own = {"schema": self._schemas.of(operation.error_schemas[status])}
            content[JSON] = (
                {"schema": {"anyOf": [content[JSON]["schema"], own["schema"]]}} if JSON in content else own
            )
        own_id = () if status in operation.error_schemas else ("X-Request-Id",)
        headers = (*own_id, *_HEADERS_OF_STATUS.get(status, ()))
        return {
            "description": " ".join(f"`{code}`: {meaning}" for code, meaning in sorted(codes.items())),
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
            **({} if operation.method == "HEAD" else {"content": content}),
        }


def every_code() -> dict[str, Refusal]:
    """Every code there is, of errors and of refusals, sorted."""
    found = dict(REFUSALS)
    for error, status in STATUSES.items():
        found.setdefault(error.code, Refusal(status, meaning_of(error)))
    return dict(sorted(found.items()))


def meaning_of(error: type[GatewayError]) -> str:
    """The first sentence or paragraph of what is said of an error."""
    return inspect.cleandoc(error.__doc__ or "").split("\n\n", maxsplit=1)[0].replace("\n", " ")


def _refusals(operation: Operation) -> Iterable[tuple[str, int, str]]:
    codes = [*_ANYWHERE, *operation.refusals]
    if operation.body is not None:
        codes += _OF_A_BODY
    elif operation.method in ("POST", "DELETE"):
        codes.append("not_json")
    if operation.scopes is not None:
        codes.append("https_required")
    for code in codes:
        yield code, *REFUSALS[code]


def _errors(operation: Operation) -> Iterable[tuple[str, int, str]]:
    raised: list[type[GatewayError]] = [*operation.errors]
    if operation.scopes is not None:
        raised += _OF_A_KEY
    if operation.scopes:
        raised.append(errors.PermissionDenied)
    if operation.body is not None or operation.query is not None:
        raised.append(errors.InvalidRequest)
    for error in dict.fromkeys(raised):
        yield error.code, STATUSES[error], meaning_of(error)
