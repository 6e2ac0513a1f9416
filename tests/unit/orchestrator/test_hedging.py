"""When a provider is slow, and how often a second one may be asked."""

from __future__ import annotations

import random

import pytest

from orchestrator.errors import ProviderUnavailable
from orchestrator.events import AttemptSucceeded
from orchestrator.fallback import Fallback, Step
from orchestrator.hedging import CREDIT_MAX, HedgePolicy, Hedger
from orchestrator.model import Found, SearchRequest
from tests.support.calls import make_call
from tests.support.clock import FakeClock
from tests.support.scripted_provider import found

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
    made, calls, hedges = hedger(ratio=0.05), 0, 0

    for _ in range(5_000):
        calls += 1
        made.count()
        hedges += chance.random() < 0.2 and made.take()
        assert hedges <= 0.05 * calls

    assert hedges > 0.045 * calls, "and hardly fewer, when they are wanted"


def test_a_long_calm_does_not_pay_for_a_storm():
    """Only so many second calls can be saved up."""
    made = hedger(ratio=1.0)
    for _ in range(1_000):
        made.count()

    assert sum(made.take() for _ in range(1_000)) == CREDIT_MAX


async def test_a_search_counts_once_however_many_are_asked():
    """While the first provider is down each search asks the second too, and allows no more for that."""
    made = hedger(ratio=0.125)

    async def down(_call):
        raise ProviderUnavailable("Down.", provider="tavily", reason="http_503")

    async def up(_call):
        return Found(answer=found(1, "web"), provider="jina")

    steps = [
        Step(provider=name, service=service, reserve_s=0.0)
        for name, service in (("tavily", down), ("jina", up), ("third", up))
    ]
    chain = Fallback(steps, CLOCK, lambda _request, _answer: None, remainders_max=1, hedger=made)

    for _ in range(24):
        await chain(search())

    assert [made.take() for _ in range(4)] == [True, True, True, False], "an eighth of 24"
