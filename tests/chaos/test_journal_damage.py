"""Damaged journals: every whole frame is recorded, and what is not whole holds nothing up."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from storage.codec import decode_events, read_frame
from storage.file_segments import DAMAGED_SUFFIX, list_segments, read_segment
from tests.support.installation import Installation
from tests.support.load import Load
from tests.support.seeds import MORE_SEEDS, SEEDS


async def left_unread(installation: Installation, seed: int) -> tuple[Load, Path]:
    """Load while the recorder is stopped, then the death of everything: a segment that nobody has read."""
    async with Load(installation.amos, seed) as load:
        await load.answer_more(1)
        installation.amos.signal("recorder", signal.SIGSTOP)
        await load.answer_more(100)
        await installation.amos.kill_all()
    return load, list_segments(installation.amos.journal)[-1]


async def restarted(installation: Installation, seed: int) -> Load:
    """Another start on what is left, and calls that are answered by it."""
    await installation.amos.start()
    async with Load(installation.amos, seed) as load:
        await load.answer_more(50)
    return load


@pytest.mark.parametrize("seed", SEEDS[:2] + MORE_SEEDS)
async def test_the_last_record_is_torn(installation: Installation, seed: int) -> None:
    """A frame whose end is missing is not stored; every frame before it and every writer after it is."""
    chance = random.Random(seed)
    load, segment = await left_unread(installation, seed)
    *_, before, last = read_segment(segment)
    os.truncate(segment, chance.randrange(before.end + 1, last.end))
    row = read_frame(last.payload).row
    # The kernel had the whole frame, and so had the client its answer, before this test took it away.
    load.answered.discard(row.stream)
    torn = {getattr(envelope.event, "span_id", "") for envelope in decode_events(row.events)}

    after = await restarted(installation, seed + 1_000)

    assert await installation.settled(load, after, torn_spans=torn) == []
    assert not list(installation.amos.journal.glob(f"*{DAMAGED_SUFFIX}"))


@pytest.mark.slow  # the suite has the torn record, and garbage between records
@pytest.mark.parametrize("seed", SEEDS[:1] + MORE_SEEDS)
async def test_garbage_follows_the_last_record(installation: Installation, seed: int) -> None:
    """Garbage behind the frames of a dead writer loses none of them and stops nobody."""
    chance = random.Random(seed)
    load, segment = await left_unread(installation, seed)
    with segment.open("ab") as file:
        file.write(chance.randbytes(chance.randrange(8, 4_096)))

    after = await restarted(installation, seed + 1_000)

    assert await installation.settled(load, after) == []


@pytest.mark.parametrize("seed", SEEDS[:1] + MORE_SEEDS)
async def test_garbage_gets_between_the_records_of_a_live_writer(
    installation: Installation, seed: int
) -> None:
    """Frames written behind garbage are recovered when their writer ends, and the segment is kept aside."""
    chance = random.Random(seed)
    async with Load(installation.amos, seed) as load:
        await load.answer_more(50)
        segment = list_segments(installation.amos.journal)[-1]
        with segment.open("ab") as file:
            file.write(b"\xff" * 8 + chance.randbytes(1_000))
        await load.answer_more(50)

    assert await installation.settled(load) == []
    assert [path.name for path in installation.amos.journal.iterdir()] == [segment.name + DAMAGED_SUFFIX]
