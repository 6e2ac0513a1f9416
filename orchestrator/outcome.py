"""The one judgement of how a call to a provider ended. Retry, breaker, fallback and reports all ask here.

An empty answer is a success of the provider: it found nothing, and said so.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum

from orchestrator.errors import (
    AllProvidersFailed,
    CallerError,
    CircuitOpen,
    DeadlineExceeded,
    GatewayError,
    ProviderError,
    ProviderHeldBack,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
    StorageError,
)
from orchestrator.events import FREE, Cost

BAD_REQUEST = "bad_request"
"""The `reason` with which a provider says that the request itself is wrong, whoever is asked."""

CUT_SHORT = "cut_short"
"""The `reason` of a timeout that came of the caller's own haste (see filters/timeout.py)."""

NO_TIME = "deadline"
"""The `reason` for which a provider was passed by: the call had too little time left."""

BUSY = "busy"
"""The `reason` for which a provider was passed by: as many calls to it as may be were under way."""

OUT_OF_TIME = frozenset({"timeout", CUT_SHORT, NO_TIME})
"""Reasons for which an attempt might have ended otherwise with more time."""


class Outcome(StrEnum):
    """How a call ended, and by that what may follow."""

    SUCCESS = "success"
    EMPTY = "empty"
    RETRYABLE = "retryable"
    """The same provider may be asked again soon."""
    FINAL = "final"
    """This provider will not do it now; the next one may."""
    INVALID = "invalid"
    """The request is at fault: no provider will do it."""
    IGNORABLE = "ignorable"
    """Not the provider's doing: the call was cancelled or in too much of a hurry, or our own log failed."""


def judge(error: BaseException) -> Outcome:
    """Classify a failure of one attempt.

    A timeout is final: it has used the time a retry would need. So is a wrong answer: it was paid for, and
    the next one would be as wrong. An error that is none of these is final too, so that a bug in one provider
    does not take the chain down. What came of the caller's haste or of our own storage is ignorable: it is
    not held against the provider, and not retried either.
    """
    if isinstance(error, asyncio.CancelledError | StorageError) or _is_cut_short(error):
        return Outcome.IGNORABLE
    if isinstance(error, CallerError) or (
        isinstance(error, ProviderRejected) and error.reason == BAD_REQUEST
    ):
        return Outcome.INVALID
    if isinstance(error, ProviderUnavailable):
        return Outcome.RETRYABLE
    return Outcome.FINAL


def _is_cut_short(error: BaseException) -> bool:
    return isinstance(error, ProviderTimeout) and error.reason == CUT_SHORT


def is_health_failure(error: BaseException) -> bool:
    """Whether the provider's circuit should count the failure: slow, unreachable, wrong, or refusing our key.

    A throttled or exhausted provider is healthy and has asked for a pause instead (cooldown.py). A foreign
    exception counts: it is a bug in that provider, which would be called, and paid, each time. An error of
    ours that is no ProviderError (the journal is full) does not speak of the provider.
    """
    if isinstance(error, CircuitOpen | ProviderHeldBack | ProviderThrottled | ProviderQuotaExceeded):
        return False
    if judge(error) in (Outcome.INVALID, Outcome.IGNORABLE):
        return False
    if isinstance(error, ProviderError) and error.is_of_request:
        return False
    return isinstance(error, ProviderError) or not isinstance(error, GatewayError)


def is_late(error: BaseException) -> bool:
    """Whether a call that failed so might have been answered with more time."""
    if isinstance(error, AllProvidersFailed):
        return any(attempt.reason in OUT_OF_TIME for attempt in error.attempts)
    return isinstance(error, DeadlineExceeded)


def bill(error: BaseException, estimate: Cost) -> tuple[Cost, Cost]:
    """What a failed call was billed, and what it may have been billed without our being told.

    A request that is refused as such is free. Of a call that was cancelled, or broke on a bug, nobody knows:
    it is assumed to have cost its estimate.
    """
    if isinstance(error, CallerError):
        return FREE, FREE
    if not isinstance(error, ProviderError):
        return FREE, estimate
    return error.cost, estimate if error.assumed is None else error.assumed


def reason(error: BaseException) -> str:
    """A short, low-cardinality name of the cause, for events and answers; never the message."""
    if isinstance(error, CircuitOpen):
        return error.code
    if isinstance(error, ProviderError):
        return error.reason
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return error.code if isinstance(error, GatewayError) else "internal_error"
