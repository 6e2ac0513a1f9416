"""Whatever several instances are told, in whatever order the log gets it: they come to the same list."""

from __future__ import annotations

import contextlib
import random

import pytest

from orchestrator.errors import GatewayError
from orchestrator.facts import PROVIDERS_STREAM
from orchestrator.provider_admin import ProviderChange, ProviderWish
from orchestrator.registrations import in_force
from tests.support.clock import LoopClock
from tests.support.providers import SETTINGS, Instance, MemoryFacts

NAMES = ("wiki", "papers", "first", "local")

STEPS = 120


async def act(chance: random.Random, instance: Instance, log: MemoryFacts) -> None:
    """One thing that happens to one instance; what it refuses has no effect."""
    name, priority = chance.choice(NAMES), chance.randrange(1_000)
    match chance.randrange(8):
        case 0 | 1:
            wish = ProviderWish(name=name, kind="engine", priority=priority, replace=chance.random() < 0.7)
            await instance.admin.register(wish, by="boss")
        case 2:
            await instance.admin.change(name, ProviderChange(priority=priority), by="boss")
        case 3:
            await instance.admin.change(name, ProviderChange(enabled=chance.random() < 0.5), by="boss")
        case 4:
            await instance.admin.remove(name, by="boss")
        case 5 | 6:
            instance.drain()
        case _:
            log.fault = "" if log.fault else "away"
            await instance.book.refresh()


@pytest.mark.parametrize("seed", range(12))
async def test_all_come_to_the_same(seed):
    """In the end the lists are equal, are what the log alone says, and nothing acknowledged is missing."""
    chance, log = random.Random(seed), MemoryFacts()
    instances = [Instance(log, LoopClock(), f"i{number}") for number in range(3)]
    for instance in instances:
        await instance.book.refresh()

    for _ in range(STEPS):
        with contextlib.suppress(GatewayError):
            await act(chance, chance.choice(instances), log)
    log.fault = ""
    for instance in instances:
        instance.drain()
    for instance in instances:
        await instance.book.refresh()
    late = Instance(log, LoopClock(), "late")
    await late.book.refresh()

    lists = [instance.roster.registrations for instance in (*instances, late)]
    assert lists == [in_force(SETTINGS, late.book.changes)] * len(lists)
    recorded = sum(len(instance.journal.of(PROVIDERS_STREAM)) for instance in instances)
    assert len(log.frames) == recorded > STEPS / 10
    for instance in (*instances, late):
        await instance.aclose()
