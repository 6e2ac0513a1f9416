"""Metrics: they say what the sums say, their histograms are histograms, and their labels are few and ours."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.events import (
    AttemptFailed,
    AttemptHedged,
    ProviderSkipped,
    ResultRejected,
    RetryScheduled,
)
from orchestrator.facts import CallersRefused, CircuitOpened, ProviderKeyRested
from orchestrator.reports.health import HealthReport
from orchestrator.reports.metrics import NEEDS, Histogram, families
from orchestrator.reports.totals import Standing
from tests.support.histories import NOON, answered, hit, miss, mixture, numbered, refused, whose
from tests.support.reported import report_of, sums_of


def metrics(*events, standing=None):
    """The metrics of these events, by name: the values by the labels in the order of their names."""
    history = numbered(events)
    found = families([sums_of(need, history) for need in NEEDS], standing or Standing(), NOON)
    return {family.name: dict(family.samples) for family in found}


def everything():
    """One of each event that is counted anywhere."""
    failed = AttemptFailed(
        provider="tavily", number=1, duration_s=0.5, outcome="retryable", reason="http_503", **whose()
    )
    others = (
        failed,
        CallersRefused(reason="no_credential", count=7),
        ProviderSkipped(provider="jina", reason="circuit_open"),
        RetryScheduled(provider="tavily", backoff_s=0.1, reason="http_503"),
        AttemptHedged(provider="tavily", after_s=1.5),
        ProviderKeyRested(provider="tavily", key_number=2, reason="quota", rest_s=3600.0),
        ResultRejected(provider="tavily", reason="unsafe_url", dropped=3),
        CircuitOpened(provider="tavily", reason="http_503", cooldown_s=30.0),
    )
    return (*(event for events in mixture() for event in events), *others)


def test_counters_say_what_the_reports_say():
    """Requests, refusals and attempts are those of the health report over the same history."""
    found = metrics(*everything())

    report = report_of(HealthReport(), numbered(everything()))
    requests = found["amos_requests_total"]
    assert sum(requests.values()) == report["requests"]["total"]
    assert requests["search", "answered", ""] == report["requests"]["answered"]
    assert requests["search", "failed", "rate_limited"] == report["requests"]["errors"]["rate_limited"]
    assert found["amos_refusals_total"] == {("no_credential",): 7}
    calls = {one["provider"]: one["calls"] for one in report["providers"]}
    attempts = found["amos_provider_attempts_total"]
    assert {name: sum(n for key, n in attempts.items() if key[0] == name) for name in calls} == calls


def test_every_fact_about_a_provider_has_a_metric():
    """Skips, retries, second calls, keys, rejected results, circuits, and whose answers came where."""
    found = metrics(*everything())

    assert found["amos_provider_skips_total"] == {("jina", "circuit_open"): 2}
    assert found["amos_provider_retries_total"] == {("tavily", "http_503"): 1}
    assert found["amos_provider_hedges_total"] == {("tavily",): 1}
    assert found["amos_provider_key_rests_total"] == {("tavily", "quota"): 1}
    assert found["amos_provider_rejected_results_total"] == {("tavily", "unsafe_url"): 3}
    assert found["amos_circuit_changes_total"] == {("tavily", "opened"): 1}
    assert found["amos_provider_answers_total"] == {
        ("local", "search", "fallback"): 1,
        ("tavily", "search", "first"): 1,
    }


def test_money_is_in_dollars_and_in_the_providers_units():
    """A miss of one credit and two hits that saved one each, in whole units and not in millionths."""
    found = metrics(*miss(), *hit(), *hit())

    assert found["amos_spent_usd_total"] == {("tavily", "search"): 0.008}
    assert found["amos_saved_usd_total"] == {("tavily", "search"): 0.016}
    assert found["amos_assumed_usd"] == {("tavily", "search"): 0.0}
    assert found["amos_spent_units_total"] == {("tavily", "search", "credits"): 1.0}
    assert found["amos_saved_units_total"] == {("tavily", "search", "credits"): 2.0}


@given(
    st.lists(
        st.one_of(st.floats(0, 100), st.floats(0, 0.05), st.sampled_from([2.0**n for n in range(-13, 7)]))
    )
)
@example([0.02, 9.0, math.nextafter(0.02, 1), math.nextafter(9.0, 10), 2**-12, 32.0, 33.0, 0.0])
def test_a_histogram_counts_exactly(durations):
    """Each bound has the durations that are not longer, bounds included, as if each had been compared."""
    hits = [answered(cache="l1", duration_s=duration_s) for duration_s in durations]

    found = metrics(*hits)["amos_request_duration_seconds"]

    if not durations:
        assert found == {}
        return
    histogram = found["search", "hit"]
    assert isinstance(histogram, Histogram)
    bounds = [bound for bound, _ in histogram.buckets]
    assert bounds == sorted(set(bounds))
    assert {0.02, 9.0, math.inf} < set(bounds)
    for bound, count in histogram.buckets:
        assert count == sum(duration_s <= bound for duration_s in durations)
    assert histogram.sum_s == pytest.approx(sum(durations), abs=1e-6 * len(durations))


def test_each_call_stays_once():
    """The stays add up to the calls; parts and attempts are metrics of their own."""
    found = metrics(*everything())

    stays = {key[1]: value.buckets[-1][1] for key, value in found["amos_request_duration_seconds"].items()}
    assert stays == {"hit": 3, "miss": 2, "failed": 1}
    parts = found["amos_request_part_duration_seconds"]
    assert {key[1]: value.buckets[-1][1] for key, value in parts.items()} == {"upstream": 2, "added": 2}
    attempts = found["amos_provider_attempt_duration_seconds"]
    assert {key[0]: value.buckets[-1][1] for key, value in attempts.items()} == {"tavily": 3, "local": 1}


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("http_503", "http_503"),
        ("http_597", "http_5xx"),
        ("http_299", "http_2xx"),
        ("http_999", "http_9xx"),
        ('"} 1\namos_evil 1', "other"),
        ("x" * 65, "other"),
        ("ein Grund", "other"),
        ("", ""),
    ],
)
def test_a_label_is_one_of_few_words(reason, shown):
    """What an upstream or a later version made up becomes one word, so that no series are made up."""
    found = metrics(CallersRefused(reason=reason, count=1))

    assert found["amos_refusals_total"] == {(shown,): 1}


def test_words_that_become_one_are_added_up():
    """Two strange reasons are one series with both counts, not one series twice."""
    found = metrics(CallersRefused(reason="http_597", count=1), CallersRefused(reason="http_598", count=2))

    assert found["amos_refusals_total"] == {("http_5xx",): 3}


def test_names_and_labels_follow_the_conventions():
    """Base units, `_total` for what only grows, a sentence of help, and no label for people or queries."""
    history = numbered(everything())
    found = families([sums_of(need, history) for need in NEEDS], Standing(), NOON)

    assert len({family.name for family in found}) == len(found)
    for family in found:
        assert re.fullmatch(r"amos_[a-z0-9]+(_[a-z0-9]+)*", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert not re.search(r"_(ms|us|micros|kb|percent|count|sum|bucket)(_|$)", family.name)
        assert family.kind != "histogram" or family.name.endswith("_seconds")
        assert family.help.endswith(".")
        assert set(family.labels).isdisjoint({"client", "key", "query", "user", "topic", "le", "quantile"})
        assert all(len(labels) == len(family.labels) for labels, _ in family.samples)


def test_nothing_recorded_is_nothing_counted():
    """An empty log has no series with labels, and zeros for the state of the log."""
    found = metrics()

    assert {name for name, samples in found.items() if samples} == {
        "amos_log_position",
        "amos_log_counted_position",
        "amos_projection_lag_seconds",
        "amos_parked_frames",
    }
    assert found["amos_projection_lag_seconds"] == {(): 0.0}


def test_the_state_of_the_log_is_shown():
    """Positions, parked frames, and the age of the oldest frame that is not counted."""
    standing = Standing(position=90, counted_position=80, waiting_since=NOON - 12.5, parked=2)

    found = metrics(standing=standing)

    assert found["amos_log_position"] == {(): 90}
    assert found["amos_log_counted_position"] == {(): 80}
    assert found["amos_projection_lag_seconds"] == {(): 12.5}
    assert found["amos_parked_frames"] == {(): 2}


def test_a_frame_of_the_future_is_no_lag():
    """Another machine's clock may be ahead."""
    assert Standing(waiting_since=NOON + 5.0).lag_s(NOON) == 0.0


def test_a_call_that_was_refused_at_the_limit_is_a_failed_one():
    """It is an execution, so it is no refusal at the door."""
    found = metrics(refused("rate_limited"))

    assert found["amos_requests_total"] == {("search", "failed", "rate_limited"): 1}
    assert found["amos_refusals_total"] == {}
