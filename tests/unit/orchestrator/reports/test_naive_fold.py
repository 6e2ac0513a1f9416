"""Reports made by the rollups say what a naive fold says, whatever the history."""

from __future__ import annotations

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from orchestrator.reports.catalogue import REPORTS
from tests.support import naive_fold
from tests.support.naive_fold import facts_of
from tests.support.random_histories import RandomHistories, stored
from tests.support.reported import report_of
from tests.support.seeds import SEEDS


def envelopes_of(frames):
    """All that is in the frames, in their order."""
    return [envelope for frame in frames for envelope in frame.events]


@pytest.mark.parametrize("drawn", SEEDS)
@pytest.mark.parametrize("name", sorted(naive_fold.REPORTS))
def test_a_report_of_any_history_equals_the_naive_fold(name, drawn):
    """However executions end, overlap, die and are cut into frames, every figure is what the facts say."""

    @seed(drawn)
    @settings(max_examples=60, deadline=None, database=None)
    @given(st.randoms(use_true_random=False), st.integers(0, 12))
    def holds(random, count):
        frames = RandomHistories(random).frames(count)
        for by in ("", *REPORTS[name].by):
            report = report_of(REPORTS[name], envelopes_of(frames), by)
            naive_fold.check(name, report, facts_of(stored(frames)), naive_fold.Question(by))

    holds()
