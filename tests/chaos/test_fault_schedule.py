"""The plan of outages keeps what it promises, for any seed: else the figures of the days mean little."""

from __future__ import annotations

import itertools

import pytest

from tests.support.fault_schedule import (
    KINDS,
    OUTAGE_S_MAX,
    OUTAGE_S_MIN,
    PROVIDERS,
    QUOTA,
    REDIS_KINDS,
    draw,
)
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Simulator
from tests.support.tavily_simulator import TavilySimulator

SEEDS = range(50)

HOUR_S = 3_600.0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_down_for_a_fifth_of_the_time(provider: str):
    """Each provider is down for 20 % of the time, or a little less where the last outage did not fit."""
    for seed in SEEDS:
        own = [outage for outage in draw(seed, HOUR_S).outages if outage.target == provider]

        assert 0.19 <= sum(outage.length_s for outage in own) / HOUR_S <= 0.2001
        assert all(OUTAGE_S_MIN - 0.001 <= outage.length_s <= OUTAGE_S_MAX + 0.001 for outage in own)


def test_never_both_at_once():
    """An outage of a provider begins when every earlier one is over, and all of them are within the time."""
    for seed in SEEDS:
        outages = draw(seed, HOUR_S).outages

        assert outages[0].begins_s >= 0
        assert outages[-1].ends_s <= HOUR_S + 0.001
        assert all(earlier.ends_s <= later.begins_s for earlier, later in itertools.pairwise(outages))


def test_the_quota_ends_once():
    """In each plan Tavily's quota is used up in exactly one outage."""
    for seed in SEEDS:
        assert [outage.target for outage in draw(seed, HOUR_S).outages if outage.kind == QUOTA] == ["tavily"]


def test_every_kind_has_its_turn():
    """Over some days each provider is down in every way that there is, and so is Redis."""
    plans = [draw(seed, HOUR_S) for seed in SEEDS]
    happened = {(outage.target, outage.kind) for plan in plans for outage in (*plan.outages, *plan.redis)}

    wanted = {(provider, kind) for provider, kinds in KINDS.items() for kind in kinds}
    wanted |= {("redis", kind) for kind in REDIS_KINDS} | {("tavily", QUOTA)}
    assert happened == wanted


def test_the_same_seed_is_the_same_day():
    """A plan follows from its seed."""
    assert draw(7, HOUR_S) == draw(7, HOUR_S)
    assert draw(7, HOUR_S) != draw(8, HOUR_S)


@pytest.mark.parametrize("simulator", [TavilySimulator(), JinaSimulator()], ids=PROVIDERS)
def test_simulators_know_every_kind(simulator: Simulator):
    """No fault of the plan is one that its simulator would refuse."""
    for fault in KINDS[PROVIDERS[isinstance(simulator, JinaSimulator)]].values():
        simulator.always(fault)
