"""When a provider is slow, and how often a second one may be asked."""

from __future__ import annotations

import random

import pytest

from orchestrator.events import AttemptSucceeded
from orchestrator.hedging import CREDIT_MAX, HedgePolicy, Hedger
from orchestrator.model import SearchRequest
from tests.support.calls import make_call
from tests.support.clock import FakeClock

CLOCK = FakeClock()


def search(depth="basic"):
    """A search of this depth."""
    return make_call(SearchRequest(query="tides", search_depth=depth), clock=CLOCK)


def hedger(**policy):
    """A hedger that knows nothing."""
    return Hedger(HedgePolicy(**{"ratio": 0.5, **policy}), CLOCK)


def informed(*durations_s):
    """A hedger that has seen these times of tavily's basic searches."""
    made = hedger()
    for duration_s in durations_s:
        call = search()
        call.trail.record(AttemptSucceeded(provider="tavily", number=1, duration_s=duration_s, results=1))
        call.trail.record(AttemptSucceeded(provider="jina", number=1, duration_s=77.0, results=1))
        made.answered(call, "tavily")
    return made


def test_the_95th_percentile_of_recent_times_is_slow():
    """Of a hundred times the slowest five are slow, in whatever order they came."""
    durations_s = [n / 100 for n in range(1, 101)]
    random.Random(1).shuffle(durations_s)

    assert informed(*durations_s).after_s(search(), "tavily") == pytest.approx(0.96)


def test_with_few_samples_nothing_is_known():
    """Until enough answers came nobody is slow."""
    assert informed(*[1.0] * 19).after_s(search(), "tavily") is None
    assert informed(*[1.0] * 20).after_s(search(), "tavily") == 1.0


def test_depths_and_providers_are_told_apart():
    """An advanced search is slow by the times of advanced searches, jina by its own."""
    made = informed(*[1.0] * 20)

    assert made.after_s(search("advanced"), "tavily") is None
    assert made.after_s(search(), "jina") is None


def test_old_times_are_forgotten():
    """A bad hour of the provider is over when as many answers came since as are kept."""
    assert informed(*[9.0] * 200, *[0.5] * 200).after_s(search(), "tavily") == 0.5


def test_second_calls_are_a_part_of_all_calls():
    """Never are there more second calls than `ratio` of the calls so far."""
    chance = random.Random(2)
    made, call, calls, hedges = hedger(ratio=0.05), search(), 0, 0

    for _ in range(5_000):
        calls += 1
        made.after_s(call, "tavily")
        hedges += chance.random() < 0.2 and made.take()
        assert hedges <= 0.05 * calls

    assert hedges > 0.045 * calls, "and hardly fewer, when they are wanted"


def test_a_long_calm_does_not_pay_for_a_storm():
    """Only so many second calls can be saved up."""
    made, call = hedger(ratio=1.0), search()
    for _ in range(1_000):
        made.after_s(call, "tavily")

    assert sum(made.take() for _ in range(1_000)) == CREDIT_MAX
