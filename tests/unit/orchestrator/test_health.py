"""Components told from the record and the circuits: state, since when, why, and what to do."""

from __future__ import annotations

import pytest

from orchestrator.cooldown import CircuitPolicy
from orchestrator.facts import UsageReconciled
from orchestrator.filters.circuit_breaker import Circuit
from orchestrator.health import provider_health, record_health, usage_health
from orchestrator.reconciliation import Look
from orchestrator.record_watch import Recent, Seen
from orchestrator.reports.totals import Standing
from tests.support.clock import FakeClock
from tests.support.core import down
from tests.support.facts import Facts

AWAY = "The event log is out of reach: the server cannot be reached."

OPEN = "Circuit open after http_500; it may be called again in 30 s."
FEW = "25% of 20 calls in the last 15 minutes succeeded."


def circuit(failures=0):
    """The circuit of Tavily after so many failures in a row."""
    made = Circuit("tavily", FakeClock(now=100.0), Facts(), CircuitPolicy(jitter_ratio=0.0))
    for _ in range(failures):
        made.failed(down(), is_probe=False)
    return made


def test_a_database_out_of_reach_is_degraded_with_advice():
    """It keeps no call from being answered, so it is not down; what to do is said."""
    database, reports = record_health(Seen(5.0, fault=AWAY), 10.0)

    assert (database.name, database.status, database.since) == ("database", "degraded", 5.0)
    assert database.detail == AWAY
    assert "AMOS_DATABASE_URL" in database.advice
    assert reports.status == "ok"


@pytest.mark.parametrize("is_off", [True, False])
def test_a_provider_that_counts_otherwise_is_degraded_with_advice(is_off):
    """Both figures are said in any case."""
    fact = UsageReconciled(
        provider="jina", unit="tokens", since=1.0, reported=2e6, recorded=10_000, counter=0.0, total=0.0
    )

    found = usage_health(Look(7.0, fact), is_off=is_off)

    assert (found.name, found.since) == ("usage:jina", 7.0)
    assert found.status == ("degraded" if is_off else "ok")
    assert found.detail == "It has counted 2,000,000 tokens where 10,000 are recorded."
    assert bool(found.advice) is is_off


def test_reports_behind_are_degraded_since_the_bound_was_passed():
    """Thirty seconds are no delay; a frame that has waited for a hundred is one, since seventy seconds."""
    late = Seen(5.0, standing=Standing(position=9, counted_position=1, waiting_since=900.0))
    busy = Seen(5.0, standing=Standing(position=9, counted_position=1, waiting_since=971.0))

    assert record_health(busy, 1_000.0)[1].status == "ok"
    reports = record_health(late, 1_000.0)[1]
    assert (reports.status, reports.since) == ("degraded", 930.0)
    assert reports.detail == "Reports lack what was recorded in the last 100 s."
    assert "recorder" in reports.advice


def test_parked_frames_are_told_without_alarm():
    """They cannot be mended at once, so they are named and change no state."""
    reports = record_health(Seen(5.0, standing=Standing(parked=2)), 10.0)[1]

    assert reports.status == "ok"
    assert reports.detail.startswith("2 frames hold what no report can count")


def test_a_database_nobody_has_seen_yet_is_not_called_sound():
    """The first look may take longer than health waits; that is said."""
    database = record_health(Seen(5.0), 10.0)[0]

    assert (database.status, database.latency_s) == ("ok", None)
    assert database.detail == "It is being asked for the first time."


def test_a_circuit_says_how_often_it_has_opened():
    """A provider that came back and went again and again is told from one that has just fallen."""
    again = circuit(5)
    again._clock.advance(31.0)
    again.failed(down(), is_probe=again.admit())

    assert provider_health(again, None).detail.startswith(
        "Circuit open after http_500, 2 times in a row; it may"
    )


def test_a_circuit_on_probation_does_not_count_down_to_nothing():
    """While the probe is under way nobody may call; "again in 0 s" would say the opposite."""
    probing = circuit(5)
    probing._clock.advance(31.0)
    probing.admit()

    found = provider_health(probing, None)

    assert found.status == "degraded"
    assert found.detail == "Circuit half-open after http_500; one call looks whether it is back."


@pytest.mark.parametrize(
    ("failures", "recent", "status", "since", "detail"),
    [
        (0, None, "ok", 100.0, ""),
        (0, Recent(20, 0.95, 50.0), "ok", 100.0, "95% of 20 calls in the last 15 minutes succeeded."),
        (0, Recent(20, 0.25, 50.0), "degraded", 50.0, FEW),
        (0, Recent(4, 0.25, 50.0), "ok", 100.0, "25% of 4 calls in the last 15 minutes succeeded."),
        (0, Recent(0, None, 50.0), "ok", 100.0, ""),
        (
            5,
            Recent(20, 0.25, 50.0),
            "down",
            100.0,
            f"{OPEN} {FEW}",
        ),
    ],
    ids=["unknown", "well", "fails often", "few calls", "no call", "open"],
)
def test_a_provider_is_as_its_circuit_and_its_calls_say(failures, recent, status, since, detail):
    """An open circuit is worse than many failures; what is not ok has advice, what is ok has none."""
    found = provider_health(circuit(failures), recent)

    assert (found.name, found.status, found.since, found.detail) == ("provider:tavily", status, since, detail)
    assert bool(found.advice) == (status != "ok")
