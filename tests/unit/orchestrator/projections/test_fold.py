"""Folding: rollups add up, whichever way a history is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.events import UnknownEvent
from orchestrator.projections.clients import ClientsRollup
from orchestrator.projections.fold import DAY_S, EVER, HOUR_S, Tally, add, by_span, fold, minute_of
from storage.sql_tables import rollups
from tests.support.histories import NOON, answered, mixture, numbered

ROLLUPS = [rollup for rollup, _ in rollups]
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
        assert len(key) == 1 + len(rollup.dimensions)
        assert len(counts) == len(rollup.measures)
        assert all(type(count) is int for count in counts)


def test_a_minute_begins_at_a_whole_multiple():
    """The minute of a moment is its beginning in epoch seconds; the beginning belongs to it."""
    assert minute_of(NOON) == NOON
    assert minute_of(NOON + 59.999) == NOON
    assert minute_of(NOON + 60) == NOON + 60


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_longer_spans_have_the_same_sums(rollup):
    """By the hour, the day and for ever nothing is lost but the minute."""
    minutes = rollup.total(HISTORY)
    totals = [sum(column) for column in zip(*minutes.values(), strict=True)]

    for span_s in (HOUR_S, DAY_S, EVER):
        longer = by_span(minutes, span_s)
        assert [sum(column) for column in zip(*longer.values(), strict=True)] == totals
        assert all(span_s == EVER or key[0] % span_s == 0 for key in longer)


def test_an_event_that_cannot_be_counted_counts_in_no_rollup():
    """All rollups of a tally count an event, or none does."""
    tally = Tally(ROLLUPS)

    assert not tally.add(numbered([answered(duration_s=1e300)])[0])
    assert tally.add(numbered([answered()])[0])
    assert sum(value[0] for value in tally.counts["health"].values()) == 1


def test_names_are_counted_as_every_table_takes_them():
    """A name with U+0000 is one with U+FFFD, and one that is too long is cut: all are counted, none twice."""
    names = ("a\0", "a\ufffd", "c" * 101, "c" * 100)
    done = [answered(client=name) for name in names]

    counts = ClientsRollup().total(numbered(done))

    assert {key[1]: value[0] for key, value in counts.items()} == {"a\ufffd": 2, "c" * 100: 2}


def test_types_of_a_later_version_are_told():
    """An unknown event is no fault, and is counted as unknown."""
    tally = Tally(ROLLUPS)

    assert tally.add(numbered([UnknownEvent("amos.request.completed.v9")])[0])
    assert tally.unknown == 1
