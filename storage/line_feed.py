"""Which frames have a log line to come: each once, though the journal is read again after a death.

Lines are written before their frames are stored. So a recorder that dies leaves no execution without a line,
and the next one repeats at most the batch that was under way. What was stored before this process began has
its lines already; SQL knows which frames those are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Envelope
from storage.codec import FrameRow, ReadFrame
from storage.sql_event_log import SqlEventLog

_log = logging.getLogger("amos.logs")


class FrameToLog(NamedTuple):
    """A frame. `is_told`: an earlier process has written the line that ends with it."""

    row: FrameRow
    envelopes: tuple[Envelope, ...]
    is_told: bool


class LineSink(Protocol):
    """Makes lines of frames and writes them."""

    async def note(self, frames: Sequence[FrameToLog]) -> None:
        """The next frames, each writer's in order. Waits for what is written, but not for long."""


class LineFeed:
    """Hands a recorder's frames to a sink, before they are stored."""

    def __init__(self, sink: LineSink, log: SqlEventLog) -> None:
        self._sink = sink
        self._log = log
        self._unasked: set[str] = set()
        self._stored: dict[str, int] = {}
        self._told: set[tuple[str, int]] = set()
        self._is_puzzled = False

    def begin(self, instances: Iterable[str]) -> None:
        """These writers have segments already; an earlier recorder may have stored a part of them."""
        self._unasked = set(instances)

    async def tell(self, frames: Sequence[ReadFrame]) -> None:
        """Frames that will be stored next. Raises EventLogUnavailable; then nothing is told.

        Storing does not depend on it: any other fault is logged, and these frames have no line.
        """
        try:
            await self._tell(frames)
        except EventLogUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the record goes on without its lines
            if not self._is_puzzled:
                self._is_puzzled = True
                _log.error("what is recorded cannot be logged, for a fault that is not known", exc_info=error)

    async def _tell(self, frames: Sequence[ReadFrame]) -> None:
        if asked := self._unasked & {frame.row.instance for frame in frames}:
            self._stored |= await self._log.newest_numbers(sorted(asked))
            self._unasked -= asked
        new = [frame for frame in frames if frame.row[:2] not in self._told]
        self._told.update(frame.row[:2] for frame in new)
        await self._sink.note(
            [FrameToLog(frame.row, frame.envelopes, self._is_stored(frame.row)) for frame in new]
        )

    def stored(self) -> None:
        """What was told last is stored; the journal is not read there again."""
        self._told.clear()

    def _is_stored(self, row: FrameRow) -> bool:
        return row.instance_seq <= self._stored.get(row.instance, 0)
