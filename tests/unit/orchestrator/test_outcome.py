"""One judgement of failures for retry, breaker, fallback and reports."""

from __future__ import annotations

import asyncio
import urllib.error
from email.message import Message

import pytest

from orchestrator import errors
from orchestrator.outcome import (
    BAD_REQUEST,
    CUT_SHORT,
    Outcome,
    is_health_failure,
    judge,
    reason,
)


def provider_error(kind, why="http_500", retry_after_s=None):
    """A failure of that class."""
    return kind("It failed.", provider="tavily", reason=why, retry_after_s=retry_after_s)


# error, what may follow, does it speak of ill health?
TABLE = [
    (provider_error(errors.ProviderUnavailable), Outcome.RETRYABLE, True),
    (provider_error(errors.ProviderThrottled), Outcome.RETRYABLE, False),
    (provider_error(errors.ProviderTimeout), Outcome.FINAL, True),
    (provider_error(errors.ProviderTimeout, CUT_SHORT), Outcome.IGNORABLE, False),
    (provider_error(errors.ProviderProtocolError), Outcome.FINAL, True),
    (provider_error(errors.ResultInvalid), Outcome.FINAL, True),
    (provider_error(errors.ProviderRejected, "http_401"), Outcome.FINAL, True),
    (provider_error(errors.ProviderRejected, BAD_REQUEST), Outcome.INVALID, False),
    (provider_error(errors.ProviderQuotaExceeded), Outcome.FINAL, False),
    (provider_error(errors.CircuitOpen), Outcome.FINAL, False),
    (provider_error(errors.ProviderHeldBack, "budget"), Outcome.FINAL, False),
    (provider_error(errors.ProviderError), Outcome.FINAL, True),
    (errors.InvalidRequest("No."), Outcome.INVALID, False),
    (errors.EventLogUnavailable("Full."), Outcome.IGNORABLE, False),
    (ZeroDivisionError(), Outcome.FINAL, True),
    (asyncio.CancelledError(), Outcome.IGNORABLE, False),
]


@pytest.mark.parametrize(("error", "outcome", "is_ill"), TABLE)
def test_each_failure_has_one_judgement(error, outcome, is_ill):
    """What may follow a failure, and whether it counts against the provider, depends on its class alone."""
    assert judge(error) is outcome
    assert is_health_failure(error) is is_ill


def test_every_provider_error_is_in_the_table():
    """A new provider error cannot be forgotten here."""
    judged = {type(error) for error, _, _ in TABLE}

    assert all(kind in judged for kind in [errors.ProviderError, *subclasses(errors.ProviderError)])


def subclasses(kind):
    """All classes below."""
    return [found for child in kind.__subclasses__() for found in (child, *subclasses(child))]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (provider_error(errors.ProviderUnavailable, "reset"), "reset"),
        (provider_error(errors.CircuitOpen, "anything"), "circuit_open"),
        (errors.EventLogUnavailable("Full."), "event_log_unavailable"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyError("secret query"), "internal_error"),
    ],
)
def test_a_reason_is_a_short_code(error, expected):
    """The reason in events and answers is a code, never a message."""
    assert reason(error) == expected


def test_the_code_of_a_foreign_exception_is_not_ours():
    """A foreign exception with an attribute `code` of any type has the reason of any other bug."""
    foreign = urllib.error.HTTPError("http://x.example", 418, "", Message(), None)

    with foreign:
        assert reason(foreign) == "internal_error"
