"""The recorder stamps facts, writes them in frames, and refuses to lose any."""

from __future__ import annotations

import asyncio
import logging

import pytest

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import CallerAuthenticated, RequestReceived
from orchestrator.facts import CallersRefused, CircuitClosed
from orchestrator.recorder import CALLERS_STREAM, REFUSALS_EVERY_S, Recorder
from tests.support.clock import FakeClock, LoopClock
from tests.support.memory_journal import MemoryJournal

RECEIVED = RequestReceived(operation="search", door="test")
KNOWN = CallerAuthenticated(client="local", method="local_operator")


@pytest.fixture
def journal():
    """Where the facts go."""
    return MemoryJournal()


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def recorder(journal, clock):
    """The real recorder."""
    return Recorder(journal, clock)


async def test_facts_are_numbered_and_dated(recorder, clock):
    """Every fact carries its number in the execution, from 1, and the moment it happened."""
    trail = recorder.open()
    begun = clock.now()

    trail.record(RECEIVED)
    clock.advance(2.5)
    trail.record(KNOWN)

    assert [(e.seq, e.at, e.event) for e in trail.events] == [
        (1, begun, RECEIVED),
        (2, begun + 2.5, KNOWN),
    ]


async def test_a_commit_writes_what_is_pending_as_one_frame(recorder, journal, clock):
    """All facts since the last commit are one frame of the execution's stream."""
    trail = recorder.open()
    trail.record(RECEIVED)
    trail.record(KNOWN)

    await trail.commit()

    (frame,) = journal.frames
    assert (frame.stream, frame.recorded_at) == (trail.execution_id, clock.now())
    assert [e.event for e in frame.events] == [RECEIVED, KNOWN]


async def test_a_later_frame_continues_the_numbers(recorder, journal):
    """Facts after a commit go in a further frame and are numbered on."""
    trail = recorder.open()
    trail.record(RECEIVED)
    await trail.commit()

    trail.record(KNOWN)
    await trail.commit()

    assert [[e.seq for e in frame.events] for frame in journal.frames] == [[1], [2]]


async def test_nothing_pending_writes_nothing(recorder, journal):
    """A commit without new facts costs no frame."""
    trail = recorder.open()
    trail.record(RECEIVED)
    await trail.commit()

    await trail.commit()
    trail.commit_soon()
    await recorder.aclose()

    assert len(journal.frames) == 1


async def test_a_failed_commit_is_told(recorder, journal):
    """Facts that cannot be made durable raise EventLogUnavailable."""
    journal.is_full = True
    trail = recorder.open()
    trail.record(RECEIVED)

    with pytest.raises(EventLogUnavailable):
        await trail.commit()


async def test_facts_of_a_failed_commit_go_with_the_next(recorder, journal):
    """An execution is never stored without its beginning: what could not be written is pending again."""
    trail = recorder.open()
    trail.record(RECEIVED)
    trail.note_text("k", "tides")
    journal.is_full = True
    with pytest.raises(EventLogUnavailable):
        await trail.commit()

    journal.is_full = False
    trail.record(KNOWN)
    await trail.commit()

    (frame,) = journal.frames
    assert [e.seq for e in frame.events] == [1, 2]
    assert frame.texts == {"k": "tides"}


async def test_what_could_not_be_written_goes_with_the_next_frame(recorder, journal):
    """Facts and texts of a failed commit are pending again, so that no execution loses its beginning."""
    trail = recorder.open()
    trail.note_text("k1", "tides in Leith")
    trail.record(RECEIVED)
    journal.is_full = True
    with pytest.raises(EventLogUnavailable):
        await trail.commit()

    journal.is_full = False
    trail.record(KNOWN)
    await trail.commit()

    (frame,) = journal.frames
    assert [(e.seq, e.event) for e in frame.events] == [(1, RECEIVED), (2, KNOWN)]
    assert frame.texts == {"k1": "tides in Leith"}


async def test_facts_written_after_a_failure_are_not_written_twice(recorder, journal):
    """If the execution has gone on before its failed commit was noticed, later facts stay where they are."""
    trail = recorder.open()
    trail.record(RECEIVED)
    journal.is_full = True
    trail.commit_soon()
    trail.record(KNOWN)
    trail.commit_soon()
    await recorder.aclose()

    journal.is_full = False
    await trail.commit()

    assert [[e.seq for e in frame.events] for frame in journal.frames] in ([[2]], [[1, 2]])


async def test_a_cancelled_commit_is_still_written(recorder, journal):
    """Whoever stops waiting for a commit does not take the facts back."""
    trail = recorder.open()
    trail.record(RECEIVED)
    commit = asyncio.ensure_future(trail.commit())
    await asyncio.sleep(0)

    commit.cancel()
    await asyncio.wait([commit])

    assert commit.cancelled()
    assert journal.events(trail.execution_id) == [RECEIVED]


async def test_commit_soon_waits_for_nothing_and_aclose_for_all(recorder, journal):
    """A commit nobody waits for is durable when the recorder is closed."""
    trail = recorder.open()
    trail.record(RECEIVED)

    trail.commit_soon()

    assert journal.frames == []
    await recorder.aclose()
    assert journal.events(trail.execution_id) == [RECEIVED]


async def test_a_failure_nobody_waits_for_is_logged(recorder, journal, caplog):
    """A write that fails with nobody waiting leaves a line in the log, and raises nowhere."""
    journal.is_full = True
    trail = recorder.open()
    trail.record(RECEIVED)

    with caplog.at_level(logging.ERROR, "amos.recorder"):
        trail.commit_soon()
        recorder.record_fact("circuit:tavily", CircuitClosed(provider="tavily"))
        await recorder.aclose()

    assert [record.message for record in caplog.records] == [
        "facts could not be recorded: The journal is full."
    ] * 2


async def test_execution_ids_sort_by_time_and_start_a_trace(recorder):
    """An execution id is a UUIDv7 in canonical form; without a caller's trace it is the trace id as well."""
    first, second = recorder.open(), recorder.open()

    assert first.execution_id < second.execution_id
    assert first.execution_id[14] == "7"
    assert first.trace_id == first.execution_id.replace("-", "")


async def test_a_callers_trace_is_kept(recorder):
    """The trace id of the caller is taken over, the execution id never comes from outside."""
    trail = recorder.open("ab" * 16)

    assert trail.trace_id == "ab" * 16
    assert trail.execution_id.replace("-", "") != trail.trace_id


async def test_texts_go_with_the_next_frame_once(recorder, journal):
    """The text behind a key leaves with the next frame and with no later one."""
    trail = recorder.open()
    trail.note_text("k1", "tides in Leith")
    trail.record(RECEIVED)
    await trail.commit()
    trail.record(KNOWN)
    await trail.commit()

    assert [frame.texts for frame in journal.frames] == [{"k1": "tides in Leith"}, {}]


async def test_what_else_was_asked_goes_with_its_text(recorder, journal):
    """Options leave with the text they belong to, once, also when the first frame could not be written."""
    trail = recorder.open()
    trail.note_text("k1", "tides in Leith", '{"topic":"news"}')
    trail.note_text("k2", "https://almanac.example/", "")
    trail.record(RECEIVED)
    journal.is_full = True
    with pytest.raises(EventLogUnavailable):
        await trail.commit()

    journal.is_full = False
    await trail.commit()
    trail.record(KNOWN)
    await trail.commit()

    assert [frame.requests for frame in journal.frames] == [{"k1": '{"topic":"news"}'}, {}]


async def test_texts_can_be_switched_off(journal, clock):
    """A recorder that keeps no texts forgets them at once, and what else was asked with them."""
    trail = Recorder(journal, clock, keep_texts=False).open()
    trail.note_text("k1", "tides in Leith", '{"topic":"news"}')
    trail.record(RECEIVED)

    await trail.commit()

    assert (journal.frames[0].texts, journal.frames[0].requests) == ({}, {})


async def test_facts_of_their_own_are_numbered_by_stream(recorder, journal):
    """A fact that belongs to no execution is a frame of its stream; each stream counts for itself."""
    recorder.record_fact("circuit:tavily", CircuitClosed(provider="tavily"))
    recorder.record_fact("circuit:jina", CircuitClosed(provider="jina"))
    recorder.record_fact("circuit:tavily", CircuitClosed(provider="tavily"))
    await recorder.aclose()

    assert [(frame.stream, frame.events[0].seq) for frame in journal.frames] == [
        ("circuit:tavily", 1),
        ("circuit:jina", 1),
        ("circuit:tavily", 2),
    ]


async def test_a_fact_that_was_not_written_leaves_no_hole(recorder, journal):
    """The number of a fact that could not be written is that of the next one."""
    journal.is_full = True
    recorder.record_fact("circuit:tavily", CircuitClosed(provider="tavily"))
    await recorder.aclose()
    journal.is_full = False

    recorder.record_fact("circuit:tavily", CircuitClosed(provider="tavily"))
    await recorder.aclose()

    assert [frame.events[0].seq for frame in journal.of("circuit:tavily")] == [1]


async def test_facts_that_fail_together_leave_no_hole(recorder, journal):
    """The numbers of several facts of one moment that could not be written are those of the next ones."""
    for is_full, count in ((True, 3), (False, 2), (True, 2), (True, 1), (False, 1)):
        journal.is_full = is_full
        for _ in range(count):
            recorder.record_fact("circuit:tavily", CircuitClosed(provider="tavily"))
        await recorder.aclose()

    assert [frame.events[0].seq for frame in journal.of("circuit:tavily")] == [1, 2, 3]


async def test_a_number_in_the_record_is_not_given_again(recorder, journal):
    """A fact that was written between two that were not keeps its number to itself."""
    for is_full in (True, False, True, False):
        journal.is_full = is_full
        recorder.record_fact("circuit:tavily", CircuitClosed(provider="tavily"))
        await recorder.aclose()

    assert [frame.events[0].seq for frame in journal.of("circuit:tavily")] == [1, 2]


async def test_confirmed_facts_are_durable_together(recorder, journal):
    """Facts that somebody waits for are one frame, numbered on from those before, and returned with that."""
    recorder.record_fact("circuit:tavily", CircuitClosed(provider="tavily"))

    envelopes = await recorder.confirm_facts("circuit:tavily", *[CircuitClosed(provider="tavily")] * 2)

    assert [envelope.seq for envelope in envelopes] == [2, 3]
    assert journal.of("circuit:tavily")[-1].events == envelopes


async def test_facts_that_cannot_be_confirmed_raise_and_leave_no_hole(recorder, journal):
    """Whoever waits is told, and all their numbers are those of the next facts."""
    journal.is_full = True
    for _ in range(2):
        with pytest.raises(EventLogUnavailable):
            await recorder.confirm_facts("circuit:tavily", *[CircuitClosed(provider="tavily")] * 3)
    journal.is_full = False

    envelopes = await recorder.confirm_facts("circuit:tavily", CircuitClosed(provider="tavily"))

    assert [envelope.seq for envelope in envelopes] == [1]
    await recorder.aclose()


async def test_a_wait_that_is_cancelled_leaves_the_facts_written(recorder, journal):
    """Who leaves does not take back what was handed over; `aclose` sees to it."""
    waiting = asyncio.create_task(recorder.confirm_facts("circuit:tavily", CircuitClosed(provider="tavily")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await recorder.aclose()

    assert waiting.cancelled()
    assert len(journal.of("circuit:tavily")) == 1


async def test_refusals_of_a_second_are_one_count_each(journal):
    """However many strangers knock within a second, the log gets one fact per reason."""
    recorder = Recorder(journal, LoopClock())
    for _ in range(1000):
        recorder.count_refusal("proxy")
    recorder.count_refusal("foreign_origin")

    await asyncio.sleep(REFUSALS_EVERY_S + 0.1)

    assert journal.events(CALLERS_STREAM) == [
        CallersRefused(reason="proxy", count=1000),
        CallersRefused(reason="foreign_origin", count=1),
    ]


async def test_refusals_of_the_next_second_count_anew(journal):
    """Each second has its own counts."""
    recorder = Recorder(journal, LoopClock())
    recorder.count_refusal("proxy")
    await asyncio.sleep(REFUSALS_EVERY_S + 0.1)

    recorder.count_refusal("proxy")
    recorder.count_refusal("proxy")
    await asyncio.sleep(REFUSALS_EVERY_S + 0.1)

    assert [event.count for event in journal.events(CALLERS_STREAM)] == [1, 2]


async def test_closing_writes_what_is_still_counted(recorder, journal):
    """Refusals counted in the last second are written on closing, and closing twice writes them once."""
    recorder.count_refusal("proxy")

    await recorder.aclose()
    await recorder.aclose()

    assert journal.events(CALLERS_STREAM) == [CallersRefused(reason="proxy", count=1)]
