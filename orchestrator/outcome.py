"""The one judgement of how a call to a provider ended. Retry, breaker, fallback and reports all ask here.

An empty answer is a success of the provider: it found nothing, and said so.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum

from orchestrator.errors import (
    CallerError,
    CircuitOpen,
    GatewayError,
    ProviderError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)

QUOTA_COOLDOWN_S = 3600.0
"""chosen: no provider says when its quota resets (Tavily: monthly, no field tells it); we look again every
hour."""

THROTTLE_COOLDOWN_S = 5.0
"""chosen: for a 429 without `Retry-After`; both providers count by the minute, a few seconds free a few
calls."""

BAD_REQUEST = "bad_request"
"""The `reason` with which a provider says that the request itself is wrong, whoever is asked."""


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
    """Nobody's fault: the call was cancelled."""


def judge(error: BaseException) -> Outcome:
    """Classify a failure of one attempt.

    A timeout is final: it has used the time a retry would need. So is a wrong answer: it was paid for, and
    the next one would be as wrong. An error of ours that is none of these is final too, so that a bug in one
    provider does not take the chain down.
    """
    if isinstance(error, asyncio.CancelledError):
        return Outcome.IGNORABLE
    if isinstance(error, CallerError) or (
        isinstance(error, ProviderRejected) and error.reason == BAD_REQUEST
    ):
        return Outcome.INVALID
    if isinstance(error, ProviderUnavailable):
        return Outcome.RETRYABLE
    return Outcome.FINAL


def is_health_failure(error: BaseException) -> bool:
    """Whether the provider's circuit should count the failure: slow, unreachable, wrong, or refusing our key.

    A throttled or exhausted provider is healthy and has asked for a pause instead (`cooldown_s`). A foreign
    exception counts: it is a bug in that provider, which would be called, and paid, each time. An error of
    ours that is no ProviderError (the journal is full) does not speak of the provider.
    """
    if isinstance(error, CircuitOpen | ProviderThrottled | ProviderQuotaExceeded):
        return False
    if judge(error) in (Outcome.INVALID, Outcome.IGNORABLE):
        return False
    return isinstance(error, ProviderError) or not isinstance(error, GatewayError)


def cooldown_s(error: BaseException) -> float | None:
    """For how long the provider has asked not to be called, in seconds; `None` if it has not asked."""
    if isinstance(error, ProviderQuotaExceeded):
        return error.retry_after_s or QUOTA_COOLDOWN_S
    if isinstance(error, ProviderThrottled):
        return error.retry_after_s or THROTTLE_COOLDOWN_S
    return None


def reason(error: BaseException) -> str:
    """A short, low-cardinality name of the cause, for events and answers; never the message."""
    if isinstance(error, CircuitOpen):
        return error.code
    if isinstance(error, ProviderError):
        return error.reason
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return error.code if isinstance(error, GatewayError) else "internal_error"
