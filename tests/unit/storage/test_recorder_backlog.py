"""A recorder that is behind stores first what waits in the journal, and looks again without a rest."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import aclosing
from functools import partial

import pytest

from orchestrator.errors import EventLogUnavailable
from storage.file_journal import FileJournal
from storage.recorder_process import BUSY_S, RecorderLoop, record_forever
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from tests.support.histories import NOON, hit, numbered


async def test_counting_that_the_database_refuses_holds_up_no_backlog(
    tmp_path, engine, database_url, monkeypatch
):
    """All batches are stored before anybody waits: a journal that fills up would refuse calls."""

    async def refused(_projector):
        raise EventLogUnavailable("a table of figures is damaged")

    monkeypatch.setattr(SqlProjector, "project", refused)
    journal = FileJournal(tmp_path / "journal", instance="w-1")
    for _ in range(5):
        await journal.append("e-1", NOON, numbered(hit()), {})
    async with RecorderLoop(tmp_path, database_url) as recorder:
        monkeypatch.setattr(recorder._reader, "read", partial(recorder._reader.read, 2))
        with pytest.raises(EventLogUnavailable):
            await recorder.drain()
    await journal.aclose()

    assert len(await SqlEventLog(engine).read(0, 10)) == 5


class SlowSink:
    """Takes longer than the recorder rests, and writes the next frame meanwhile; notes its shortest rest."""

    def __init__(self, journal):
        self._journal = journal
        self._ended_at = -math.inf
        self._looks = 0
        self.shortest_rest_s = math.inf
        self.has_seen_enough = asyncio.Event()

    async def note(self, frames):
        """One short rest is enough: while the machine stands still every one is long."""
        self._looks += 1
        self.shortest_rest_s = min(self.shortest_rest_s, time.monotonic() - self._ended_at)
        if self.shortest_rest_s < BUSY_S or self._looks == 20:
            self.has_seen_enough.set()
        await self._journal.append("e-1", NOON, numbered(hit()), {})
        await asyncio.sleep(1.5 * BUSY_S)
        self._ended_at = time.monotonic()


async def test_a_look_that_takes_long_is_followed_by_the_next(tmp_path, database_url):
    """The pause goes from look to look: a recorder that is at work for longer than that does not rest."""
    async with aclosing(FileJournal(tmp_path / "journal", instance="w-1")) as journal:
        await journal.append("e-1", NOON, numbered(hit()), {})
        sink, stop = SlowSink(journal), asyncio.Event()
        running = asyncio.create_task(record_forever(tmp_path, database_url, stop, lines=sink))
        await sink.has_seen_enough.wait()
        rested_s = sink.shortest_rest_s
        stop.set()
        await running

    assert rested_s < BUSY_S
