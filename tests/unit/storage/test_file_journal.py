"""The journal's writer: one write a tick, numbers without holes, and the truth about what is durable."""

from __future__ import annotations

import asyncio
import errno
import os

import msgspec

from orchestrator import limits
from orchestrator.errors import EventLogUnavailable
from storage.file_journal import FileJournal, new_instance
from storage.file_segments import (
    is_live,
    list_segments,
    read_segment,
    recover_segment,
)
from tests.support.histories import NOON
from tests.support.journal_disk import EVENTS, Disk, append, file_size_limit, frames, outcomes


async def test_a_tick_is_one_write(tmp_path):
    """All frames appended in one turn of the loop reach the disk together, in call order."""
    disk = Disk()
    journal = FileJournal(tmp_path, write=disk.write)

    await outcomes([append(journal, f"e-{number}") for number in range(50)])

    assert disk.writes == 1
    assert frames(tmp_path) == [(number + 1, f"e-{number}") for number in range(50)]
    await journal.aclose()


async def test_the_record_is_the_frame_as_json(tmp_path):
    """A payload holds the writer, the number, the stream, the moment, the events and the texts."""
    journal = FileJournal(tmp_path, instance="host-1-ab")
    await append(journal, texts={"k1": "what is a circuit breaker"})
    await journal.aclose()

    (record,) = read_segment(list_segments(tmp_path)[0])
    frame = msgspec.json.decode(record.payload)

    assert (frame["instance"], frame["instance_seq"], frame["stream"]) == ("host-1-ab", 1, "e-1")
    assert frame["recorded_at"] == NOON
    assert frame["texts"] == {"k1": "what is a circuit breaker"}
    assert frame["events"][0]["event"]["type"] == "amos.request.received.v1"


async def test_a_cancelled_wait_is_its_own(tmp_path):
    """A caller that leaves changes nothing for its frame nor for the others of the tick."""
    journal = FileJournal(tmp_path)
    leaving, staying = append(journal, "leaves"), append(journal, "stays")
    leaving.cancel()

    await staying

    assert frames(tmp_path) == [(1, "leaves"), (2, "stays")]
    await journal.aclose()


async def test_nobody_has_to_wait(tmp_path):
    """A frame whose result nobody awaits is written all the same."""
    journal = FileJournal(tmp_path)

    append(journal)
    await journal.aclose()

    assert frames(tmp_path) == [(1, "e-1")]


async def test_a_full_disk_fails_the_tick_and_leaves_no_hole(tmp_path):
    """When nothing could be written everybody is told, and the next frame gets the first failed number."""
    journal = FileJournal(tmp_path, write=Disk(OSError(errno.ENOSPC, "No space left on device")).write)

    failed = await outcomes([append(journal, "lost"), append(journal, "lost")])
    await append(journal, "kept")

    assert [type(error) for error in failed] == [EventLogUnavailable, EventLogUnavailable]
    assert "No space left on device" in str(failed[0])
    assert frames(tmp_path) == [(1, "kept")]
    await journal.aclose()


async def test_a_short_write_is_continued(tmp_path):
    """A disk that takes a part at a time gets the rest; nobody notices."""
    journal = FileJournal(tmp_path, write=Disk(5, 100, 1).write)

    assert await outcomes([append(journal), append(journal)]) == [None, None]
    assert len(frames(tmp_path)) == 2
    await journal.aclose()


async def test_what_was_whole_before_the_fault_counts(tmp_path):
    """Of a tick torn in its second frame the first is durable, the second is cut off and fails."""
    first = 8 + len(record_of("one"))
    disk = Disk(first + 20, OSError(errno.EIO, "Input/output error"))
    journal = FileJournal(tmp_path, instance="i", write=disk.write)

    told = await outcomes([append(journal, "one"), append(journal, "two")])
    await append(journal, "three")

    assert told[0] is None
    assert isinstance(told[1], EventLogUnavailable)
    assert frames(tmp_path) == [(1, "one"), (2, "three")]
    await journal.aclose()
    assert [type(item).__name__ for item in recover_segment(list_segments(tmp_path)[0])] == ["Record"] * 2


def record_of(stream):
    """The payload of the first frame of instance `i`."""
    frame = {"instance": "i", "instance_seq": 1, "stream": stream, "recorded_at": NOON, "events": EVENTS}
    return msgspec.json.encode(frame)


async def test_a_torn_end_that_cannot_be_cut_ends_its_segment(tmp_path, monkeypatch):
    """If the disk refuses even to shorten the file, the torn record stays its last; a new segment begins."""
    disk = Disk(20, OSError(errno.EIO, "Input/output error"))
    journal = FileJournal(tmp_path, write=disk.write)

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "ftruncate", refuse)
    await outcomes([append(journal, "lost")])
    await append(journal, "kept")

    assert len(list_segments(tmp_path)) == 2
    assert frames(tmp_path) == [(1, "kept")]
    await journal.aclose()


async def test_a_real_limit_of_the_file_system_is_survived(tmp_path):
    """The kernel's own refusal in the middle of a tick loses no whole record, and later appends succeed."""
    journal = FileJournal(tmp_path, segment_bytes_max=10**9)
    await append(journal, "before")
    size = list_segments(tmp_path)[0].stat().st_size

    with file_size_limit(2 * size + 100):
        told = await outcomes([append(journal, "during"), append(journal, "too much")])
    await append(journal, "after")

    assert [error is None for error in told] == [True, False]
    assert frames(tmp_path) == [(1, "before"), (2, "during"), (3, "after")]
    await journal.aclose()


async def test_a_directory_that_is_gone_is_a_refusal(tmp_path):
    """Without a place for a segment appends fail, and succeed again when there is one."""
    directory = tmp_path / "journal"
    journal = FileJournal(directory)
    directory.rmdir()

    (error,) = await outcomes([append(journal)])
    directory.mkdir()
    await append(journal)

    assert isinstance(error, EventLogUnavailable)
    assert frames(directory) == [(1, "e-1")]
    await journal.aclose()


async def test_a_full_journal_refuses(tmp_path):
    """At its bound the journal takes no more, says so, and shows it."""
    journal = FileJournal(tmp_path, bytes_max=100)
    await append(journal)

    (error,) = await outcomes([append(journal)])

    assert isinstance(error, EventLogUnavailable)
    assert "full" in str(error)
    assert journal.look().fault == str(error)
    assert journal.look().backlog_bytes == list_segments(tmp_path)[0].stat().st_size
    await journal.aclose()


async def test_the_bound_counts_everybodys_segments(tmp_path):
    """The bound is the directory's: what other writers left there counts."""
    (tmp_path / "other.000001.seg").write_bytes(b"x" * 200)

    assert "full" in FileJournal(tmp_path, bytes_max=200).look().fault


async def test_a_frame_beyond_the_largest_is_refused_alone(tmp_path):
    """A frame that no reader would believe is not written; the others of its tick are."""
    journal = FileJournal(tmp_path)

    told = await outcomes([append(journal, texts={"k": "x" * limits.FRAME_BYTES_MAX}), append(journal)])

    assert [error is None for error in told] == [False, True]
    assert frames(tmp_path) == [(1, "e-1")]
    await journal.aclose()


async def test_text_that_is_no_unicode_is_refused_alone(tmp_path):
    """A lone surrogate fails its own frame through the result, as every other fault."""
    journal = FileJournal(tmp_path)

    told = await outcomes([append(journal, texts={"k": "\ud800"}), append(journal)])

    assert [error is None for error in told] == [False, True]
    assert frames(tmp_path) == [(1, "e-1")]
    await journal.aclose()


async def test_a_large_segment_is_followed_by_a_new_one(tmp_path):
    """A segment that has reached its size is let go at once; the next frame begins another."""
    journal = FileJournal(tmp_path, segment_bytes_max=1_000)
    while journal.look().backlog_bytes < 1_000:
        await append(journal)

    assert [is_live(path) for path in list_segments(tmp_path)] == [False]
    await append(journal)
    assert [is_live(path) for path in list_segments(tmp_path)] == [False, True]
    await journal.aclose()
    assert [is_live(path) for path in list_segments(tmp_path)] == [False, False]


async def test_an_old_segment_is_let_go_without_further_frames(tmp_path):
    """A quiet writer's segment ends by its age, so that it can be drained and deleted."""
    journal = FileJournal(tmp_path, segment_s_max=0.0)
    await append(journal)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert not is_live(list_segments(tmp_path)[0])
    await append(journal)
    assert frames(tmp_path) == [(1, "e-1"), (2, "e-1")]
    await journal.aclose()


async def test_a_closed_journal_refuses(tmp_path):
    """After the end nothing is taken; closing again is no fault."""
    journal = FileJournal(tmp_path)
    await journal.aclose()
    await journal.aclose()

    assert isinstance((await outcomes([append(journal)]))[0], EventLogUnavailable)


async def test_disk_durability_syncs_before_it_confirms(tmp_path, monkeypatch):
    """With durability `disk` nobody is told before a sync that began after their frame was written."""
    synced = []
    fdatasync = os.fdatasync

    def watched(fd):
        synced.append(os.fstat(fd).st_size)
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", watched)
    journal = FileJournal(tmp_path, durability="disk")

    for _ in range(3):
        await outcomes([append(journal) for _ in range(10)])
        assert synced[-1] == list_segments(tmp_path)[0].stat().st_size
    await journal.aclose()


async def test_disk_durability_survives_rotation(tmp_path):
    """Segments that end while they are synced are confirmed, closed and dead in the end."""
    journal = FileJournal(tmp_path, durability="disk", segment_bytes_max=1)

    told = []
    for number in range(5):
        told.append(append(journal, f"e-{number}"))
        await asyncio.sleep(0)
    assert await outcomes(told) == [None] * 5
    await journal.aclose()

    assert [number for number, _ in frames(tmp_path)] == [1, 2, 3, 4, 5]
    assert not any(is_live(path) for path in list_segments(tmp_path))


async def test_a_failed_sync_is_told_and_its_segment_never_used_again(tmp_path, monkeypatch):
    """After a failed sync its waiters fail, and later frames go to a new file, whose sync can be believed."""

    def broken(_):
        raise OSError(errno.EIO, "Input/output error")

    journal = FileJournal(tmp_path, durability="disk")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        (error,) = await outcomes([append(journal)])
    await append(journal)

    assert isinstance(error, EventLogUnavailable)
    assert len(list_segments(tmp_path)) == 2
    await journal.aclose()


def test_no_two_writers_share_a_name():
    """Two instances, even of one process, have different names that are fit for a file."""
    first, second = new_instance(), new_instance()

    assert first != second
    assert "/" not in first
    assert "." not in first
