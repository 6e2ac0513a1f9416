"""Which frames have a line to come: none twice by one process, none again that an earlier one has stored."""

from __future__ import annotations

import logging

import pytest

from orchestrator.errors import EventLogUnavailable
from storage.codec import ReadFrame
from storage.line_feed import LineFeed
from storage.sql_engine import open_engine
from storage.sql_event_log import SqlEventLog
from storage.sql_schema import upgrade
from tests.support.histories import hit, numbered
from tests.support.rows import read


class Sink:
    """Notes what it is handed."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, bool]] = []
        self.fault: Exception | None = None

    async def note(self, frames) -> None:
        """Keep who wrote it, its number, and whether it was told."""
        if self.fault is not None:
            raise self.fault
        self.told += [(frame.row.instance, frame.row.instance_seq, frame.is_told) for frame in frames]


def frame(instance: str, number: int) -> ReadFrame:
    """A frame of a writer."""
    return read(numbered(hit()), stream=f"e-{number}", instance=instance, number=number)


@pytest.fixture
async def log(database_url, engine):
    """An event log on each database."""
    await upgrade(database_url)
    return SqlEventLog(engine)


async def test_what_is_stored_has_been_told(log):
    """Of writers that were there at the start, and up to what is stored of them; others are new."""
    await log.append([frame("old", number).row for number in (1, 2)])
    sink = Sink()
    feed = LineFeed(sink, log)
    feed.begin({"old"})

    await feed.tell([frame("old", 1), frame("old", 2), frame("old", 3), frame("new", 1)])

    assert sink.told == [("old", 1, True), ("old", 2, True), ("old", 3, False), ("new", 1, False)]


async def test_a_batch_that_is_tried_again_is_told_once(log):
    """SQL may refuse it for long; what is new in it is told."""
    sink = Sink()
    feed = LineFeed(sink, log)

    await feed.tell([frame("w", 1)])
    await feed.tell([frame("w", 1), frame("w", 2)])
    feed.stored()
    await feed.tell([frame("w", 3)])

    assert [number for _, number, _ in sink.told] == [1, 2, 3]
    assert feed._told == {("w", 3)}


async def test_without_the_database_nothing_is_told_yet(log, caplog):
    """It alone knows what was told before. Any other fault costs lines, and never the record."""
    sink = Sink()
    feed = LineFeed(sink, SqlEventLog(open_engine("sqlite+aiosqlite:////nowhere/at/all.db", writer=True)))
    feed.begin({"w"})
    with pytest.raises(EventLogUnavailable):
        await feed.tell([frame("w", 1)])
    assert sink.told == []

    feed = LineFeed(sink, log)
    sink.fault = ValueError("a bug")
    with caplog.at_level(logging.ERROR):
        await feed.tell([frame("w", 1)])
        await feed.tell([frame("w", 2)])
    assert [one.getMessage() for one in caplog.records] == [
        "what is recorded cannot be logged, for a fault that is not known"
    ]
