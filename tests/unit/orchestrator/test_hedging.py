"""When a provider is slow, and how often a second one may be asked."""

from __future__ import annotations

import random

import pytest

from orchestrator.hedging import CREDIT_MAX, HedgePolicy, Hedger


def informed(*durations_s, **policy):
    """A hedger that has seen these times of tavily's basic searches."""
    hedger = Hedger(HedgePolicy(ratio=0.5, **policy))
    for duration_s in durations_s:
        hedger.answered("tavily", "basic", duration_s)
    return hedger


def test_the_95th_percentile_of_recent_times_is_slow():
    """Of a hundred times the slowest five are slow, in whatever order they came."""
    durations_s = [n / 100 for n in range(1, 101)]
    random.Random(1).shuffle(durations_s)

    assert informed(*durations_s).after_s("tavily", "basic") == pytest.approx(0.96)


def test_with_few_samples_nothing_is_known():
    """Until enough answers came nobody is slow."""
    assert informed(*[1.0] * 19).after_s("tavily", "basic") is None
    assert informed(*[1.0] * 20).after_s("tavily", "basic") == 1.0


def test_depths_and_providers_are_told_apart():
    """An advanced search is slow by the times of advanced searches, jina by its own."""
    hedger = informed(*[1.0] * 20)

    assert hedger.after_s("tavily", "advanced") is None
    assert hedger.after_s("jina", "basic") is None


def test_old_times_are_forgotten():
    """A bad hour of the provider is over when as many answers came since as are kept."""
    hedger = informed(*[9.0] * 200, *[0.5] * 200)

    assert hedger.after_s("tavily", "basic") == 0.5


def test_second_calls_are_a_part_of_all_calls():
    """Never are there more second calls than `ratio` of the calls so far."""
    chance = random.Random(2)
    hedger, calls, hedges = Hedger(HedgePolicy(ratio=0.05)), 0, 0

    for _ in range(5_000):
        calls += 1
        hedger.called()
        hedges += chance.random() < 0.2 and hedger.take()
        assert hedges <= 0.05 * calls

    assert hedges > 0.045 * calls, "and hardly fewer, when they are wanted"


def test_a_long_calm_does_not_pay_for_a_storm():
    """Only so many second calls can be saved up."""
    hedger = Hedger(HedgePolicy(ratio=1.0))
    for _ in range(1_000):
        hedger.called()

    assert sum(hedger.take() for _ in range(1_000)) == CREDIT_MAX
