"""Reports made by the rollups say what a naive fold says, whatever the history."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.report import Fact
from tests.support import naive_check
from tests.support.naive_fold import Question, facts_of
from tests.support.random_histories import RandomHistories, stored
from tests.support.reported import report_of
from tests.support.seeds import SEEDS

TEXTS = {"k1": "tide tables", "k2": "harbour"}


def report_on(name, frames, by):
    """The report as the rollups make it."""
    newest_first = [
        Fact(frame.stream, frame.instance, envelope.at, envelope.event)
        for frame in frames[::-1]
        for envelope in frame.events
        if frame.stream.startswith("circuit:")
    ]
    newest_first.sort(key=lambda fact: -fact.at)
    envelopes = [envelope for frame in frames for envelope in frame.events]
    return report_of(REPORTS[name], envelopes, by, texts=TEXTS, facts=newest_first)


@pytest.mark.parametrize("drawn", SEEDS)
@pytest.mark.parametrize("name", sorted(REPORTS))
def test_a_report_of_any_history_equals_the_naive_fold(name, drawn):
    """However executions end, overlap, die and are cut into frames, every figure is what the facts say."""

    @seed(drawn)
    # A history of a few executions is small enough to be read; making it smaller takes minutes.
    @settings(max_examples=60, database=None, phases=(Phase.generate,))
    @given(st.randoms(use_true_random=False), st.integers(0, 12))
    def holds(random, count):
        frames = RandomHistories(random).frames(count)
        for by in ("", *REPORTS[name].by):
            report = report_on(name, frames, by)
            naive_check.check(name, report, facts_of(stored(frames)), Question(by), TEXTS)

    holds()
