"""The recorder: drains all writers' segments into the event log and keeps the reports' rollups up to date.

One recorder serves a data directory; a lock says which. It never gives up and never drops: while SQL is away
it tries again, and the journal holds what was answered meanwhile. A frame is deleted from the journal only
after the transaction that stored it, and storing it twice is storing it once, so it may die at any moment.

The recorders of several machines may share one PostgreSQL: each stores what its own writers wrote, and one at
a time projects, for all of them.

Storing does not depend on counting: whatever goes wrong in a projection, frames are stored and segments
deleted, and the reports stay behind until it is mended. The status file says so.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.clock import SystemClock
from orchestrator.errors import EventLogUnavailable
from orchestrator.ports import Clock
from storage.codec import ReadFrame, UnreadableFrame, read_frame
from storage.file_reader import Batch, JournalReader
from storage.file_segments import instance_of, list_segments, remove_unfinished
from storage.file_status import RecorderStatus, TracesStatus, write_status
from storage.folders import make_private
from storage.line_feed import LineFeed, LineSink
from storage.sql_compaction import SqlCompaction
from storage.sql_engine import open_engine
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import Projected, SqlProjector
from storage.sql_schema import upgrade

BUSY_S = 0.1
"""chosen: from one look to the next while frames keep coming. A commit costs about a millisecond whatever it
holds, so looking more often burns more of the core, more seldom keeps executions from being found."""

IDLE_S = 0.25
"""chosen: longest pause while nothing comes; a look at an idle journal costs tens of microseconds."""

RETRY_S_MAX = 5.0
"""chosen: longest pause between attempts while SQL is away; the journal waits longer than that."""

FOLD_S_MAX = 10.0
"""chosen: so long a drain waits while another recorder projects; what is stored is safe in any case."""

LOOK_S = 5.0
"""chosen: how long frames wait to be counted whose recorder has died after it had stored them. A look at
nothing is a transaction of a millisecond."""

STATUS_S = 1.0
"""chosen: how often the status file is written, so that a reader can tell a slow recorder from a dead one."""

COMPACT_S = 3_600.0
"""chosen: between two compactions; each moves by whole days, so most find nothing to do."""

_log = logging.getLogger("amos.recorder_process")


class RecorderBusy(RuntimeError):
    """Another process records this data directory; what is in the journal there is in good hands."""


class RecorderLoop:
    """The owner of a data directory's record: enter it with `async with`, then `run` or `drain`.

    Entering raises RecorderBusy if another process is the owner. Use it from one event loop. `traces` tells
    for the status how their export is doing, `None` if there is none; `lines` makes log lines of what is
    recorded, if somebody wants them.
    """

    def __init__(
        self,
        data_dir: Path,
        database_url: str,
        *,
        clock: Clock | None = None,
        traces: Callable[[], TracesStatus] | None = None,
        lines: LineSink | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._database_url = database_url
        self._clock = clock or SystemClock()
        self._reader = JournalReader(data_dir / "journal")
        self._engine = open_engine(database_url, writer=True)
        self._log = SqlEventLog(self._engine)
        self._lines = LineFeed(lines, self._log) if lines else None
        self._projector = SqlProjector(self._engine)
        self._compaction = SqlCompaction(self._engine)
        self._compact_at = self._clock.monotonic()
        self._turn = asyncio.Lock()
        self._lock_fd: int | None = None
        self._is_migrated = False
        self._is_folded = False  # what an earlier recorder stored may not be
        self._looked_at = self._clock.monotonic()
        self._is_elsewhere = False  # another recorder of the same database is projecting

        self._frames = 0
        self._damaged: set[Path] = set()
        self._parked = 0
        self._unknown = 0
        self._fold_fault = ""
        self._closed: set[Path] = set()
        self._journal_fault = ""
        self._told = ""  # the unexpected fault last logged: one that stays is logged once
        self._drained_at = 0.0
        self._status_at = -STATUS_S
        self._fault = ""
        self._since = self._clock.now()
        self._traces = traces

    async def __aenter__(self) -> Self:
        """Take the directory. Raises RecorderBusy, OSError."""
        self._lock_fd = _lock(self._data_dir)
        if self._lines is not None:
            self._lines.begin({instance_of(path) for path in list_segments(self._data_dir / "journal")})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the database, then of the directory."""
        await self._engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set, then drain if SQL lets us. Any fault is waited out, whatever it is."""
        pause_s = BUSY_S
        while not stop.is_set():
            looked_at, wait_s = self._clock.monotonic(), 0.0
            try:
                batch = await self._step()
                if not batch.is_cut:
                    await self._compact()
            except Exception as error:  # noqa: BLE001 - a recorder that died of a bug would record nothing at all
                wait_s = pause_s = min(max(pause_s, BUSY_S) * 2, RETRY_S_MAX)
                await self._wait_out(error)
            else:
                pause_s = _pause_s(batch, pause_s)
                wait_s = max(looked_at + pause_s - self._clock.monotonic(), 0.0)
                self._report()
            await _rest(stop, wait_s)
        try:
            await self.drain()
        except Exception as error:  # noqa: BLE001 - the journal keeps what is left, for the next recorder
            self._report(fault=self._explain(error), at_once=True)

    async def _wait_out(self, error: Exception) -> None:
        # The file may have been replaced or restored: begin again from the schema.
        self._is_migrated = False
        self._report(fault=self._explain(error))
        with suppress(Exception):
            await self._engine.dispose()

    def _explain(self, error: Exception) -> str:
        """The fault in words, which are logged too: each time if it is of disk or SQL, else once, in full."""
        if isinstance(error, EventLogUnavailable | OSError):
            _log.warning("the recorder waits: %s", error)
            return str(error)
        fault = f"Unexpected error ({type(error).__name__})."
        if fault != self._told:
            self._told = fault
            _log.error("the recorder met a fault it does not know", exc_info=error)
        return fault

    async def drain(self) -> int:
        """Put everything the journal holds into SQL and fold it; returns how many frames were taken over.

        Raises EventLogUnavailable, OSError; nothing is lost then, and a later call goes on.
        """
        before = self._frames
        while (batch := await self._step()).is_cut:
            pass
        give_up_at = self._clock.monotonic() + FOLD_S_MAX
        while self._is_elsewhere and self._clock.monotonic() < give_up_at:
            await self._clock.sleep(BUSY_S)
            await self._fold()
        self._report(at_once=True)
        for error in batch.closed.values():
            raise error
        return self._frames - before

    async def _step(self) -> Batch:
        """Store one batch and fold all there is."""
        async with self._turn:
            if not self._is_migrated:
                await upgrade(self._database_url)
                self._is_migrated = True
                remove_unfinished(self._data_dir / "journal")
            begun_at = self._clock.now()
            batch = await asyncio.to_thread(self._reader.read)
            self._note_closed(batch)
            await self._store(batch)
            if batch.records or self._clock.monotonic() - self._looked_at >= LOOK_S:
                self._is_folded = False
            try:
                await self._fold()
            except EventLogUnavailable as error:
                if not batch.is_cut:
                    raise
                # What waits is stored first; if that is refused as well the next step will tell.
                self._fold_fault = f"The reports stand still. {error}"
            if not (batch.is_cut or batch.closed) and self._is_folded:
                self._drained_at = begun_at
            return batch

    async def _fold(self) -> None:
        """Fold all there is, or leave it to another recorder that is at it: the next step looks again.

        A bug in a projection is reported, and tried again with the next batch.
        """
        self._is_elsewhere = False
        try:
            while not (self._is_folded or self._is_elsewhere):
                done = await self._projector.project()
                self._is_elsewhere = done.is_elsewhere
                self._is_folded = done.is_done
                self._looked_at = self._clock.monotonic()
                self._note_parked(done)
        except EventLogUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the record goes on without the reports
            self._fold_fault = f"The reports stand still. {self._explain(error)}"
        else:
            self._fold_fault = ""

    def _note_closed(self, batch: Batch) -> None:
        """Say which segments cannot be read, each once; they are tried again with every batch."""
        for path, error in batch.closed.items():
            if path not in self._closed:
                _log.error("a segment of %s cannot be read: %s", instance_of(path), error.strerror)
        self._closed = set(batch.closed)
        self._journal_fault = "A segment of the journal cannot be read." if batch.closed else ""

    def _note_parked(self, done: Projected) -> None:
        if done.parked and not self._parked:
            _log.error(
                "frames with something that no report can count are parked; `amos events verify` names them"
            )
        self._parked += done.parked
        self._unknown += done.unknown

    async def _compact(self) -> None:
        """Do some of the hourly compaction, if it is due; the rest with the next steps."""
        if self._clock.monotonic() < self._compact_at:
            return
        # Before it is tried: one that fails is tried again in an hour, and storing does not depend on it.
        self._compact_at = self._clock.monotonic() + COMPACT_S
        if not await self._compaction.step(self._clock.now()):
            self._compact_at = self._clock.monotonic()

    async def _store(self, batch: Batch) -> None:
        found: list[ReadFrame] = []
        for path, payload in batch.records:
            try:
                found.append(read_frame(payload))
            except UnreadableFrame:
                batch.damaged.add(path)
        found = _in_order(found)
        if self._lines is not None:
            await self._lines.tell(found)
        await self._log.append([frame.row for frame in found], [t for frame in found for t in frame.texts])
        if self._lines is not None:
            self._lines.stored()
        # From here on the frames are safe twice; only now may the journal forget them.
        await asyncio.to_thread(self._reader.commit, batch)
        self._frames += len(found)
        for path in batch.damaged - self._damaged:
            _log.error("a segment of %s has unreadable stretches; it will be set aside", instance_of(path))
        self._damaged |= batch.damaged

    def _report(self, *, fault: str = "", at_once: bool = False) -> None:
        fault = fault or self._journal_fault or self._fold_fault
        if bool(fault) != bool(self._fault):
            self._since = self._clock.now()
        self._fault = fault
        now = self._clock.monotonic()
        if now - self._status_at < STATUS_S and not at_once:
            return
        self._status_at = now
        status = RecorderStatus(
            pid=os.getpid(),
            at=self._clock.now(),
            drained_at=self._drained_at,
            backlog_bytes=self._reader.backlog_bytes(),
            frames=self._frames,
            damaged=len(self._damaged),
            parked=self._parked,
            unknown=self._unknown,
            fault=fault,
            since=self._since,
            traces=self._traces() if self._traces else None,
        )
        try:
            write_status(self._data_dir, status)
        except OSError as error:  # a full disk must not end the one process that can empty it
            _log.warning("the recorder cannot write its status: %s", error.strerror)


async def record_forever(
    data_dir: Path, database_url: str, stop: asyncio.Event, *, lines: LineSink | None = None
) -> None:
    """Own the data directory and record until `stop` is set. Raises RecorderBusy, SettingsError at once."""
    async with RecorderLoop(data_dir, database_url, lines=lines) as recorder:
        await recorder.run(stop)


async def drain(data_dir: Path, database_url: str) -> int:
    """Take over what the journal holds now, unless a recorder owns the directory and does so anyway.

    Returns how many frames were taken over. Raises EventLogUnavailable, OSError, SettingsError.
    """
    try:
        async with RecorderLoop(data_dir, database_url) as recorder:
            return await recorder.drain()
    except RecorderBusy:
        return 0


def _lock(data_dir: Path) -> int:
    make_private(data_dir)
    fd = os.open(data_dir / "recorder.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise RecorderBusy("Another recorder owns this data directory.") from error
    return fd


def _in_order(frames: list[ReadFrame]) -> list[ReadFrame]:
    """The frames of several writers by the moment they were recorded, each writer's in its own order.

    A clock may go back: a frame is then as late as the latest one its writer has written before.
    """
    latest: dict[str, float] = {}
    moments: list[float] = []
    for row, *_ in frames:
        latest[row.instance] = max(row.recorded_at, latest.get(row.instance, row.recorded_at))
        moments.append(latest[row.instance])
    return [frame for _, frame in sorted(zip(moments, frames, strict=True), key=lambda pair: pair[0])]


def _pause_s(batch: Batch, last_s: float) -> float:
    """From one look to the next: 0 with a backlog, short while frames keep coming, then longer and longer."""
    if batch.is_cut:
        return 0.0
    return BUSY_S if batch.records else min(max(last_s, BUSY_S) * 1.5, IDLE_S)


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
