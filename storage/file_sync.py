"""Group commit: one fdatasync at a time, and everything written meanwhile shares the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from orchestrator.errors import EventLogUnavailable
from storage.file_segment_writer import SegmentWriter

Waiter: TypeAlias = "asyncio.Future[None]"
"""Somebody who waits for a frame to be durable, and may have left."""


class Syncer:
    """Makes written segments durable in a thread of its own; used from one event loop.

    `on_synced` is told of each sync, with the error if it failed: what of that segment is on disk is then
    unknown for good.
    """

    def __init__(self, on_synced: Callable[[SegmentWriter, OSError | None], None]) -> None:
        self._on_synced = on_synced
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-sync")
        self._written: dict[SegmentWriter, list[Waiter]] = {}
        self._retired: list[SegmentWriter] = []
        self._running: asyncio.Task[None] | None = None

    def confirm(self, segment: SegmentWriter, waiters: Iterable[Waiter]) -> None:
        """Release the waiters once what is written in the segment now is on disk, or fail them."""
        self._written.setdefault(segment, []).extend(waiters)
        self._start()

    def retire(self, segment: SegmentWriter) -> None:
        """Close the segment as soon as nobody waits for it any more."""
        self._retired.append(segment)
        self._start()

    async def aclose(self) -> None:
        """Finish what is waiting and end the thread. Safe to call twice."""
        while self._running is not None and not self._running.done():
            await asyncio.wait([self._running])
        self._thread.shutdown(wait=False)

    def _start(self) -> None:
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._written or self._retired:
            # Both are taken before the first wait: whoever retires a segment has confirmed all of it before.
            written, self._written = self._written, {}
            retired, self._retired = self._retired, []
            for segment, waiters in written.items():
                await self._sync(segment, waiters)
            for segment in retired:
                segment.close()

    async def _sync(self, segment: SegmentWriter, waiters: list[Waiter]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, segment.sync)
        except OSError as error:
            for waiter in waiters:
                fail(waiter, cause_of(error), error)
            self._on_synced(segment, error)
        else:
            release(waiters)
            self._on_synced(segment, None)


def release(waiters: Iterable[Waiter]) -> None:
    """Tell everyone who still waits that their frame is durable."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def fail(waiter: Waiter, message: str, cause: OSError | None = None) -> None:
    """Tell one who still waits that their frame is not durable."""
    if waiter.done():
        return
    error = EventLogUnavailable(message)
    error.__cause__ = cause
    waiter.set_exception(error)
    # Looked at once here, so that a caller who does not wait is not reported for ignoring it.
    waiter.exception()


def cause_of(error: OSError) -> str:
    """A failure of the disk in words that show no path."""
    return f"The journal cannot be written: {error.strerror or 'unknown error'}."
