"""A journal that cannot be written says so, and finds out by itself when it can be again."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from storage import file_journal
from storage.file_journal import TRIAL, FileJournal
from storage.file_segments import encode_record, list_segments, recover_segment, segment_path
from tests.support.journal_disk import Disk, append, file_size_limit, frames, outcomes
from tests.support.processes import until


async def test_a_failed_write_is_seen_until_one_succeeds(tmp_path, caplog):
    """The fault, and since when, are there for whoever looks; the log hears of each change once."""
    caplog.set_level("INFO", "amos.journal")
    full = OSError(errno.ENOSPC, "No space left on device")
    journal = FileJournal(tmp_path, write=Disk(None, full, full).write)
    await append(journal)
    before = journal.look()

    for _ in range(2):
        await outcomes([append(journal)])
    during = journal.look()
    await append(journal)
    after = journal.look()

    assert [before.fault, after.fault] == ["", ""]
    assert "No space left on device" in during.fault
    assert before.since <= during.since <= after.since
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    await journal.aclose()


@pytest.mark.parametrize("durability", ["process", "disk"])
async def test_a_failed_journal_recovers_without_calls(tmp_path, monkeypatch, durability):
    """Whoever looks makes it try again, which leaves nothing behind."""
    monkeypatch.setattr(file_journal, "RETRY_S", 0.0)
    journal = FileJournal(tmp_path, durability=durability)
    await append(journal, "before")
    segment = list_segments(tmp_path)[0]
    size = segment.stat().st_size

    with file_size_limit(size + 10):
        await outcomes([append(journal, "lost")])
        assert "File too large" in journal.look().fault
        assert segment.stat().st_size == size
    journal.look()
    await until(lambda: not journal.look().fault, 5.0, lambda: journal.look().fault)

    assert segment.stat().st_size == size
    await append(journal, "after")
    assert frames(tmp_path) == [(1, "before"), (2, "after")]
    await journal.aclose()


async def test_a_trial_that_stays_is_a_torn_end(tmp_path):
    """A kill during a try leaves what every kill may leave, and no damage."""
    path = segment_path(tmp_path, "i", 1)
    path.write_bytes(encode_record(b"whole") + TRIAL)

    assert [type(item).__name__ for item in recover_segment(path)] == ["Record"]


async def test_a_folder_that_comes_back_is_found(tmp_path, monkeypatch):
    """Also without calls a journal recovers for which no segment could be made."""
    monkeypatch.setattr(file_journal, "RETRY_S", 0.0)
    directory = tmp_path / "journal"
    journal = FileJournal(directory)
    directory.rmdir()
    await outcomes([append(journal)])

    gone = journal.look().fault
    directory.mkdir()

    assert "No such file or directory" in gone
    assert journal.look().fault == ""
    await journal.aclose()


async def test_a_failed_sync_is_a_fault(tmp_path, monkeypatch):
    """With durability `disk` the journal is at fault until a sync succeeds, not only a write."""

    def broken(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(file_journal, "RETRY_S", 0.0)
    journal = FileJournal(tmp_path, durability="disk")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        await outcomes([append(journal)])
        for _ in range(3):
            assert "Input/output error" in journal.look().fault
            await asyncio.sleep(0)

    await until(lambda: not journal.look().fault, 5.0, lambda: journal.look().fault)
    await journal.aclose()
