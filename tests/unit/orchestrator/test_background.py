"""Work beside everything else goes on whatever happens in it, and ends with its context."""

from __future__ import annotations

import asyncio
import logging

import pytest

from orchestrator.background import AGAIN_S, repeating, running
from tests.support.clock import LoopClock


class Work:
    """Steps with a script: a number is the time until the next, an error is raised; the last line stays."""

    def __init__(self, *script: float | Exception) -> None:
        self.script = list(script)
        self.moments: list[float] = []

    async def step(self) -> float:
        """One step, of which the moment is kept."""
        self.moments.append(LoopClock().monotonic())
        line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(line, Exception):
            raise line
        return line


def started(work: Work, first_s: float = 0.0):
    """The work, repeated."""
    return repeating(work.step, LoopClock(), "the work", first_s=first_s)


async def test_each_step_says_when_the_next_is_due():
    """The first after the first pause, each further one after what the one before returned."""
    work = Work(2.0, 7.0, 100.0)
    begun = LoopClock().monotonic()

    async with started(work, first_s=3.0):
        await asyncio.sleep(50.0)

    assert [moment - begun for moment in work.moments] == pytest.approx([3.0, 5.0, 12.0])


async def test_a_fault_ends_nothing(caplog):
    """What nobody foresaw is told, with its traceback, and the work is done again after a pause."""
    work = Work(ZeroDivisionError("once"), 100.0)

    async with started(work):
        await asyncio.sleep(AGAIN_S + 1.0)

    assert len(work.moments) == 2
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert "the work" in told.message
    assert told.exc_info


async def test_a_fault_that_stays_is_told_once(caplog):
    """Nor does it spin: each try waits."""
    work = Work(ZeroDivisionError("for good"))

    async with started(work):
        await asyncio.sleep(100 * AGAIN_S)

    assert 99 <= len(work.moments) <= 101
    assert len(caplog.records) == 1


async def test_a_fault_that_comes_again_is_told_again(caplog):
    """In between it was well."""
    work = Work(ZeroDivisionError("now"), 1.0, ZeroDivisionError("now"), 100.0)

    async with started(work):
        await asyncio.sleep(3 * AGAIN_S)

    assert len(caplog.records) == 2


async def test_it_ends_with_its_context():
    """Also in the middle of a step, and after a fault; no task is left, and nothing is raised at the end."""
    before = asyncio.all_tasks()

    async with started(Work(1_000.0)), started(Work(ZeroDivisionError())), running(asyncio.sleep(9_999), "x"):
        await asyncio.sleep(1.0)
        assert len(asyncio.all_tasks()) == len(before) + 3

    assert asyncio.all_tasks() == before


async def test_work_that_ends_by_a_fault_is_told(caplog):
    """Work that is not in steps cannot go on, but nobody waits for the end to hear of it."""

    async def break_down() -> None:
        raise ZeroDivisionError

    async with running(break_down(), "the work"):
        await asyncio.sleep(0.1)
        assert ["the work" in told.message for told in caplog.records] == [True]
