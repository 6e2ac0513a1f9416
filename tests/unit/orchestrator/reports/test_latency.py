"""Latency: which stage a duration belongs to, and that reports tell it rightly."""

from __future__ import annotations

import pytest

from orchestrator.reports.latency import LatencyReport
from tests.support.histories import answered, fallback, hit, miss, numbered, refused
from tests.support.reported import report_of


def report(*events, by=""):
    """The latency report of these events."""
    return report_of(LatencyReport(), numbered(events), by)


def stages(*events):
    """The stages of a report by name."""
    return {line["stage"]: line for line in report(*events)["stages"]}


def test_a_miss_is_split_into_upstream_and_ours():
    """Of a miss the report tells the stay, the wait for the provider, and what the gateway added."""
    found = stages(*miss())

    assert set(found) == {"miss", "upstream", "added", "attempt"}
    assert found["miss"]["mean_s"] == 0.5
    assert found["upstream"]["mean_s"] == 0.498
    assert found["added"]["mean_s"] == pytest.approx(0.002)
    assert found["attempt"]["p50_s"] == pytest.approx(0.498, rel=0.011)


def test_every_way_to_be_answered_has_its_stage():
    """Hits of both tiers are one stage, old answers, followers and failures others; mixed is a miss."""
    found = stages(
        *hit(tier="l1"),
        *hit(tier="l2"),
        answered(cache="l1", stale=True),
        answered(cache="collapsed"),
        answered(cache="mixed", stale=True),
        refused("x", 9.0),
    )

    assert {stage: line["calls"] for stage, line in found.items()} == {
        "hit": 2,
        "stale": 1,
        "collapsed": 1,
        "miss": 1,
        "upstream": 1,
        "added": 1,
        "failed": 1,
    }


def test_quantiles_are_those_of_the_calls():
    """Of a hundred hits of 1 to 100 ms the quantiles are 50, 90, 95 and 99 ms, the longest 100 ms."""
    (line,) = report(*(answered(cache="l1", duration_s=number / 1000) for number in range(1, 101)))["stages"]

    found = [line[name] for name in ("p50_s", "p90_s", "p95_s", "p99_s")]
    assert found == [pytest.approx(exact, rel=0.011) for exact in (0.050, 0.090, 0.095, 0.099)]
    assert 0.100 <= line["max_s"] <= 0.1022
    assert line["mean_s"] == pytest.approx(0.0505)


def test_providers_are_compared_by_their_attempts():
    """Grouped by provider the stage `attempt` has a row for each, failed attempts included."""
    found = report(*fallback(), *miss(), by="provider")

    attempts = {line["provider"]: line["calls"] for line in found["rows"] if line["stage"] == "attempt"}
    assert attempts == {"tavily": 2, "local": 1}


def test_a_clock_that_disagrees_adds_nothing():
    """If the wait for providers seems longer than the stay, the gateway's part is the shortest there is."""
    found = stages(answered(duration_s=0.1, upstream_s=0.2))

    assert found["added"]["mean_s"] == 0.0
    assert found["added"]["p99_s"] < 2e-6
