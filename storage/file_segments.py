"""Journal segments on disk: how a record looks, which files there are, who still writes, what is whole.

A segment is a file `<instance>.<number>.seg` of records: length and CRC-32 of the payload as little-endian
32-bit numbers, then the payload. Its writer holds an exclusive `flock` on it for as long as it may still
grow, so a reader can tell a live segment from one whose writer went on or died: the lock goes with the
process, whatever killed it.

A file that ends inside a record was cut off while it was written; nobody was told that record was durable.
Any other unreadable stretch is damage: it is passed over, the whole records behind it are recovered, and
the file is kept under another name for whoever wants to look.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from orchestrator import limits

SUFFIX = ".seg"
DAMAGED_SUFFIX = ".damaged"

UNFINISHED_SUFFIX = ".new"
"""A segment before it is locked and gets its name; no reader looks at it."""

UNFINISHED_S_MAX = 60.0
"""chosen: a writer needs microseconds to lock and name a segment; what is older than this has none."""

_HEAD = Struct("<II")
_NAME = re.compile(r".+\.\d{6,}\.seg")


class Record(NamedTuple):
    """One whole record and the offset behind it, at which the next one begins."""

    end: int
    payload: bytes


class Damage(NamedTuple):
    """A stretch that is no record, although whole records or the end of a whole record follow it."""

    start: int
    end: int


def encode_record(payload: bytes) -> bytes:
    """The record of a payload of 1 to `limits.FRAME_BYTES_MAX` bytes."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def segment_path(directory: Path, instance: str, number: int) -> Path:
    """The file of one segment; numbers begin at 1."""
    return directory / f"{instance}.{number:06d}{SUFFIX}"


def list_segments(directory: Path) -> list[Path]:
    """All segments, each writer's in the order in which they were written; empty without a directory."""
    found = (path for path in directory.glob(f"*{SUFFIX}") if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: (instance_of(path), number_of(path)))


def list_damaged(directory: Path) -> list[Path]:
    """The segments that were set aside; empty without a directory."""
    return sorted(directory.glob(f"*{SUFFIX}{DAMAGED_SUFFIX}"))


def directory_bytes(directory: Path) -> int:
    """The size of all segments in a journal directory."""
    total = 0
    for path in list_segments(directory):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # drained since it was listed
            continue
    return total


def instance_of(path: Path) -> str:
    """The writer of a segment."""
    return path.name.rsplit(".", 2)[0]


def number_of(path: Path) -> int:
    """The place of a segment in its writer's series, from 1."""
    return int(path.name.rsplit(".", 2)[1])


def is_live(path: Path) -> bool:
    """Whether its writer may still append. Ask before reading: what is dead before, is complete when read.

    Raises FileNotFoundError for a segment that is gone.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def read_segment(path: Path, offset: int = 0) -> Iterator[Record]:
    """The whole records from an offset on, up to the first stretch that is none.

    In a live segment that stretch is a record on its way; read again from the last `end` later. In a dead one
    `recover_segment` tells what it is. Raises FileNotFoundError.
    """
    data = _read_from(path, offset)
    position = 0
    while (payload := _record_at(data, position)) is not None:
        position += _HEAD.size + len(payload)
        yield Record(offset + position, payload)


def recover_segment(path: Path, offset: int = 0) -> Iterator[Record | Damage]:
    """All that is left in a dead segment from an offset on: whole records, and the damage between them.

    A torn tail, which every crash may leave, is no damage and is not reported.
    """
    data = _read_from(path, offset)
    position = 0
    while position < len(data):
        payload = _record_at(data, position)
        if payload is not None:
            position += _HEAD.size + len(payload)
            yield Record(offset + position, payload)
            continue
        behind = _next_record(data, position + 1)
        if behind is None:
            if not _is_torn(data, position):
                yield Damage(offset + position, offset + len(data))
            return
        yield Damage(offset + position, offset + behind)
        position = behind


def set_aside(path: Path) -> Path:
    """Keep a damaged segment out of the readers' way; returns its new path."""
    aside = path.with_name(path.name + DAMAGED_SUFFIX)
    path.rename(aside)
    return aside


def remove_unfinished(directory: Path) -> None:
    """Remove the empty files of writers that were killed between creating a segment and naming it."""
    for path in directory.glob(f"*{UNFINISHED_SUFFIX}"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > UNFINISHED_S_MAX and not is_live(path):
                path.unlink()


def _read_from(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()


def _record_at(data: bytes, position: int) -> bytes | None:
    start = position + _HEAD.size
    if start > len(data):
        return None
    length, crc = _HEAD.unpack_from(data, position)
    # An empty record is refused: a file system may leave a tail of zeros after a power cut, and eight zeros
    # would be a valid one.
    if not 0 < length <= limits.FRAME_BYTES_MAX or start + length > len(data):
        return None
    payload = data[start : start + length]
    return payload if zlib.crc32(payload) == crc else None


def _next_record(data: bytes, start: int) -> int | None:
    """Where the next whole record begins, if there is one."""
    # A length within bounds has a zero as its fourth byte, and JSON text has none: few places are looked at.
    zero = data.find(b"\0", start + 3)
    while zero >= 0:
        if _record_at(data, zero - 3) is not None:
            return zero - 3
        zero = data.find(b"\0", zero + 1)
    return None


def _is_torn(data: bytes, position: int) -> bool:
    """Whether the rest looks like the beginning of a record: a short head, or a sane length past the end."""
    start = position + _HEAD.size
    if start > len(data):
        return True
    length, _ = _HEAD.unpack_from(data, position)
    return bool(0 < length <= limits.FRAME_BYTES_MAX and start + length > len(data))
