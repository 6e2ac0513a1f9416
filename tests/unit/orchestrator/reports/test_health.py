"""Health: what counts as an answer, whose fault a failure is, and how a provider did."""

from __future__ import annotations

import pytest

from orchestrator import errors
from orchestrator.events import (
    AttemptFailed,
    AttemptSucceeded,
    ProviderSkipped,
)
from orchestrator.facts import (
    CallersRefused,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
)
from orchestrator.history import CALLERS_OWN
from orchestrator.reports.health import HealthReport
from tests.support.histories import answered, hit, miss, numbered, refused
from tests.support.reported import report_of


def report(*events):
    """The health report of these events."""
    return report_of(HealthReport(), numbered(events))


def test_availability_is_useful_answers_of_all_calls_rightly_made():
    """Three useful answers, one degraded, one failure and one call too many: 3 of 5."""
    found = report(
        answered(),
        answered(cache="l1"),
        answered(results=0),
        answered(degraded=True, fallback=True, provider="local"),
        refused("all_providers_failed"),
        refused("rate_limited"),
    )

    assert found["availability"] == 3 / 5
    assert found["requests"] == {
        "total": 6,
        "answered": 4,
        "useful": 3,
        "failed": 2,
        "callers_own": 1,
        "degraded": 1,
        "fallback": 1,
        "stale": 0,
        "empty": 1,
        "errors": {"all_providers_failed": 1, "rate_limited": 1},
    }


@pytest.mark.parametrize("code", sorted(CALLERS_OWN))
def test_the_callers_own_failures_do_not_count_against_us(code):
    """A gateway that only refuses what is wrong is fully available."""
    assert report(answered(), refused(code))["availability"] == 1.0


@pytest.mark.parametrize(
    "code", ["deadline_exceeded", "all_providers_failed", "event_log_unavailable", "internal_error"]
)
def test_every_other_failure_counts(code):
    """Whatever the caller cannot mend is ours."""
    assert report(answered(), refused(code))["availability"] == 0.5


def test_every_error_of_a_caller_is_known_as_theirs():
    """The list of the caller's own failures keeps up with the hierarchy of errors."""
    codes = {errors.CallerError.code, *(kind.code for kind in errors.CallerError.__subclasses__())}

    assert codes | {errors.NotInCache.code, errors.NotFound.code, "cancelled"} == CALLERS_OWN


def test_availability_is_unknown_where_nothing_was_rightly_asked():
    """Only wrong calls say nothing about the gateway."""
    assert report(refused("invalid_request"))["availability"] is None


def test_a_provider_is_judged_by_its_own_calls():
    """Answers, empty ones too, over calls; skipped, cancelled and impossible ones are not held against it."""

    def failed(outcome, reason):
        return AttemptFailed(provider="tavily", number=1, duration_s=0.1, outcome=outcome, reason=reason)

    found = report(
        AttemptSucceeded(provider="tavily", number=1, duration_s=0.1, results=5),
        AttemptSucceeded(provider="tavily", number=1, duration_s=0.1, results=0),
        failed("retryable", "http_500"),
        failed("final", "timeout"),
        failed("ignorable", "cancelled"),
        failed("invalid", "bad_request"),
        ProviderSkipped(provider="tavily", reason="circuit_open"),
        ProviderSkipped(provider="tavily", reason="circuit_open"),
    )

    (tavily,) = found["providers"]
    assert tavily["success_ratio"] == 2 / 4
    assert (tavily["calls"], tavily["success"], tavily["empty"]) == (6, 1, 1)
    assert (tavily["failed"], tavily["skipped"]) == (2, 2)
    assert {"outcome": "skipped", "reason": "circuit_open", "calls": 2} in tavily["failures"]
    assert {"outcome": "retryable", "reason": "http_500", "calls": 1} in tavily["failures"]


def test_changes_of_circuits_and_refusals_of_strangers_are_counted():
    """A circuit's changes are the provider's, refusals are counted with their number."""
    found = report(
        CircuitOpened(provider="jina", reason="errors", cooldown_s=5.0),
        CircuitHalfOpened(provider="jina"),
        CircuitClosed(provider="jina"),
        CircuitOpened(provider="jina", reason="errors", cooldown_s=5.0),
        CallersRefused(reason="no_key", count=41),
        CallersRefused(reason="no_key", count=1),
    )

    assert found["providers"][0]["circuit"] == {"closed": 1, "half_opened": 1, "opened": 2}
    assert found["refused"] == {"no_key": 42}


def test_hits_and_misses_are_answers():
    """However a call was answered, it was."""
    assert report(*hit(), *miss())["requests"]["answered"] == 2
