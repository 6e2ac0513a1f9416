"""From failures to HTTP: the one table of statuses, and the ways to say what went wrong.

Where a client of another's API may be listening the answer is in the envelope of that API, whose sentence its
clients show to people; everywhere else it is problem details (RFC 9457). Neither ever shows internals: an
exception nobody expected is a 500 here and a traceback in the log.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException

from api.rest.dialects import tavily
from api.rest.envelopes import envelope_at, status_at
from api.rest.limit_headers import problem_type
from orchestrator import errors
from orchestrator.errors import GatewayError
from orchestrator.model import Attempt, Trail

STATUSES: dict[type[GatewayError], int] = {
    errors.GatewayError: 500,
    errors.CallerError: 400,
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.RefusedTooOften: 429,
    errors.PermissionDenied: 403,
    errors.RateLimited: 429,
    errors.AnonymousLimited: 429,
    # Like a used-up plan at Tavily, whose clients have a typed error for it.
    errors.BudgetExhausted: 432,
    errors.CannotWarm: 409,
    errors.ProviderConflict: 409,
    # RFC 5842, 7.2.
    errors.LoopDetected: 508,
    errors.NotOffered: 501,
    # Tavily's own status for it.
    errors.UrlRefused: 403,
    errors.TaskNotFound: 404,
    # One provider's failure reaches nobody, since the chain makes it AllProvidersFailed; else it is ours.
    errors.ProviderError: 503,
    errors.ProviderTimeout: 503,
    errors.ProviderUnavailable: 503,
    errors.ProviderThrottled: 503,
    errors.ProviderRejected: 503,
    errors.ProviderQuotaExceeded: 503,
    errors.ProviderProtocolError: 503,
    errors.ResultInvalid: 503,
    errors.CircuitOpen: 503,
    errors.ProviderHeldBack: 503,
    errors.SearchFailed: 503,
    errors.AllProvidersFailed: 503,
    # Tavily's own status for a used-up plan: its clients have a typed error for it.
    errors.QuotaExhausted: 432,
    errors.DeadlineExceeded: 504,
    errors.PageUnreadable: 503,
    # RFC 9111, 5.2.1.7: `only-if-cached` that cannot be met.
    errors.NotInCache: 504,
    errors.NotFound: 404,
    errors.KeyNotFound: 404,
    errors.ProviderNotFound: 404,
    errors.StorageError: 503,
    errors.EventLogUnavailable: 503,
    errors.ReportsBehind: 503,
    errors.CacheUnavailable: 503,
    errors.RateLimitStoreUnavailable: 503,
    errors.Overloaded: 503,
    errors.FlightStoreUnavailable: 503,
    errors.CircuitBoardUnavailable: 503,
    errors.BudgetStoreUnavailable: 503,
    errors.KeysUnavailable: 503,
    errors.SettingsError: 500,
}
"""Every error class and its status; a class without a row fails a test."""

STATUS_OF_CODE: dict[str, int] = {error.code: status for error, status in STATUSES.items()}
"""The same by the code that events keep."""

CANCELLED_STATUS = 499
"""What nginx writes for a client that closed the connection; no such answer is ever sent."""

RETRY_AFTER_S = 1.0
"""chosen: what a 429 or 503 says when nobody knows better."""

PROBLEM_TYPE = (b"content-type", b"application/problem+json")

KEY_FAULTS = frozenset(
    {"malformed_key", "bad_checksum", "several_keys", "unknown_key", "wrong_secret"}
    | {"revoked_key", "rotated_key", "expired_key"}
)
"""Reasons for a 401 where a key was shown: RFC 6750, 3.1, has a word for that."""

_CHALLENGE = b'Bearer realm="amos"'
_INVALID = _CHALLENGE + b', error="invalid_token"'

_QUOTA_TITLE = "Quota Exhausted"
_encode = msgspec.json.Encoder().encode


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failure as problem details (RFC 9457). `code` is stable and for programs, `detail` for a person.

    `request_id` and `trace_id` are those by which this answer is found again; `violated-policies` names the
    limits that were exceeded.
    """

    kind: str = msgspec.field(name="type")
    title: str
    status: int
    detail: str
    code: str
    request_id: str = ""
    trace_id: str = ""
    violated: tuple[str, ...] = msgspec.field(default=(), name="violated-policies")


class Problem(Exception):
    """A failure as HTTP knows it. `headers` are those the status demands; `attempts` tell what was tried.

    `kind` and `violated` are the problem type (RFC 9457) and the names of the limits that were exceeded.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        attempts: Sequence[Attempt] = (),
        kind: str = "about:blank",
        violated: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = tuple(headers)
        self.attempts = tuple(attempts)
        self.kind = kind
        self.violated = tuple(violated)


def status_of(code: str, target: str = "") -> int:
    """The status of a failed execution by the `error` of its last word, in the dialect of its route.

    An unknown error is our own fault.
    """
    status = CANCELLED_STATUS if code == "cancelled" else STATUS_OF_CODE.get(code, 500)
    return status_at(status, target)


def internal_error() -> Problem:
    """What the outside learns of an exception nobody expected."""
    return Problem(500, "internal_error", "AMOS failed in an unexpected way. The cause is in its log.")


def problem_of(error: Exception) -> Problem:
    """The failure behind an exception; anything unknown is an internal error."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, GatewayError):
        return _of_gateway(error)
    if isinstance(error, HTTPException):
        return _of_routing(error)
    return internal_error()


def render(
    problem: Problem,
    path: str,
    trail: Trail | None = None,
    *,
    request_id: str = "",
    trace_id: str = "",
    is_keyless: bool = False,
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of a failure, in the dialect of the path.

    `trail` is that of the execution, if any; the two ids are those by which the caller finds this answer
    again, and stand in problem details only. `is_keyless`: a client of Tavily said that it has no key.
    """
    execution_id = trail.execution_id if trail is not None else ""
    headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), *problem.headers]
    envelope = envelope_at(path)
    if envelope is None:
        body = _details(problem, request_id or execution_id, trace_id or (trail.trace_id if trail else ""))
        return [PROBLEM_TYPE, *headers], body
    if problem.status in envelope.headers:
        headers.append(envelope.headers[problem.status])
    wants_limit = is_keyless and problem.status == 429 and envelope.kind is tavily.TavilyError
    more = {"keyless": _keyless(problem)} if wants_limit else {}
    body = envelope.render(
        problem.message,
        status=status_in(problem, path),
        code=problem.code,
        execution_id=execution_id,
        attempts=problem.attempts,
        **more,
    )
    return [(b"content-type", b"application/json"), *headers], body


def _keyless(problem: Problem) -> tavily.KeylessLimit:
    return tavily.KeylessLimit(
        code=problem.code,
        message=problem.message,
        window=problem.violated[0] if problem.violated else None,
        retry_after_seconds=int(dict(problem.headers).get(b"retry-after", b"1")),
    )


def status_in(problem: Problem, path: str) -> int:
    """The status of a failure, in the dialect of the path."""
    return status_at(problem.status, path)


def method_not_allowed(method: str, allowed: bytes) -> Problem:
    """The 405 for a method; `allowed` is the header's list. Only an ordinary method is repeated in it."""
    name = method if method.isascii() and method.isalpha() and len(method) <= 16 else "This method"
    return Problem(
        405,
        "method_not_allowed",
        f"{name} is not offered here; use {allowed.decode()}.",
        headers=((b"allow", allowed),),
    )


def _of_gateway(error: GatewayError) -> Problem:
    status = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, errors.Unauthenticated) and status == 401:
        headers.append((b"www-authenticate", _INVALID if error.reason in KEY_FAULTS else _CHALLENGE))
    elif isinstance(error, errors.PermissionDenied) and error.scopes:
        needed = f', error="insufficient_scope", scope="{" ".join(error.scopes)}"'
        headers.append((b"www-authenticate", _CHALLENGE + needed.encode()))
    wait_s = error.retry_after_s
    if wait_s is None and status in (429, 503):
        wait_s = RETRY_AFTER_S
    if wait_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait_s))))
    attempts = error.attempts if isinstance(error, errors.AllProvidersFailed) else ()
    kind, violated = problem_type(error)
    return Problem(
        status, error.code, error.message, headers=headers, attempts=attempts, kind=kind, violated=violated
    )


def _of_routing(error: HTTPException) -> Problem:
    """What the router refuses: a path or a method nobody offers."""
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        return method_not_allowed("", allowed.encode())
    return Problem(
        error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"), error.detail
    )


def _details(problem: Problem, request_id: str, trace_id: str) -> bytes:
    title = _QUOTA_TITLE if problem.status == 432 else HTTPStatus(problem.status).phrase
    return _encode(
        ProblemDetails(
            kind=problem.kind,
            title=title,
            status=problem.status,
            detail=problem.message,
            code=problem.code,
            request_id=request_id,
            trace_id=trace_id,
            violated=problem.violated,
        )
    )
