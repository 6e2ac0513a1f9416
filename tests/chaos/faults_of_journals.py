"""What happens to journals: torn, cut, flipped, foreign and repeated segments, a full disk, dying writers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from storage.file_segments import (
    DAMAGED_SUFFIX,
    Record,
    encode_record,
    list_segments,
    read_segment,
    segment_path,
)
from tests.support.journal_disk import file_size_limit
from tests.support.recording import Recording, ended, was_killed
from tests.support.recording_process import Fate


async def torn_segment(record: Recording) -> None:
    """The last record of a segment lost its end: what is before it and in other segments is recorded."""
    await record.written(60)
    path = record.chance.choice(list_segments(record.journal()))
    *_, before, last = records(path)
    os.truncate(path, record.chance.randrange(before.end + 1, last.end))
    record.destroy(last.payload)


async def truncated_segment(record: Recording) -> None:
    """A segment was cut off anywhere: exactly the frames behind the cut are missing."""
    await record.written(60)
    path = record.chance.choice(list_segments(record.journal()))
    cut = record.chance.randrange(path.stat().st_size)
    for whole in records(path):
        if whole.end > cut:
            record.destroy(whole.payload)
    os.truncate(path, cut)


async def flipped_bit(record: Recording) -> None:
    """A bit flipped: that frame alone is missing, its segment is set aside, and the recorder says so."""
    await record.written(60)
    path = record.chance.choice(list_segments(record.journal()))
    whole = records(path)
    index = record.chance.randrange(len(whole) - 1)
    start = whole[index - 1].end if index else 0
    data = bytearray(path.read_bytes())
    data[record.chance.randrange(start, whole[index].end)] ^= 1 << record.chance.randrange(8)
    path.write_bytes(data)
    record.destroy(whole[index].payload)
    record.damaged = 1

    status = await record.drain()

    assert status.damaged == 1
    assert path.with_name(path.name + DAMAGED_SUFFIX).read_bytes() == data


async def unreadable_record(record: Recording) -> None:
    """A whole record that is no frame, as one with NaN (in JSON null) for a moment, costs only itself."""
    await record.written(20)
    odd = record.chance.choice(
        (
            b'{"instance":"odd","instance_seq":1,"stream":"s","recorded_at":null,"events":[]}',
            b'{"instance":"odd","instance_seq":0,"stream":"s","recorded_at":1.0,"events":[]}',
            b"[" * 5_000,
            b"null",
        )
    )
    segment_path(record.journal(), "odd", 1).write_bytes(encode_record(odd))
    record.damaged = 1


async def closed_segment(record: Recording) -> None:
    """A segment cannot be read at all: the recorder says so, and the others are recorded meanwhile."""
    writer = record.writer()
    odd = segment_path(record.journal(), "odd", 1)
    odd.mkdir()
    async with record.recorder():
        await writer.calls(20)
        await record.until_stored(20)
        await record.until_fault("cannot be read")
        odd.rmdir()


async def full_disk(record: Recording) -> None:
    """The journal's disk is full: calls are refused, no number is lost, all goes on when there is room."""
    writer = record.writer()
    await writer.calls(8)
    with file_size_limit(record.chance.randrange(500, 3_000)):
        await writer.calls(40)
    assert writer.refused
    refused = writer.refused
    async with record.recorder():
        await writer.calls(24)
    assert writer.refused == refused


async def writer_killed_in_the_middle_of_a_write(record: Recording) -> None:
    """A worker died with half of a write on the disk: what it was told before is recorded."""
    dying = [record.writer_process(fate=Fate("write", record.chance.randrange(20, 60))) for _ in range(2)]
    living = record.writer()
    async with record.recorder():
        await living.calls(40)
        for process in dying:
            await ended(process)
            assert was_killed(process)


async def batches_come_twice(record: Recording) -> None:
    """Segments that were recorded and deleted are there again, also under another number: nothing changes."""
    writer = record.writer()
    await writer.calls(30)
    await writer.aclose()
    kept = record.folder / "kept"
    shutil.copytree(record.journal(), kept)
    await record.drain()
    stored = record.stored()
    for number, path in enumerate(sorted(kept.iterdir()), 900_001):
        shutil.copy(path, record.journal() / path.name)
        if record.chance.random() < 0.5:
            shutil.copy(path, segment_path(record.journal(), "copy", number))
    await record.written(20)

    await record.drain()

    assert record.stored() > stored


def records(path: Path) -> list[Record]:
    """The records of a segment in which nothing is wrong yet."""
    found = list(read_segment(path))
    assert len(found) > 1
    return [item for item in found if isinstance(item, Record)]


FAULTS = (
    torn_segment,
    truncated_segment,
    flipped_bit,
    unreadable_record,
    closed_segment,
    full_disk,
    writer_killed_in_the_middle_of_a_write,
    batches_come_twice,
)
