"""A recorder that is behind: whatever counting meets, what waits in the journal is stored first."""

from __future__ import annotations

from functools import partial

import pytest

from orchestrator.errors import EventLogUnavailable
from storage.file_journal import FileJournal
from storage.recorder_process import RecorderLoop
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
