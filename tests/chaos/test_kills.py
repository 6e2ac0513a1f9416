"""`kill -9` under load, at moments drawn from a seed: what was answered is recorded, what was spent is known.

The seed is part of a test's name. `./amos test tests/chaos -k seed3` draws the same questions, targets and
moments again; the scheduler of the machine it cannot repeat.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys

import pytest

from tests.support.installation import Installation
from tests.support.load import Load
from tests.support.seeds import MORE_SEEDS, SEEDS

ANSWERS_AFTER = 100
"""So many calls must be answered after the last kill: AMOS has recovered by itself."""

ORPHANS_S = 5.0
"""How long the children of a killed supervisor may take to notice and to end."""

TARGETS = {
    "worker": ("worker",),
    "recorder": ("recorder",),
    "either": ("worker", "recorder"),
}


async def kill_one_by_one(
    installation: Installation, seed: int, targets: tuple[str, ...], kills: int
) -> Load:
    """Load, and in it `kills` kills of drawn targets at drawn moments; the supervisor lives."""
    chance = random.Random(seed)
    async with Load(installation.amos, seed) as load:
        await load.answer_more(1)
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.1, 1.5))
            target = chance.choice(targets)
            was_there = installation.amos.signal(target, signal.SIGKILL)
            fate = "killed" if was_there else "was dead already"
            sys.stdout.write(f"seed {seed}: {target} {fate} after {len(load.answered)} answers\n")
        await load.answer_more(ANSWERS_AFTER)
    return load


async def kill_everything(installation: Installation, seed: int, rounds: int) -> list[Load]:
    """Rounds of load on one data folder, each ended by the death of all processes at a drawn moment."""
    chance = random.Random(seed)
    loads = []
    for number in range(rounds):
        async with Load(installation.amos, seed * 1_000 + number) as load:
            await load.answer_more(1)
            await asyncio.sleep(chance.uniform(0.1, 1.5))
            await installation.amos.kill_all()
        sys.stdout.write(f"seed {seed}: all killed after {len(load.answered)} answers\n")
        loads.append(load)
        await installation.amos.start()
    return loads


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("targets", ["worker", "recorder"])
async def test_a_part_is_killed(installation: Installation, targets: str, seed: int) -> None:
    """A killed worker or recorder loses no answered execution and no intent, and nobody is refused."""
    load = await kill_one_by_one(installation, seed, TARGETS[targets], kills=2)

    assert await installation.settled(load) == []
    assert not load.refused


@pytest.mark.parametrize("seed", SEEDS)
async def test_everything_is_killed(installation: Installation, seed: int) -> None:
    """After the death of all processes the next start records what was answered before it."""
    loads = await kill_everything(installation, seed, rounds=1)

    assert await installation.settled(*loads) == []
    assert not any(load.refused for load in loads)


@pytest.mark.parametrize("seed", SEEDS[:1] + MORE_SEEDS)
async def test_the_supervisor_is_killed(installation: Installation, seed: int) -> None:
    """The children of a dead supervisor end by themselves, everything is recorded, AMOS starts again."""
    chance = random.Random(seed)
    async with Load(installation.amos, seed) as load:
        await load.answer_more(1)
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        installation.amos.signal("supervisor", signal.SIGKILL)
        await installation.amos.gone(ORPHANS_S)
    assert installation.amos.alive() == {}

    await installation.amos.start()
    async with Load(installation.amos, seed + 1_000) as after:
        await after.answer_more(ANSWERS_AFTER)

    assert await installation.settled(load, after) == []
    assert not load.refused
    assert not after.refused


@pytest.mark.parametrize("seed", MORE_SEEDS)
@pytest.mark.parametrize("targets", TARGETS)
async def test_a_part_is_killed_again_and_again(installation: Installation, targets: str, seed: int) -> None:
    """However often a worker or the recorder is killed, nothing is lost and nobody is refused."""
    load = await kill_one_by_one(installation, seed, TARGETS[targets], kills=8)

    assert await installation.settled(load) == []
    assert not load.refused


@pytest.mark.parametrize("seed", MORE_SEEDS)
async def test_everything_is_killed_again_and_again(installation: Installation, seed: int) -> None:
    """However often all processes die, the last start has recorded what any of them answered."""
    loads = await kill_everything(installation, seed, rounds=6)

    assert await installation.settled(*loads) == []
