"""Hit rate: what is a hit, what is shown apart, what was saved."""

from __future__ import annotations

import pytest

from orchestrator.events import FREE, AttemptFailed
from orchestrator.projections.hit_rate import HitRateRollup
from tests.support.histories import CREDIT, answered, hit, miss, numbered, refused


def report(*events, by=""):
    """The hit rate of these events."""
    rollup = HitRateRollup()
    return rollup.report(rollup.total(numbered(events)), by)


def test_hits_of_both_tiers_count_and_others_do_not():
    """Of l1, l2, collapsed, mixed and miss two are hits; the refused call does not count at all."""
    ways = [answered(cache=way) for way in ("l1", "l2", "collapsed", "mixed", "miss")]

    found = report(*ways, refused("deadline_exceeded"))

    assert (found["answered"], found["hits"], found["hit_ratio"]) == (5, 2, 0.4)
    assert found["collapsed_ratio"] == 0.2
    assert [found[way] for way in ("l1", "l2", "collapsed", "mixed", "miss")] == [1, 1, 1, 1, 1]


def test_money_saved_and_spent_are_told_apart():
    """A hit saves what the answer had cost, a miss spends it."""
    found = report(*hit(), *hit(), *miss())

    assert (found["saved_usd_micros"], found["cost_usd_micros"]) == (16_000, 8_000)


def test_what_failed_attempts_cost_is_in_the_bill():
    """Money is counted by attempts, whatever became of the call; what is only assumed is shown apart."""
    failed = {"provider": "tavily", "number": 1, "duration_s": 0.5, "outcome": "final"}
    rejected = AttemptFailed(**failed, reason="unusable", cost=CREDIT)
    silent = AttemptFailed(**failed, reason="timeout", assumed=CREDIT)

    found = report(rejected, silent, refused("cancelled"))

    assert (found["answered"], found["cost_usd_micros"], found["assumed_usd_micros"]) == (0, 8_000, 8_000)


def test_groups_have_their_own_rates():
    """Each value of the dimension has a row with all figures, in order of the values."""
    found = report(*hit("b"), *miss("a"), *miss("b"), by="client")

    assert [(line["client"], line["hit_ratio"]) for line in found["rows"]] == [("a", 0.0), ("b", 0.5)]
    assert sum(line["answered"] for line in found["rows"]) == found["answered"]


def test_stale_answers_are_hits_and_marked():
    """An answer served past its freshness came from the cache all the same."""
    found = report(answered(cache="l1", stale=True, cost=FREE))

    assert (found["hit_ratio"], found["stale"]) == (1.0, 1)


@pytest.mark.parametrize("by", ["", "client"])
def test_nothing_asked_is_no_rate(by):
    """Without calls there is no ratio and there are no rows."""
    found = report(by=by)

    assert (found["hit_ratio"], found["rows"]) == (None, [])
