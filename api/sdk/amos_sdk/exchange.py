"""The decisions of one call, without waiting or sending: what to make of its outcome, and whether to retry.

`exchange` is a generator. Its driver does what it yields, a `Send` or a `Wait`, and tells it the outcome; the
synchronous and the asynchronous client differ in nothing but the driver (amos_sdk.driver).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from amos_sdk.errors import AmosError, TimedOut, UnexpectedAnswer, Unreachable, class_of

T = TypeVar("T")

JSON_ERRORS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading JSON of another shape raises."""

RETRIED_STATUSES = frozenset({429, 503})
"""Answers that ask for another try: the caller's window is used up, or the server has nobody to ask now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When and how often to try again after 429, 503, or when nothing could be connected to.

    `attempts_max` counts the first one; 1 never retries. The wait is what `Retry-After` says; without it, it
    is drawn evenly from 0 to `min(backoff_cap_s, backoff_base_s * 2**(n-1))` before retry n. A server that
    asks for more than `wait_s_max` seconds, or past the caller's `timeout_s`, is not waited for: its error is
    raised at once. All chosen: a search is wanted within seconds. A connection that broke after the request
    had left is not retried, because the call may have been made and paid for.
    """

    attempts_max: int = 3
    backoff_base_s: float = 0.25
    backoff_cap_s: float = 4.0
    wait_s_max: float = 15.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense. Raises ValueError."""
        if self.attempts_max < 1:
            raise ValueError("attempts_max must be at least 1: the first attempt counts")
        if min(self.backoff_base_s, self.backoff_cap_s, self.wait_s_max) < 0:
            raise ValueError("waits must not be negative")

    def wait_s(self, retry: int, asked_s: float | None, chance: float) -> float | None:
        """The wait before retry number `retry` (from 1) in seconds, or `None` for "do not retry".

        `asked_s` is what the server asks for, `None` if nothing; `chance` is 0..1.
        """
        if retry >= self.attempts_max:
            return None
        if asked_s is None:
            return chance * min(self.backoff_cap_s, self.backoff_base_s * 2.0 ** (retry - 1))
        return asked_s if asked_s <= self.wait_s_max else None


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request; the outcome is an `httpx.Response` or an `httpx.HTTPError`.

    `accepts` names statuses that are answers here, beside those of success. `not_yet_s` is how long, in
    seconds, a 404 that says when to ask again means "not yet". `left_s` is what is left of the caller's
    `timeout_s`; the exchange sets it.
    """

    method: str
    path: str
    options: dict[str, Any]
    accepts: frozenset[int] = frozenset()
    not_yet_s: float = 0.0
    left_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds; the outcome is `None`."""

    seconds: float


Outcome = httpx.Response | httpx.HTTPError | None
Step = Send | Wait
Steps = Generator[Step, Outcome, T]


def exchange(
    send: Send,
    parse: Callable[[bytes], T],
    policy: RetryPolicy,
    timeout_s: float,
    *,
    chance: Callable[[], float] = random.random,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[T]:
    """Send until there is an answer or no more reason to try; the result is what `parse` makes of its body.

    All of it, waits included, ends within `timeout_s` seconds. Raises AmosError.
    """
    begun_at = clock()
    retry = 0
    while True:
        outcome = yield replace(send, left_s=timeout_s - (clock() - begun_at))
        assert outcome is not None
        if isinstance(outcome, httpx.Response) and _is_answer(outcome, send):
            return _parsed(outcome, parse)
        error = failure(outcome)
        passed_s = clock() - begun_at
        wait_s = _not_yet_s(outcome, error, send.not_yet_s - passed_s)
        if wait_s is None:
            retry += 1
            wait_s = policy.wait_s(retry, getattr(error, "retry_after_s", None), chance())
            if wait_s is None or not _is_worth_it(outcome):
                raise error
        if passed_s + wait_s >= timeout_s:
            raise error
        yield Wait(wait_s)


def _is_answer(response: httpx.Response, send: Send) -> bool:
    return response.is_success or response.status_code in send.accepts


def _not_yet_s(outcome: Outcome, error: AmosError, patience_s: float) -> float | None:
    """How long to wait for what the server says will be there in a moment; `None` for anything else."""
    asked_s: float | None = getattr(error, "retry_after_s", None)
    is_not_yet = isinstance(outcome, httpx.Response) and outcome.status_code == 404
    return asked_s if is_not_yet and asked_s is not None and asked_s <= patience_s else None


def _parsed(response: httpx.Response, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(response.content)
    except JSON_ERRORS as error:
        raise UnexpectedAnswer("The address answers, but not as AMOS does; check the base URL.") from error


def of_object(make: Callable[[dict[str, Any]], T]) -> Callable[[bytes], T]:
    """The parser that gives `make` the JSON object of a body. It raises what `JSON_ERRORS` names."""

    def parse(body: bytes) -> T:
        return make(_object_of(body))

    return parse


def as_it_came(body: bytes) -> bytes:
    """The parser that only makes sure that the body is a JSON object."""
    _object_of(body)
    return body


def _object_of(body: bytes) -> dict[str, Any]:
    found = json.loads(body)
    if not isinstance(found, dict):
        raise TypeError("not a JSON object")
    return found


def _is_worth_it(outcome: httpx.Response | httpx.HTTPError) -> bool:
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in RETRIED_STATUSES
    # Only what surely never reached the server: anything else may have been done, and paid for.
    return isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def failure(outcome: httpx.Response | httpx.HTTPError) -> AmosError:
    """The error of an outcome that is no answer; what came from httpx is its cause."""
    if isinstance(outcome, httpx.Response):
        return _refusal(outcome)
    error: AmosError
    if isinstance(outcome, httpx.TimeoutException):
        error = TimedOut("AMOS did not answer in time.")
    else:
        # The words of other failures may repeat what was sent, the key included.
        words = str(outcome) if isinstance(outcome, httpx.ConnectError) else ""
        why = words or type(outcome).__name__
        error = Unreachable(f"AMOS cannot be reached ({why}).")
    error.__cause__ = outcome
    return error


def _refusal(response: httpx.Response) -> AmosError:
    if not response.is_error:
        return UnexpectedAnswer(f"The address answers HTTP {response.status_code}; check the base URL.")
    body = _object(response)
    amos = body.get("amos")
    told = amos if isinstance(amos, dict) else body
    return class_of(response.status_code)(
        _sentence(body) or f"HTTP {response.status_code} {response.reason_phrase}".rstrip(),
        status=response.status_code,
        code=_text(told.get("code")),
        retry_after_s=_retry_after_s(response.headers.get("retry-after")),
        execution_id=_text(told.get("execution_id")),
    )


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        return _object_of(response.content)
    except JSON_ERRORS:
        return {}


def _sentence(body: dict[str, Any]) -> str:
    """The reason in Tavily's envelope (`detail.error`), in problem details, or of each wrong field."""
    detail = body.get("detail")
    if isinstance(detail, list):
        found = [entry for entry in detail if isinstance(entry, dict)]
        return "; ".join(f"{_place(entry)}: {entry.get('msg', '')}" for entry in found)
    return _text(detail.get("error") if isinstance(detail, dict) else detail)


def _place(entry: dict[str, Any]) -> str:
    place = entry.get("loc")
    return ".".join(str(part) for part in place if part != "body") if isinstance(place, list) else "request"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _retry_after_s(value: str | None) -> float | None:
    """Seconds to wait, from seconds or from a date (RFC 9110, 10.2.3), `None` for neither."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
