"""The journal's writer: all frames of one tick of the event loop leave in one write, before their answers.

A `write()` that returned survives the death of the process, by `kill -9` too (durability `process`).
Against power loss, `disk` adds an fdatasync in a thread, one at a time: what arrives meanwhile shares the
next, so that under load it costs next to nothing. The write is the one call on the event loop that may
block.

The journal numbers the frames. A number belongs to a frame for good once a whole record may have been read
by somebody; a frame that did not get that far gives its number to the next one, so the series on disk has
no holes.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from orchestrator import limits
from orchestrator.events import Envelope, Frame
from storage.file_backlog import Backlog
from storage.file_condition import Condition
from storage.file_segment_writer import SegmentWriter
from storage.file_segments import encode_record, segment_path
from storage.file_sync import Syncer, cause_of, fail, release
from storage.folders import make_private

Durability: TypeAlias = Literal["process", "disk"]
"""What an answered call survives: the death of the process, or a power cut as well."""

RETRY_S = 1.0
"""chosen: after a failed write `look` tries another at most this often."""

TRIAL = encode_record(b" " * 65_536)[:-1]
"""What such a try writes and cuts off again: a record without its last byte, which readers take for torn
should it ever stay. chosen: longer than nearly every frame, so that who passes it can take calls."""

FULL = "The journal is full; the event log has not drained it."

SEGMENTS_MIN = 4
"""chosen: a segment takes at most this fraction of the bound. What is drained is deleted by the segment, so
one as large as the bound would fill the journal with frames that are long in SQL."""


def process_name() -> str:
    """What the names of this process's writers begin with: host and process."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname())[:32] or "host"
    return f"{host}-{os.getpid()}"


def new_instance() -> str:
    """A name for a writer that no other process, before or after, will have: host, process and chance."""
    return f"{process_name()}-{secrets.token_hex(4)}"


class _Pending(NamedTuple):
    """A frame on its way: its number, its record, and who waits for it."""

    number: int
    record: bytes
    waiter: asyncio.Future[None]


class JournalLook(NamedTuple):
    """The journal as it is. `fault` says why appends fail, `""` if they do not; `since` is when that began.

    `backlog_bytes` is the size of all segments in the directory.
    """

    fault: str
    since: float
    backlog_bytes: int


class FileJournal:
    """The Journal of one process, in `<data_dir>/journal/`.

    Use it from one event loop and close it with `aclose`. `bytes_max` bounds the segments of all writers in
    the directory together; beyond it appends fail until the recorder has drained some. `write` is
    `os.write`, replaceable to test what disks do.
    """

    def __init__(
        self,
        directory: Path,
        *,
        instance: str | None = None,
        durability: Durability = "process",
        bytes_max: int = limits.JOURNAL_BYTES_MAX,
        segment_bytes_max: int = limits.JOURNAL_SEGMENT_BYTES,
        segment_s_max: float = limits.JOURNAL_SEGMENT_S,
        write: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        make_private(directory)
        self._directory = directory
        self._instance = instance or new_instance()
        self._durability = durability
        self._segment_bytes_max = min(segment_bytes_max, bytes_max // SEGMENTS_MIN)
        self._segment_s_max = segment_s_max
        self._write = write

        self._encoder = msgspec.json.Encoder()
        self._next_number = 1
        self._tick: list[_Pending] = []
        self._segment: SegmentWriter | None = None
        self._segment_count = 0
        self._age_timer: asyncio.TimerHandle | None = None
        self._is_closed = False

        self._syncer = Syncer(self._synced) if durability == "disk" else None
        self._backlog = Backlog(directory, bytes_max)
        self._condition = Condition()
        self._failed_at: float | None = None  # the last attempt, if it failed

    @property
    def instance(self) -> str:
        """The name of this writer's series of frames."""
        return self._instance

    @property
    def bytes_max(self) -> int:
        """What all segments of the directory may grow to."""
        return self._backlog.bytes_max

    def look(self) -> JournalLook:
        """See how the journal is.

        After a failed write this tries whether one would succeed now, at most every `RETRY_S`: nobody calls
        an instance that is not ready, so it must find out by itself.
        """
        self._backlog.refresh()
        if self._backlog.is_full:
            self._condition.set(FULL)
        elif self._failed_at is None:
            self._condition.set("")
        elif time.monotonic() - self._failed_at >= RETRY_S and not self._is_closed:
            self._try_again()
        return JournalLook(self._condition.fault, self._condition.since, self._backlog.size_bytes)

    def append(
        self,
        stream: str,
        recorded_at: float,
        events: Sequence[Envelope],
        texts: Mapping[str, str],
        requests: Mapping[str, str] | None = None,
    ) -> Awaitable[None]:
        """Take one frame now; the result is done when it is durable. See ports.Journal."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if self._is_closed:
            fail(waiter, "The journal is closed.")
            return waiter
        frame = Frame(
            instance=self._instance,
            instance_seq=self._next_number,
            stream=stream,
            recorded_at=recorded_at,
            events=tuple(events),
            texts=dict(texts),
            requests=dict(requests or {}),
        )
        try:
            payload = self._encoder.encode(frame)
        except UnicodeEncodeError:  # half a surrogate pair, from a source that does not decode strictly
            fail(waiter, "A frame holds text that is no Unicode.")
            return waiter
        if len(payload) > limits.FRAME_BYTES_MAX:
            fail(waiter, f"A frame of {len(payload)} bytes is more than one execution may record.")
            return waiter
        if not self._tick:
            loop.call_soon(self._flush)
        self._tick.append(_Pending(self._next_number, encode_record(payload), waiter))
        self._next_number += 1
        return waiter

    def rotate(self) -> None:
        """End the current segment, if there is one; the next append begins another."""
        segment, self._segment = self._segment, None
        if self._age_timer is not None:
            self._age_timer.cancel()
            self._age_timer = None
        if segment is None:
            return
        if self._syncer is None:
            segment.close()
        else:
            self._syncer.retire(segment)

    async def aclose(self) -> None:
        """Write what is pending, wait until it is durable, let go of the segment. Safe to call twice."""
        self._flush()
        self._is_closed = True
        self.rotate()
        if self._syncer is not None:
            await self._syncer.aclose()

    def _flush(self) -> None:
        """Write the tick's frames at once, then release those who wait for them."""
        tick, self._tick = self._tick, []
        if not tick:
            return
        self._backlog.refresh()
        if self._backlog.is_full:
            # Others may have filled it. Ours is let go of as well, so that all there is can be drained.
            self.rotate()
            self._condition.set(FULL)
            self._give_up(tick, FULL)
            return
        try:
            segment = self._writable_segment()
        except OSError as error:
            self._failed(error)
            self._give_up(tick, cause_of(error), error)
            return
        written, failure = self._write_all(segment, tick)
        if written:
            self._confirm(segment, tick[:written])
        if failure is not None:
            self._failed(failure)
            self._give_up(tick[written:], cause_of(failure), failure)
        if segment.size >= self._segment_bytes_max or self._backlog.is_full:
            # Now and not with the next frame: a full journal makes the instance unready, so nobody calls, and
            # what a writer holds the recorder cannot delete.
            self.rotate()

    def _writable_segment(self) -> SegmentWriter:
        if self._segment is None:
            self._segment_count += 1
            self._segment = SegmentWriter(segment_path(self._directory, self._instance, self._segment_count))
            self._age_timer = asyncio.get_running_loop().call_later(self._segment_s_max, self.rotate)
        return self._segment

    def _write_all(self, segment: SegmentWriter, tick: list[_Pending]) -> tuple[int, OSError | None]:
        """Write the records; returns how many are whole on disk, and why not all of them if so.

        What was begun and not ended is cut off again, so that the next record begins where a reader expects
        it.
        """
        sent, failure = self._send(segment, b"".join([pending.record for pending in tick]))
        count, whole = (len(tick), sent) if failure is None else _whole_records(tick, sent)
        segment.size += whole
        self._backlog.add(whole)
        if sent > whole:
            self._cut(segment)
        return count, failure

    def _send(self, segment: SegmentWriter, data: bytes) -> tuple[int, OSError | None]:
        """Write the bytes; returns how many got there, and why not all of them if so."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._write(segment.fd, rest) :]
        except OSError as error:
            return len(data) - len(rest), error
        return len(data), None

    def _try_again(self) -> None:
        """See whether a frame could be written, by the beginning of one that is cut off again."""
        self._failed_at = time.monotonic()
        try:
            segment = self._writable_segment()
        except OSError as error:
            self._failed(error)
            return
        _, failure = self._send(segment, TRIAL)
        self._cut(segment)
        if failure is not None:
            self._failed(failure)
        else:
            self._confirm(segment, [])

    def _cut(self, segment: SegmentWriter) -> None:
        try:
            segment.cut()
        except OSError:
            # The torn record stays, as the last of its segment: a reader passes over it there, and only
            # there.
            self.rotate()

    def _confirm(self, segment: SegmentWriter, written: list[_Pending]) -> None:
        waiters = [pending.waiter for pending in written]
        if self._syncer is None:
            release(waiters)
            self._succeeded()
        else:
            self._syncer.confirm(segment, waiters)

    def _synced(self, segment: SegmentWriter, failure: OSError | None) -> None:
        if failure is None:
            self._succeeded()
            return
        self._failed(failure)
        if self._segment is segment:
            # The kernel may now call lost pages clean: that file is never trusted again.
            self.rotate()

    def _failed(self, error: OSError) -> None:
        self._failed_at = time.monotonic()
        self._condition.set(cause_of(error))

    def _succeeded(self) -> None:
        self._failed_at = None
        self._condition.set("")

    def _give_up(self, lost: list[_Pending], message: str, cause: OSError | None = None) -> None:
        # No reader can have seen these: their numbers go to the next frames. Nothing was appended meanwhile,
        # because a flush runs without interruption.
        self._next_number = lost[0].number
        for pending in lost:
            fail(pending.waiter, message, cause)


def _whole_records(tick: list[_Pending], sent: int) -> tuple[int, int]:
    """How many of the records fit wholly into the bytes sent, and how long those are."""
    whole = 0
    for count, pending in enumerate(tick):
        if whole + len(pending.record) > sent:
            return count, whole
        whole += len(pending.record)
    return len(tick), whole
