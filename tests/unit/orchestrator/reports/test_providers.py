"""Providers: how they did, how often the answer was theirs, and what their circuits did."""

from __future__ import annotations

import pytest

from orchestrator.events import (
    AttemptFailed,
    AttemptHedged,
    AttemptStarted,
    AttemptSucceeded,
    Envelope,
    ProviderSkipped,
    ResultRejected,
    RetryScheduled,
    UnknownEvent,
)
from orchestrator.facts import CircuitClosed, CircuitOpened, ProviderKeyRested
from orchestrator.reports.providers import ProvidersReport
from orchestrator.reports.report import Fact
from tests.support.histories import CREDIT, NOON, answered, fallback, hit, miss, numbered, whose
from tests.support.reported import report_of


def report(*events, by="", facts=(), limit=20):
    """The providers of these events."""
    return report_of(ProvidersReport(), numbered(events), by, facts=facts, limit=limit)


def of(found, provider):
    """One provider's row."""
    (row,) = [row for row in found["rows"] if row["provider"] == provider]
    return row


def failed(number=1, **changes):
    """An attempt at Tavily that failed."""
    fields = {"provider": "tavily", "number": number, "duration_s": 0.5, "outcome": "retryable"}
    return AttemptFailed(**(fields | {"reason": "http_500"} | whose() | changes))


def test_a_provider_wins_the_searches_that_it_answers():
    """Of two searches that asked Tavily it answered one; the floor answered the other in its place."""
    found = report(*miss(), *fallback())

    tavily, local = of(found, "tavily"), of(found, "local")
    assert (tavily["tried"], tavily["won"], tavily["win_ratio"]) == (2, 1, 0.5)
    assert (tavily["fallbacks"], tavily["fallback_ratio"]) == (0, 0.0)
    assert (local["win_ratio"], local["fallback_ratio"]) == (1.0, 1.0)
    assert of(found, "jina")["skipped"] == 1


def test_a_retried_search_is_tried_once():
    """Retries are attempts of the same execution: they lower success, not the share of searches won."""
    again = RetryScheduled(provider="tavily", backoff_s=0.1, reason="http_500")
    good = AttemptSucceeded(provider="tavily", number=2, duration_s=0.1, results=5, **whose())

    tavily = of(report(failed(), again, good, answered()), "tavily")

    assert (tavily["calls"], tavily["retries"], tavily["success_ratio"]) == (2, 1, 0.5)
    assert (tavily["tried"], tavily["win_ratio"]) == (1, 1.0)


def test_second_calls_and_resting_keys_are_counted():
    """The row of a provider says how often it was slow enough for company, and why its keys rested."""
    hedged = AttemptHedged(provider="tavily", after_s=1.5)
    keys = [
        ProviderKeyRested(provider="tavily", key_number=number, reason=reason, rest_s=60.0)
        for number, reason in ((1, "quota"), (2, "throttled"), (2, "throttled"))
    ]

    tavily = of(report(*miss(), hedged, *keys), "tavily")

    assert tavily["hedged"] == 1
    assert tavily["keys_rested"] == {"quota": 1, "throttled": 2}


def test_nobody_wins_an_extract():
    """Its pages may be of several providers, or of the cache, and the part of each is not recorded."""
    found = report(answered(operation="extract", provider="tavily+jina", fallback=True), *miss())

    assert [row["provider"] for row in found["rows"]] == ["tavily"]
    assert (of(found, "tavily")["won"], of(found, "tavily")["fallbacks"]) == (1, 0)


def test_a_call_that_never_ended_may_cost_something():
    """A provider, or a minute, of which nothing but an intent is known has a row with what is assumed."""
    intent = AttemptStarted(provider="tavily", number=1, span_id="a" * 16, estimate=CREDIT, **whose())

    for by in ("", "minute"):
        (row,) = report(intent, by=by)["rows"]
        assert (row["provider"], row["calls"], row["assumed_usd_micros"]) == ("tavily", 0, 8_000)


@pytest.mark.parametrize("outcome", ["ignorable", "invalid"])
def test_what_is_nobodys_fault_is_not_held_against_a_provider(outcome):
    """A cancelled attempt, or one that no provider would take, counts as a call and in no ratio."""
    tavily = of(report(failed(outcome=outcome, reason="x")), "tavily")

    assert (tavily["calls"], tavily["failed"], tavily["success_ratio"]) == (1, 0, None)
    assert tavily["failures"] == {"x": 1}


def test_attempts_have_a_mean_and_a_quantile_and_a_bill():
    """Durations and money are of attempts, however they ended; rejected results are counted one by one."""
    slow, dear = failed(duration_s=1.5), failed(duration_s=0.5, cost=CREDIT, assumed=CREDIT)
    dropped = ResultRejected(provider="tavily", reason="hidden_text", dropped=3)

    tavily = of(report(slow, dear, dropped), "tavily")

    assert (tavily["mean_s"], tavily["p95_s"]) == (1.0, pytest.approx(1.5, rel=0.011))
    assert (tavily["spent_usd_micros"], tavily["assumed_usd_micros"]) == (8_000, 8_000)
    assert tavily["rejected"] == 3


def test_a_cache_hit_is_no_answer_of_a_provider():
    """Whoever filled the cache was not asked now."""
    assert report(*hit())["rows"] == []


def test_circuits_tell_what_they_did_the_newest_first():
    """The history has time, change and reason, and ends at the limit; other events are passed over."""
    opened = CircuitOpened(provider="tavily", reason="http_500", cooldown_s=60.0, openings=2)
    facts = [
        Fact("circuit:tavily", "i-1", NOON, opened),
        Fact("circuit:tavily", "i-1", NOON + 31, CircuitClosed(provider="tavily")),
        Fact("circuit:tavily", "i-1", NOON + 32, UnknownEvent("amos.circuit.melted.v1")),
    ]

    whole, newest = report(facts=facts)["circuits"], report(facts=facts, limit=1)["circuits"]

    assert [(change["changed_at"] - NOON, change["change"], change["reason"]) for change in whole] == [
        (31, "closed", ""),
        (0, "opened", "http_500"),
    ]
    assert newest == whole[:1]
    assert [(change["cooldown_s"], change["openings"]) for change in whole] == [(None, None), (60.0, 2)]


def test_by_time_each_provider_has_a_row_of_its_own():
    """A day later is another row; rows are in order of time and name."""
    later = [Envelope(1, NOON + 86_400, ProviderSkipped(provider="jina", reason="circuit_open"))]
    found = report_of(ProvidersReport(), [*numbered(fallback()), *later], "day")

    day = int(NOON) // 86_400 * 86_400
    assert [(row["day"] - day, row["provider"]) for row in found["rows"]] == [
        (0, "jina"),
        (0, "local"),
        (0, "tavily"),
        (86_400, "jina"),
    ]
