"""The journal's reader: whole records of all writers, live and dead, and the end of drained segments.

A segment is deleted when its writer has let go of it and all it held was taken over; until the taker says so
with `commit`, the same records are read again. One reader at a time: recorder_process.py sees to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from storage.file_segments import (
    Damage,
    Record,
    directory_bytes,
    is_live,
    list_segments,
    read_segment,
    recover_segment,
    set_aside,
)

BATCH_RECORDS = 2_000
"""chosen: as many frames as are projected at once. It matters to a recorder that is behind: a tenth less per
frame than with half of it, and a transaction of some 50 ms."""


@dataclass(slots=True)
class Batch:
    """What was read, and what may be forgotten once it is stored.

    `records` are payloads with their segment, in the order in which each writer wrote them. `reached` is the
    offset behind them in each segment, `drained` are dead segments of which nothing is left, `damaged` those
    of them with unreadable stretches. `closed` are segments that cannot be read at all now, and why.
    `is_cut` says that the limit ended the batch: there may be more.
    """

    records: list[tuple[Path, bytes]] = field(default_factory=list)
    reached: dict[Path, int] = field(default_factory=dict)
    drained: list[Path] = field(default_factory=list)
    damaged: set[Path] = field(default_factory=set)
    closed: dict[Path, OSError] = field(default_factory=dict)
    is_cut: bool = False


class JournalReader:
    """Reads a journal directory again and again, each record once unless `commit` was not reached. Blocks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[Path, int] = {}
        self._damaged: set[Path] = set()

    def read(self, limit: int = BATCH_RECORDS) -> Batch:
        """At most `limit` records that were not committed yet; none if the journal is drained."""
        batch = Batch()
        for path in list_segments(self._directory):
            if len(batch.records) >= limit:
                break
            try:
                self._read_one(path, limit - len(batch.records), batch)
            except FileNotFoundError:  # taken away by a person, between the listing and the look
                self._offsets.pop(path, None)
            except OSError as error:
                # Somebody else's file, or the disk's fault: it must not hold up the others.
                batch.closed[path] = error
        return batch

    def commit(self, batch: Batch) -> None:
        """The batch is stored: go on behind it, and let its drained segments go."""
        self._offsets.update(batch.reached)
        self._damaged |= batch.damaged
        for path in batch.drained:
            if path in self._damaged:
                set_aside(path)
            else:
                path.unlink(missing_ok=True)
            self._offsets.pop(path, None)
            self._damaged.discard(path)

    def backlog_bytes(self) -> int:
        """How many bytes of the journal are not committed."""
        return max(directory_bytes(self._directory) - sum(self._offsets.values()), 0)

    def _read_one(self, path: Path, limit: int, batch: Batch) -> None:
        offset = self._offsets.get(path, 0)
        # Asked before the file is read: what is dead now will not grow, so its end is its end.
        if is_live(path):
            if path.stat().st_size > offset:
                _take(read_segment(path, offset), limit, path, batch)
            return
        if _take(recover_segment(path, offset), limit, path, batch):
            batch.drained.append(path)


def _take(items: Iterator[Record | Damage], limit: int, path: Path, batch: Batch) -> bool:
    """Move up to `limit` items into the batch; tells whether that was all there is."""
    count = 0
    for item in islice(items, limit):
        count += 1
        batch.reached[path] = item.end
        if isinstance(item, Damage):
            batch.damaged.add(path)
        else:
            batch.records.append((path, item.payload))
    batch.is_cut = batch.is_cut or count >= limit
    return count < limit
