"""Segments on disk: whole records are read, torn ones waited for, damaged ones passed over."""

from __future__ import annotations

import fcntl
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import limits
from storage.file_segments import (
    UNFINISHED_S_MAX,
    UNFINISHED_SUFFIX,
    Damage,
    directory_bytes,
    encode_record,
    instance_of,
    is_live,
    list_segments,
    number_of,
    read_segment,
    recover_segment,
    remove_unfinished,
    segment_path,
    set_aside,
)

PAYLOADS = [b'{"a":1}', b'{"b":22}', b'{"c":333}']


@pytest.fixture
def segment(tmp_path):
    """A segment of three records."""
    path = segment_path(tmp_path, "host-1-ab", 1)
    path.write_bytes(b"".join(encode_record(payload) for payload in PAYLOADS))
    return path


def payloads(items):
    """What of a segment could be read."""
    return [item.payload for item in items if not isinstance(item, Damage)]


def damage(items):
    """What of a segment could not be read."""
    return [item for item in items if isinstance(item, Damage)]


def test_records_come_back_in_order(segment):
    """What was written is read, in the order in which it was written."""
    assert payloads(read_segment(segment)) == PAYLOADS


def test_reading_goes_on_where_it_ended(segment):
    """The end of a record is the offset from which the next one is read."""
    first = next(read_segment(segment))

    assert payloads(read_segment(segment, first.end)) == PAYLOADS[1:]


@pytest.mark.parametrize("cut", range(1, len(encode_record(PAYLOADS[-1]))))
def test_a_torn_tail_is_waited_for_and_is_no_damage(segment, cut):
    """A record cut off anywhere is not read, stops nothing before it, and is no reason to keep the file."""
    segment.write_bytes(segment.read_bytes()[:-cut])

    assert payloads(read_segment(segment)) == PAYLOADS[:-1]
    assert payloads(recover_segment(segment)) == PAYLOADS[:-1]
    assert damage(recover_segment(segment)) == []


@given(st.data())
def test_a_flipped_bit_costs_one_record(tmp_path_factory, data):
    """Whichever bit flips, no wrong payload is read and all records but the one it hit are recovered."""
    path = segment_path(tmp_path_factory.mktemp("journal"), "host-1-ab", 1)
    whole = b"".join(encode_record(payload) for payload in PAYLOADS)
    position = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))
    flipped = whole[position] ^ (1 << data.draw(st.integers(min_value=0, max_value=7)))
    path.write_bytes(whole[:position] + bytes([flipped]) + whole[position + 1 :])

    found = payloads(recover_segment(path))

    hit = 0 if position < len(encode_record(PAYLOADS[0])) else None
    if hit is None:
        hit = 1 if position < len(whole) - len(encode_record(PAYLOADS[2])) else 2
    assert found == [payload for number, payload in enumerate(PAYLOADS) if number != hit]


def test_damage_in_the_middle_is_reported_with_its_place(segment):
    """The stretch that cannot be read is named from the end of the record before to the begin of the next."""
    first, second, _ = (len(encode_record(payload)) for payload in PAYLOADS)
    whole = bytearray(segment.read_bytes())
    whole[first + 9] ^= 0xFF
    segment.write_bytes(whole)

    assert damage(recover_segment(segment)) == [Damage(first, first + second)]


@pytest.mark.parametrize("garbage", [b"\0" * 4096, b"not a record at all, only text", b"\xff" * 64])
def test_garbage_between_records_is_passed_over(segment, garbage):
    """Zeros, text or noise in the middle cost nothing of what is before and behind."""
    head = len(encode_record(PAYLOADS[0]))
    whole = segment.read_bytes()
    segment.write_bytes(whole[:head] + garbage + whole[head:])

    assert payloads(recover_segment(segment)) == PAYLOADS
    assert damage(recover_segment(segment)) == [Damage(head, head + len(garbage))]


def test_a_tail_of_zeros_is_damage_and_no_endless_series_of_empty_records(segment):
    """What a file system may leave after a power cut is neither read nor forgotten."""
    whole = segment.read_bytes()
    segment.write_bytes(whole + b"\0" * 64)

    assert payloads(read_segment(segment)) == PAYLOADS
    assert damage(recover_segment(segment)) == [Damage(len(whole), len(whole) + 64)]


def test_a_length_beyond_all_bounds_is_not_believed(segment):
    """A record claims at most the size of the largest frame; more is damage, never an allocation."""
    whole = segment.read_bytes()
    too_long = (limits.FRAME_BYTES_MAX + 1).to_bytes(4, "little")
    segment.write_bytes(too_long + whole[4:])

    assert payloads(recover_segment(segment)) == PAYLOADS[1:]


def test_an_empty_segment_holds_nothing(tmp_path):
    """A segment whose writer died before the first record is read as nothing."""
    path = segment_path(tmp_path, "host-1-ab", 1)
    path.touch()

    assert list(recover_segment(path)) == []


def test_a_locked_segment_is_live(segment):
    """Whoever holds the lock may still write; when it is gone nobody does."""
    with segment.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)

        assert is_live(segment)

    assert not is_live(segment)


def test_segments_are_listed_by_writer_and_number(tmp_path):
    """A writer's segments come in the order in which they were written; other files are not listed."""
    names = ["b.000001.seg", "a.000010.seg", "a.000009.seg", "a.000011.new", "a.seg", "x.000001.seg.damaged"]
    for name in names:
        (tmp_path / name).write_bytes(b"12345")

    listed = list_segments(tmp_path)

    assert [path.name for path in listed] == ["a.000009.seg", "a.000010.seg", "b.000001.seg"]
    assert [(instance_of(path), number_of(path)) for path in listed] == [("a", 9), ("a", 10), ("b", 1)]
    assert directory_bytes(tmp_path) == 15


def test_a_directory_that_is_not_there_holds_nothing(tmp_path):
    """Before the first writer there is no journal, and that is no error."""
    assert list_segments(tmp_path / "journal") == []
    assert directory_bytes(tmp_path / "journal") == 0


def test_a_segment_set_aside_is_kept_and_not_listed(segment):
    """Damaged segments stay on disk under a name that no reader takes for a segment."""
    aside = set_aside(segment)

    assert aside.exists()
    assert list_segments(segment.parent) == []


def test_what_a_killed_writer_never_named_is_removed(tmp_path):
    """A file that was created and not named is removed when it is old and nobody holds it; segments stay."""
    old = time.time() - UNFINISHED_S_MAX - 1.0
    abandoned, held, young = (tmp_path / f"{name}.000001{UNFINISHED_SUFFIX}" for name in ("a", "b", "c"))
    segment = segment_path(tmp_path, "d", 1)
    for path in (abandoned, held, young, segment):
        path.touch()
        if path != young:
            os.utime(path, (old, old))

    with held.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        remove_unfinished(tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted([held, young, segment])
    remove_unfinished(tmp_path / "no such folder")
