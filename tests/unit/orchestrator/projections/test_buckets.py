"""Exponential buckets: every duration has one, sums keep quantiles within the promised error."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.projections.buckets import (
    DURATION_S_MAX,
    DURATION_S_MIN,
    bucket_of,
    estimate,
    longest,
    quantile,
    quantiles,
    upper_bound,
)

DURATIONS = st.floats(min_value=DURATION_S_MIN, max_value=DURATION_S_MAX)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 9)), max_size=30))
def test_a_bucket_may_come_several_times(pairs):
    """The quantiles of counts in pieces are those of their sums."""
    sums = {}
    for index, calls in pairs:
        sums[index] = sums.get(index, 0) + calls
    indexes, calls = [index for index, _ in pairs], [count for _, count in pairs]

    found = quantiles(indexes, calls, (0.5, 0.95, 1.0))

    assert found == [quantile(sums, share) for share in (0.5, 0.95, 1.0)]


def counted(durations):
    """The durations as bucket counts."""
    counts = {}
    for duration_s in durations:
        counts[bucket_of(duration_s)] = counts.get(bucket_of(duration_s), 0) + 1
    return counts


@given(DURATIONS)
def test_a_duration_is_within_the_bounds_of_its_bucket(duration_s):
    """Bucket i holds exactly the durations above the upper bound of i - 1 and up to its own."""
    index = bucket_of(duration_s)

    assert upper_bound(index - 1) < duration_s <= upper_bound(index)


@given(st.integers(min_value=-600, max_value=500))
def test_a_bound_belongs_to_the_lower_bucket(index):
    """A duration that is an upper bound is in that bucket, to the last digit."""
    assert bucket_of(upper_bound(index)) == index


@given(st.lists(DURATIONS, min_size=1), st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_quantile_is_off_by_one_percent_at_most(durations, share):
    """A quantile told from buckets differs from the nearest-rank quantile by no more than 1.1 %."""
    exact = sorted(durations)[max(math.ceil(share * len(durations)), 1) - 1]

    assert quantile(counted(durations), share) == pytest.approx(exact, rel=0.011)


@given(DURATIONS)
def test_the_estimate_of_a_bucket_is_near_all_its_durations(duration_s):
    """The estimate of a bucket is within 1.1 % of whatever is in it."""
    assert estimate(bucket_of(duration_s)) == pytest.approx(duration_s, rel=0.011)


@pytest.mark.parametrize("duration_s", [0.0, -1.0, 1e-12])
def test_an_impossible_duration_counts_as_the_shortest(duration_s):
    """Nothing, and less than nothing, is counted as a microsecond."""
    assert bucket_of(duration_s) == bucket_of(DURATION_S_MIN)


def test_a_lifetime_counts_as_a_day():
    """A duration beyond the longest is counted as the longest."""
    assert bucket_of(1e9) == bucket_of(DURATION_S_MAX)


def test_nothing_has_no_quantile():
    """Without durations there is neither a quantile nor a longest one."""
    assert quantile({}, 0.5) is None
    assert longest({}) is None


def test_the_longest_is_a_bound_nothing_exceeds():
    """The longest duration is told by the upper bound of the highest bucket in use."""
    assert longest(counted([0.1, 0.2, 0.3])) == pytest.approx(0.3, rel=0.022)
    assert longest(counted([0.1, 0.2, 0.3])) >= 0.3
