"""What stands in frames, or does not count: jumping clocks, unknown types, absurd numbers, broken rollups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from orchestrator import limits
from orchestrator.errors import EventLogUnavailable
from orchestrator.events import (
    Cost,
    RequestCompleted,
    RequestReceived,
)
from storage import sql_projector
from storage.file_segments import encode_record, segment_path
from storage.sql_rebuild import replay
from storage.sql_tables import rollups
from tests.support.histories import NOON, answered, hit, received
from tests.support.recording import Recording

HOUR_S, YEAR_S = 3_600.0, 31_536_000.0

YEAR_9999 = 253_402_300_000.0
"""The last moments that calendars of most languages know, in epoch seconds."""

HUGE_FRAMES = 12
"""Frames as large as one may be, in one batch: three segments of the usual size."""


async def clock_goes_back(record: Recording) -> None:
    """The clock of a worker jumps back an hour between and within executions: all is kept, in its order."""
    await jump(record, -HOUR_S)


async def clock_goes_ahead(record: Recording) -> None:
    """The clock jumps an hour ahead, once to the year 9999, and back: everything counts in its minute."""
    await jump(record, HOUR_S)
    writer = record.writer()
    writer.clock.advance(YEAR_9999 - writer.clock.now())
    await writer.record(*hit())
    writer.clock.advance(NOON - writer.clock.now())
    await writer.calls(20)
    status = await record.drain()
    assert status.parked == 0


async def jump(record: Recording, seconds: float) -> None:
    """Two writers, of whom one has the moody clock, and a recorder at work."""
    moody, steady = record.writer(), record.writer()
    async with record.recorder():
        for _ in range(3):
            await moody.calls(8)
            await steady.calls(8)
            moody.clock.advance(seconds * record.chance.uniform(0.9, 1.1))
            await moody.calls(8)


async def types_of_a_later_version(record: Recording) -> None:
    """Events of unknown types, and known ones of another shape, are kept, passed over and counted."""
    await record.written(20)
    strange: list[Any] = [
        {"type": "amos.future.thing.v1", "what": [1, {"deep": None}]},
        {"type": "amos.request.completed.v9", "operation": "search"},
        {"type": "amos.cache.missed.v1", "key": {"was": "text"}},
    ]
    record.chance.shuffle(strange)
    put(record, [frame(1, [*hit(), *strange]), frame(2, strange[:1])])

    status = await record.drain()

    assert (status.unknown, status.damaged, status.parked) == (len(strange) + 1, 0, 0)


async def absurd_numbers(record: Recording) -> None:
    """Moments before 1970 and after all calendars, and counts beyond any table, are parked and shown."""
    before_and_after = [-1.0, -YEAR_S, 1e15, 1e300]
    beyond_tables = [
        answered(saved=Cost(usd_micros=10**30)),
        answered(results=2**62),
        answered(results=-(2**62), duration_s=1e300),
    ]
    record.parked = len(before_and_after) + len(beyond_tables)
    odd = [([answered(duration_s=-5.0)], NOON), *((hit(), at) for at in (0.0, 60.0, YEAR_9999))]
    odd += [(hit(), at) for at in before_and_after] + [([event], NOON) for event in beyond_tables]
    record.chance.shuffle(odd)
    put(record, [frame(number, events, at) for number, (events, at) in enumerate(odd, 1)])
    await record.written(20)

    status = await record.drain()

    assert (status.parked, status.unknown, status.fault) == (record.parked, 0, "")


async def one_frame_cannot_be_counted(record: Recording) -> None:
    """A rollup fails at one event: the frame is parked, the other rollups and all other frames count."""
    await record.written(20)
    odd = record.writer()
    await odd.record(received(), answered(client="odd one", duration_s=1e9))
    await record.written(20)
    record.parked = 1

    status = await record.drain()

    assert (status.parked, status.fault) == (1, "")


async def huge_frames(record: Recording) -> None:
    """Frames as large as one may be are recorded as any other; one byte more is refused to its writer."""
    writer = record.writer()
    await writer.calls(8)
    for _ in range(HUGE_FRAMES):
        size = limits.FRAME_BYTES_MAX - record.chance.randrange(600, 5_000)
        await writer.record(RequestReceived(operation="search", door="http", dialect="x" * size), answered())
    with pytest.raises(EventLogUnavailable, match="more than one execution may record"):
        await writer.record(RequestReceived(operation="x" * limits.FRAME_BYTES_MAX, door="http"))
    await writer.calls(8)


async def counting_breaks_down(record: Recording) -> None:
    """A bug in the projector stops the reports and not the record; when it is mended they catch up."""
    await record.written(20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_projector, "by_span", None)
        status = await record.drain()
    assert "The reports stand still" in status.fault
    assert record.stored() >= 20

    status = await record.drain()

    assert status.fault == ""


async def rollup_mended_later(record: Recording) -> None:
    """A bug in one rollup parks what it fails at; when it is mended verify names the rows, replay counts."""
    await record.written(20)
    rollup = next(rollup for rollup, _ in rollups if rollup.name == "clients")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rollup.adds, RequestCompleted, None)  # type: ignore[arg-type]
        status = await record.drain()
    assert status.parked > 0
    await record.written(20)
    await record.drain()

    found = await replay(record.url, lambda *_: None)

    assert found.differences > 0
    assert not found.missing_frames


def put(record: Recording, payloads: list[bytes]) -> None:
    """Frames of another version's writer, in a segment of its own."""
    record.journal().mkdir(exist_ok=True)
    segment_path(record.journal(), "strange", 1).write_bytes(b"".join(map(encode_record, payloads)))


def frame(number: int, events: Sequence[Any], at: float = NOON) -> bytes:
    """A frame of the execution `strange-<number>` with these events, or what looks like events."""
    return msgspec.json.encode(
        {
            "instance": "strange",
            "instance_seq": number,
            "stream": f"strange-{number}",
            "recorded_at": at,
            "events": [{"seq": seq, "at": at, "event": event} for seq, event in enumerate(events, 1)],
        }
    )


FAULTS = (
    clock_goes_back,
    clock_goes_ahead,
    types_of_a_later_version,
    absurd_numbers,
    one_frame_cannot_be_counted,
    counting_breaks_down,
    rollup_mended_later,
    huge_frames,
)
