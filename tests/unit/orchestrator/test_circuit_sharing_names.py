"""Circuits under names: a provider that takes the name of another has no part in what was told of it."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.circuit_sharing import REFRESH_S, CircuitSharing
from orchestrator.cooldown import CircuitPolicy
from orchestrator.errors import ProviderUnavailable
from orchestrator.filters.circuit_breaker import Circuit
from tests.support.clock import LoopClock
from tests.support.facts import Facts
from tests.support.shared_memory import MemoryCircuitBoard

SOON_S = REFRESH_S * 1.2
POLICY = CircuitPolicy(failures_max=1, cooldowns_s=(30.0,), jitter_ratio=0.0)
DOWN = ProviderUnavailable("It failed.", provider="engine", reason="http_503")


def circuit():
    """A circuit of the provider `engine`."""
    return Circuit("engine", LoopClock(), Facts(), POLICY)


@pytest.fixture
async def share():
    """Makes what shares a circuit, as the provider that `identity` tells."""
    board = MemoryCircuitBoard(LoopClock())
    begun = []

    def share(circuit, identity=str):
        begun.append(CircuitSharing(board, {"engine": circuit}, identity))
        return begun[-1]

    yield share
    for one in begun:
        await one.aclose()


def opened():
    """A circuit that has just opened."""
    one = circuit()
    one.failed(DOWN, is_probe=False)
    return one


async def test_a_successor_with_other_options_does_not_hear_of_it(share):
    """What everybody knows of the one is not known of the other, here and elsewhere."""
    made_of = "old"
    old, new, elsewhere = opened(), circuit(), circuit()
    sharing = share(old, lambda name: f"{name}.{made_of}")
    await asyncio.sleep(SOON_S)
    made_of = "new"
    sharing.use({"engine": new})
    share(elsewhere, lambda name: f"{name}.new")
    await asyncio.sleep(SOON_S)

    assert [old.state, new.state, elsewhere.state] == ["open", "closed", "closed"]


async def test_what_a_predecessor_still_had_to_tell_leaves_the_successor_able_to_hear(share):
    """Reports of the one that has gone come back to nobody, and the successor still follows the others."""
    old, new, elsewhere = circuit(), circuit(), circuit()
    sharing, others = share(old), share(elsewhere)
    old._report("answered")
    old._report("answered")
    sharing.use({"engine": new})
    await asyncio.sleep(SOON_S)
    elsewhere.failed(DOWN, is_probe=False)
    await asyncio.sleep(SOON_S)

    assert others is not sharing
    assert (elsewhere.state, new.state) == ("open", "open")
