"""Hit rate: what is a hit, and what is shown apart."""

from __future__ import annotations

import pytest

from orchestrator.events import FREE
from orchestrator.reports.hit_rate import HitRateReport
from tests.support.histories import answered, hit, miss, numbered, refused
from tests.support.reported import report_of


def report(*events, by=""):
    """The hit rate of these events."""
    return report_of(HitRateReport(), numbered(events), by)


def test_hits_of_both_tiers_count_and_others_do_not():
    """Of l1, l2, collapsed, mixed and miss two are hits; the refused call does not count at all."""
    ways = [answered(cache=way) for way in ("l1", "l2", "collapsed", "mixed", "miss")]

    found = report(*ways, refused("deadline_exceeded"))

    assert (found["answered"], found["hits"], found["hit_ratio"]) == (5, 2, 0.4)
    assert found["collapsed_ratio"] == 0.2
    assert [found[way] for way in ("l1", "l2", "collapsed", "mixed", "miss")] == [1, 1, 1, 1, 1]


def test_groups_have_their_own_rates():
    """Each value of the dimension has a row with all figures, in order of the values."""
    found = report(*hit("b"), *miss("a"), *miss("b"), by="client")

    assert [(line["client"], line["hit_ratio"]) for line in found["rows"]] == [("a", 0.0), ("b", 0.5)]
    assert sum(line["answered"] for line in found["rows"]) == found["answered"]


def test_stale_answers_are_hits_and_marked():
    """An answer served past its freshness came from the cache all the same."""
    ways = ("l1", "l2", "mixed")
    found = report(answered(cache="l1"), *(answered(cache=way, stale=True, cost=FREE) for way in ways))

    assert (found["hit_ratio"], found["fresh_hit_ratio"], found["stale"]) == (0.75, 0.25, 3)


@pytest.mark.parametrize("by", ["", "client"])
def test_nothing_asked_is_no_rate(by):
    """Without calls there is no ratio and there are no rows."""
    found = report(by=by)

    assert (found["hit_ratio"], found["rows"]) == (None, [])
