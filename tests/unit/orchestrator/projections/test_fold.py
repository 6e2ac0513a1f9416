"""Folding: rollups add up, whichever way a history is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.events import UnknownEvent
from orchestrator.projections.fold import add, fold, grouped, minute_of, ratio
from orchestrator.projections.health import HealthRollup
from orchestrator.projections.hit_rate import HitRateRollup
from orchestrator.projections.latency import LatencyRollup
from tests.support.histories import NOON, mixture, numbered

ROLLUPS = [HealthRollup(), HitRateRollup(), LatencyRollup()]
HISTORY = [
    envelope for number, events in enumerate(mixture()) for envelope in numbered(events, NOON + 40 * number)
]


@pytest.mark.parametrize("rollup", ROLLUPS)
@given(cut=st.integers(min_value=0, max_value=len(HISTORY)))
def test_a_history_cut_in_two_adds_up_to_the_whole(rollup, cut):
    """The state of a history is the sum of the states of its parts, wherever it is cut."""
    parts = add(rollup.total(HISTORY[:cut]), rollup.total(HISTORY[cut:]))

    assert parts == rollup.total(HISTORY)


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_a_batch_is_the_fold_of_its_events(rollup):
    """`total` is `fold`, only faster."""
    assert rollup.total(HISTORY) == fold(rollup, HISTORY)


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_evolve_changes_nothing_it_was_given(rollup):
    """A state is a value: folding on leaves the earlier one as it was."""
    before = rollup.total(HISTORY)
    copy = dict(before)

    rollup.evolve(before, HISTORY[-1])

    assert before == copy


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_an_event_of_a_later_version_counts_nowhere(rollup):
    """A fold passes over an event it does not know."""
    (unknown,) = numbered([UnknownEvent("amos.request.completed.v9")])

    assert rollup.total([unknown]) == {}


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_every_row_fits_the_columns(rollup):
    """Keys and counts are as long as the names of their columns say, and counts are whole numbers."""
    for key, counts in rollup.total(HISTORY).items():
        assert len(key) == len(rollup.dimensions)
        assert len(counts) == len(rollup.measures)
        assert all(type(count) is int for count in counts)


def test_a_minute_begins_at_a_whole_multiple():
    """The minute of a moment is its beginning in epoch seconds; the beginning belongs to it."""
    assert minute_of(NOON) == NOON
    assert minute_of(NOON + 59.999) == NOON
    assert minute_of(NOON + 60) == NOON + 60


def test_grouping_by_the_hour_gathers_its_minutes():
    """Minutes of one hour are one group, named by the beginning of the hour in epoch seconds."""
    counts = {(0, "a"): (1,), (60, "a"): (2,), (3_600, "a"): (4,)}

    groups = grouped(counts, ("minute", "name"), "hour")

    assert {hour: sum(value[0] for _, value in items) for hour, items in groups.items()} == {0: 3, 3_600: 4}


def test_a_share_of_nothing_is_unknown():
    """A ratio of nothing is no number, and certainly not 0 %."""
    assert ratio(0, 0) is None
    assert ratio(1, 4) == 0.25
