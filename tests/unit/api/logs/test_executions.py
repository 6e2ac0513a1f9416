"""Lines of the record: one an execution, at its end, whatever becomes of it and of the places they go to."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest

from api.logs import executions
from api.logs.executions import CERTAIN_S, ExecutionLog
from api.logs.formats import EcsFormat
from api.logs.output import OutputHandler
from orchestrator.events import Envelope, Event
from orchestrator.facts import CircuitOpened
from storage.line_feed import FrameToLog
from tests.support.clock import FakeClock
from tests.support.histories import NOON, fallback, hit, miss, numbered, refused
from tests.support.rows import read
from tests.support.shelf import Shelf

A, B = "0198c0de-0000-7000-8000-00000000000a", "0198c0de-0000-7000-8000-00000000000b"


@pytest.fixture
def shelf():
    """The place they go to."""
    return Shelf()


@pytest.fixture
def handler(shelf):
    """What writes there, in ECS."""
    made = OutputHandler(shelf, "the shelf", EcsFormat("host-1"))
    yield made
    shelf.may_go.set()
    made.close()


@pytest.fixture
def clock():
    """A clock to be moved, at the moment of the histories."""
    return FakeClock(now=NOON)


@pytest.fixture
def log(handler, clock, monkeypatch):
    """What is tested, at the usual level."""
    monkeypatch.setattr(logging.getLogger("amos"), "level", logging.INFO)
    logging.getLogger("amos").manager._clear_cache()
    return ExecutionLog([handler], "all", clock)


def frame(
    stream: str, events: tuple[Event, ...] | tuple[Envelope, ...], *, is_told: bool = False
) -> FrameToLog:
    """A frame with these events."""
    envelopes = events if isinstance(events[0], Envelope) else numbered(events)
    row, _, found = read(envelopes, stream=stream)
    return FrameToLog(row, found, is_told)


def told(shelf: Shelf) -> list[tuple[str, str]]:
    """Id and outcome of each line, in order."""
    events = [json.loads(line)["event"] for line in shelf.lines]
    return [(event["id"], event["outcome"]) for event in events]


async def test_an_execution_of_several_frames_is_one_line(log, shelf):
    """It comes with the last word, in the order in which executions ended, and knows the first frame."""
    first, second = numbered(miss())[:4], numbered(miss())[4:]

    await log.note([frame(A, first), frame(B, hit())])
    await log.note([frame(A, second)])
    await log.note([])

    assert told(shelf) == [(B, "success"), (A, "success")]
    assert json.loads(shelf.lines[1])["amos"]["attempts"] == 1
    assert log._open == {}


async def test_what_comes_after_the_last_word_is_no_second_line(log, shelf):
    """An attempt that outlived its call changes nothing that was told."""
    late = numbered(miss())[4:5]

    await log.note([frame(A, hit()), frame(A, (Envelope(5, NOON + 1, late[0].event),))])
    assert told(shelf) == [(A, "success")]
    assert log._open == {}


async def test_what_never_ends_is_told_when_that_is_certain(log, shelf, clock):
    """Its process died: that is worth a warning, once."""
    await log.note([frame(A, miss()[:4])])
    await clock.sleep(CERTAIN_S - 1)
    await log.note([])
    assert shelf.lines == []

    await clock.sleep(2)
    await log.note([])
    await log.note([])

    assert told(shelf) == [(A, "unknown")]


async def test_what_was_told_is_read_but_not_told_again(log, shelf, clock):
    """After a death the journal is read again: the beginning is needed, its lines are not."""
    await log.note([frame(B, hit(), is_told=True), frame(A, numbered(miss())[:4], is_told=True)])
    await log.note([frame(A, numbered(miss())[4:])])
    assert told(shelf) == [(A, "success")]

    await clock.sleep(CERTAIN_S + 1)
    await log.note([frame(B, miss()[:4], is_told=True)])
    await clock.sleep(CERTAIN_S + 1)
    await log.note([])
    assert told(shelf) == [(A, "success")]


@pytest.mark.parametrize(
    ("which", "level", "expected"),
    [
        ("all", logging.INFO, ["hit", "fallback", "refused", "failed"]),
        ("failures", logging.INFO, ["fallback", "refused", "failed"]),
        ("none", logging.INFO, []),
        ("all", logging.WARNING, ["fallback", "failed"]),
        ("all", logging.ERROR, ["failed"]),
    ],
)
async def test_which_lines_are_wanted(handler, shelf, clock, log, monkeypatch, which, level, expected):
    """The two settings decide; facts are told by their level alone."""
    monkeypatch.setattr(logging.getLogger("amos"), "level", level)
    logging.getLogger("amos").manager._clear_cache()
    begin = hit()[:2]
    kinds = {
        "hit": hit(),
        "fallback": fallback(),
        "refused": (*begin, refused("rate_limited")),
        "failed": (*begin, refused("all_providers_failed")),
    }
    ids = {f"{A[:-1]}{number}": name for number, name in enumerate(kinds)}
    log = ExecutionLog([handler], which, clock)
    await log.note([frame(stream, kinds[name]) for stream, name in ids.items()])

    assert [ids[stream] for stream, _ in told(shelf)] == expected

    await log.note([frame("circuit:x", (CircuitOpened(provider="x", reason="failures", cooldown_s=1.0),))])
    assert (len(shelf.lines) > len(expected)) == (level <= logging.WARNING)


async def test_a_frame_that_makes_no_sense_holds_up_nothing(log, shelf, caplog):
    """It is passed over and told once; the others have their lines."""
    broken = frame(A, hit())._replace(envelopes=(Envelope(1, 1e300, hit()[0]), Envelope(2, 1e300, hit()[3])))

    await log.note([broken, broken, frame(B, hit())])

    assert told(shelf) == [(B, "success")]
    assert len([one for one in caplog.records if "cannot be logged" in one.getMessage()]) == 1


async def test_executions_under_way_are_bounded(log, shelf, monkeypatch):
    """The oldest is told without its beginning."""
    monkeypatch.setattr(executions, "OPEN_MAX", 1)
    await log.note([frame(A, numbered(miss())[:4]), frame(B, numbered(miss())[:4])])
    await log.note([frame(A, numbered(miss())[4:]), frame(B, numbered(miss())[4:])])

    first, second = map(json.loads, shelf.lines)
    assert ("trace" in first, "trace" in second) == (False, True)


async def test_the_recorder_waits_until_lines_are_written(log, shelf):
    """So that its death loses none; but for a place that hangs it waits once, until that has caught up."""
    shelf.may_go.clear()
    executions.WRITTEN_S, usual = 0.1, executions.WRITTEN_S
    try:
        begun = time.monotonic()
        for _ in range(5):
            await log.note([frame(A, hit())])
        took_s = time.monotonic() - begun
        shelf.may_go.set()
        while len(shelf.lines) < 5:
            await log.note([])
            await asyncio.sleep(0.001)
        await log.note([frame(B, hit())])
    finally:
        executions.WRITTEN_S = usual

    assert 0.1 <= took_s < 0.4
    assert told(shelf)[-1] == (B, "success")
