"""When is warmed: within its stretch of time, once over all instances, and never at the start."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from orchestrator.errors import EventLogUnavailable
from orchestrator.facts import WarmingFinished
from orchestrator.warming import Warming
from orchestrator.warming_plan import WarmingPolicy
from orchestrator.warming_schedule import LOOK_S, START_S, Occasion, Schedule, WarmingSchedule
from tests.support.clock import EPOCH
from tests.support.core import Core
from tests.support.memory_asked import MemoryAsked
from tests.support.scripted_provider import ScriptedProvider
from tests.support.shared_memory import MemoryFlights

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
MIDNIGHT = EPOCH // DAY_S * DAY_S
TTL_S = 3_600.0


def at(hours):
    """A moment of the day of the tests, in UTC."""
    return MIDNIGHT + hours * HOUR_S


NIGHT = Schedule(opens_s=3 * HOUR_S, closes_s=5 * HOUR_S)
OVER_MIDNIGHT = Schedule(opens_s=22 * HOUR_S, closes_s=2 * HOUR_S)


@pytest.mark.parametrize(
    ("schedule", "hours", "occasion"),
    [
        (NIGHT, 2.99, None),
        (NIGHT, 3, (3, 5)),
        (NIGHT, 4.99, (3, 5)),
        (NIGHT, 5, None),
        (OVER_MIDNIGHT, 21.99, None),
        (OVER_MIDNIGHT, 23, (22, 26)),
        (OVER_MIDNIGHT, 1, (-2, 2)),
        (OVER_MIDNIGHT, 2, None),
        (Schedule(opens_s=6 * HOUR_S, closes_s=6 * HOUR_S), 5, (-18, 6)),
        (Schedule(opens_s=0, closes_s=0), 12, (0, 24)),
        (Schedule(every_s=1_800), 12.3, (12, 12.5)),
        (Schedule(opens_s=3 * HOUR_S, closes_s=5 * HOUR_S, every_s=2_700), 3.1, (3, 3.75)),
        (Schedule(opens_s=3 * HOUR_S, closes_s=5 * HOUR_S, every_s=2_700), 4.9, (4.5, 5)),
        (Schedule(opens_s=3 * HOUR_S, closes_s=5 * HOUR_S, every_s=2_700), 6, None),
        (Schedule(), 12, None),
    ],
)
def test_an_occasion_is_a_stretch_of_the_day(schedule, hours, occasion):
    """A stretch includes its beginning and not its end, may go over midnight, and may be divided."""
    expected = occasion and Occasion(at(occasion[0]), at(occasion[1]))

    assert schedule.occasion(at(hours)) == expected


class Instance:
    """A gateway in memory with a schedule; `begin` starts it."""

    def __init__(self, core, flights, schedule, chance=0.5):
        self.core = core
        self.asked = MemoryAsked(core.journal.frames)
        self.warming = Warming(
            core.pipeline,
            core.recorder,
            [core.cache],
            self.asked,
            WarmingPolicy(),
            flights=flights,
            chance=lambda: 0.5,
        )
        self.schedule = WarmingSchedule(self.warming, schedule, core.clock, lambda: chance)
        self.task = None

    def begin(self):
        """Start its schedule."""
        self.task = asyncio.ensure_future(self.schedule.run())

    async def stop(self):
        """End it, as a process does that is told to stop."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def asked_core(delay_s=0.0):
    """A core whose three questions were asked twice, and have expired."""
    tavily = ScriptedProvider("tavily", delay_s=delay_s)
    core = Core(tavily)
    for query in ("one", "two", "three"):
        for _ in range(2):
            await core.search(query)
    await asyncio.sleep(TTL_S + 1.0)
    return core, tavily


def runs(core):
    """The facts about runs."""
    return [event for event in core.journal.events("warming:schedule") if isinstance(event, WarmingFinished)]


async def test_nothing_is_warmed_at_the_start():
    """The first look follows two minutes after the start, more or less."""
    core, tavily = await asked_core()
    instance = Instance(core, None, Schedule(every_s=60.0))
    instance.begin()

    await asyncio.sleep(START_S - 1.0)
    assert tavily.calls == 3
    assert runs(core) == []
    await asyncio.sleep(10.0)

    assert tavily.calls == 6
    assert [run.warmed for run in runs(core)] == [3]
    await instance.stop()


async def test_each_occasion_is_warmed_once():
    """A run every hour: one event an hour, and nothing in between."""
    core, _ = await asked_core()
    instance = Instance(core, None, Schedule(every_s=HOUR_S))
    instance.begin()

    await asyncio.sleep(5.0 * HOUR_S)
    await instance.stop()

    assert len(runs(core)) in {5, 6}
    assert {run.cause for run in runs(core)} == {"schedule"}


async def test_two_instances_warm_once():
    """Whoever comes second sees in the record, or by the lease, that it is done or being done."""
    core, tavily = await asked_core(delay_s=4.0)
    flights = MemoryFlights(core.clock)
    instances = [Instance(core, flights, Schedule(every_s=DAY_S), chance) for chance in (0.5, 0.505, 0.9)]
    for instance in instances:
        instance.begin()

    await asyncio.sleep(10 * START_S)
    for instance in instances:
        await instance.stop()

    assert tavily.calls == 6
    assert [run.warmed for run in runs(core)] == [3]


async def test_one_that_starts_again_does_not_repeat_it():
    """The record remembers what a new process does not."""
    core, tavily = await asked_core()
    for _ in range(3):
        instance = Instance(core, None, Schedule(every_s=DAY_S))
        instance.begin()
        await asyncio.sleep(3 * START_S)
        await instance.stop()

    assert tavily.calls == 6
    assert len(runs(core)) == 1


async def test_a_run_that_was_cut_short_is_made_up_for():
    """The next process of the same occasion goes on where the last one ended."""
    core, tavily = await asked_core(delay_s=4.0)
    instance = Instance(core, None, Schedule(every_s=DAY_S))
    instance.begin()
    await asyncio.sleep(START_S + 1.0)
    await instance.stop()
    instance = Instance(core, None, Schedule(every_s=DAY_S))
    instance.begin()
    await asyncio.sleep(3 * START_S)
    await instance.stop()

    assert [(run.ended_by, run.warmed, run.skipped) for run in runs(core)] == [
        ("cancelled", 2, 0),
        ("done", 1, 2),
    ]
    assert tavily.calls == 6


async def test_the_stretch_of_the_day_is_kept():
    """Outside it nothing is warmed; it ends with what is left undone."""
    core, tavily = await asked_core()
    now = core.clock.now()
    opens_s = (now + 2 * HOUR_S) % DAY_S
    night = Schedule(opens_s=int(opens_s), closes_s=int((opens_s + HOUR_S) % DAY_S))
    instance = Instance(core, None, night)
    instance.begin()

    await asyncio.sleep(2 * HOUR_S - 60.0)
    assert tavily.calls == 3
    await asyncio.sleep(60.0 + 2 * LOOK_S)
    assert tavily.calls == 6
    await asyncio.sleep(DAY_S - HOUR_S)
    await instance.stop()

    assert len(runs(core)) == 1


async def test_a_record_out_of_reach_is_waited_for():
    """While nobody knows what was asked nothing is warmed; afterwards it is, in the same occasion."""
    core, tavily = await asked_core()
    instance = Instance(core, None, Schedule(every_s=DAY_S))
    real = instance.asked

    class Broken:
        async def warmed_at(self):
            raise EventLogUnavailable("Down.")

    instance.warming.asked = Broken()
    instance.begin()
    await asyncio.sleep(2 * START_S)
    assert runs(core) == []

    instance.warming.asked = real
    await asyncio.sleep(2 * LOOK_S)
    await instance.stop()

    assert tavily.calls == 6
