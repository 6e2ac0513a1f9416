"""The journal's reader: every record until it is committed, and segments gone when they are drained."""

from __future__ import annotations

import fcntl

import pytest

from storage.file_reader import JournalReader
from storage.file_segments import encode_record, list_segments, segment_path


@pytest.fixture
def reader(tmp_path):
    """A reader of an empty journal."""
    return JournalReader(tmp_path)


def write(directory, instance, number, *payloads, tail=b""):
    """A dead segment with these records."""
    path = segment_path(directory, instance, number)
    path.write_bytes(b"".join(encode_record(payload) for payload in payloads) + tail)
    return path


def texts(batch):
    """The payloads of a batch."""
    return [payload for _, payload in batch.records]


def test_a_dead_segment_is_deleted_only_after_commit(reader, tmp_path):
    """What a dead writer left is read, read again until committed, and then gone."""
    write(tmp_path, "a", 1, b"one", b"two")

    assert texts(reader.read()) == [b"one", b"two"]
    batch = reader.read()
    assert texts(batch) == [b"one", b"two"]
    reader.commit(batch)

    assert list_segments(tmp_path) == []
    assert texts(reader.read()) == []


def test_a_live_segment_is_followed_and_kept(reader, tmp_path):
    """While its writer holds the lock a segment is read as it grows and never deleted."""
    path = write(tmp_path, "a", 1, b"one")
    with path.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        first = reader.read()
        reader.commit(first)
        writer.write(encode_record(b"two") + encode_record(b"three")[:-1])
        writer.flush()
        second = reader.read()
        reader.commit(second)

        assert (texts(first), texts(second)) == ([b"one"], [b"two"])
        assert texts(reader.read()) == []
        assert path.exists()
        assert reader.backlog_bytes() == len(encode_record(b"three")) - 1


def test_a_torn_tail_does_not_keep_a_dead_segment(reader, tmp_path):
    """The half record of a killed writer was promised to nobody: its segment goes with the rest."""
    write(tmp_path, "a", 1, b"one", tail=encode_record(b"two")[:-2])

    reader.commit(reader.read())

    assert list(tmp_path.iterdir()) == []


def test_a_damaged_segment_is_set_aside_when_the_rest_is_stored(reader, tmp_path):
    """All that can be read of a damaged segment is delivered; the file is kept for a person."""
    path = write(tmp_path, "a", 1, b"one", b"two", b"three")
    whole = bytearray(path.read_bytes())
    whole[len(encode_record(b"one")) + 8] ^= 1
    path.write_bytes(whole)

    batch = reader.read()
    reader.commit(batch)

    assert texts(batch) == [b"one", b"three"]
    assert [left.name for left in tmp_path.iterdir()] == ["a.000001.seg.damaged"]
    assert texts(reader.read()) == []


def test_a_batch_has_a_bound_and_the_next_goes_on(reader, tmp_path):
    """A long journal is read piece by piece, across writers, without losing or repeating a record."""
    write(tmp_path, "a", 1, b"1", b"2", b"3")
    write(tmp_path, "a", 2, b"4")
    write(tmp_path, "b", 1, b"5", b"6")

    seen = []
    is_cut = True
    while is_cut:
        batch = reader.read(2)
        assert len(batch.records) <= 2
        seen += texts(batch)
        reader.commit(batch)
        is_cut = batch.is_cut

    assert seen == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert list_segments(tmp_path) == []


def test_a_damaged_segment_is_remembered_over_batches(reader, tmp_path):
    """Damage seen in one batch still counts when a later batch drains the segment."""
    path = write(tmp_path, "a", 1, b"one", b"two", b"three")
    whole = bytearray(path.read_bytes())
    whole[8] ^= 1
    path.write_bytes(whole)

    while (batch := reader.read(1)).is_cut:
        reader.commit(batch)
    reader.commit(batch)

    assert [left.name for left in tmp_path.iterdir()] == ["a.000001.seg.damaged"]


def test_a_segment_that_cannot_be_read_holds_nobody_up(reader, tmp_path):
    """A file that is not ours to read is told with every batch, and the others are read and let go."""
    odd = segment_path(tmp_path, "a", 1)
    odd.mkdir()
    write(tmp_path, "b", 1, b"one")

    for expected in ([b"one"], []):
        batch = reader.read()
        reader.commit(batch)
        assert (texts(batch), list(batch.closed), batch.is_cut) == (expected, [odd], False)

    odd.rmdir()
    assert reader.read().closed == {}


def test_without_a_journal_there_is_nothing_to_read(tmp_path):
    """A directory that no writer has made yet is an empty journal."""
    reader = JournalReader(tmp_path / "journal")

    assert reader.read().records == []
    assert reader.backlog_bytes() == 0
