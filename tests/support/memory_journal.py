"""A journal in memory: numbered like the real one, and able to fail when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Envelope, Frame


class MemoryJournal:
    """Frames in a list. They are durable one tick of the event loop after they were taken, as on a disk.

    While `is_full` is set every frame is refused, and as many as `refuse_next` says in any case; a refused
    frame leaves no hole in the series.
    """

    def __init__(self, instance: str = "test") -> None:
        self.instance = instance
        self.frames: list[Frame] = []
        """What is durable, oldest first."""
        self.is_full = False
        self.refuse_next = 0

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
        loop.call_soon(
            self._write, waiter, stream, recorded_at, tuple(events), dict(texts), dict(requests or {})
        )
        return waiter

    def _write(
        self,
        waiter: asyncio.Future[None],
        stream: str,
        recorded_at: float,
        events: tuple[Envelope, ...],
        texts: dict[str, str],
        requests: dict[str, str],
    ) -> None:
        if self.is_full or self.refuse_next:
            self.refuse_next = max(0, self.refuse_next - 1)
            if not waiter.done():
                waiter.set_exception(EventLogUnavailable("The journal is full."))
            return
        self.frames.append(
            Frame(
                instance=self.instance,
                instance_seq=len(self.frames) + 1,
                stream=stream,
                recorded_at=recorded_at,
                events=events,
                texts=texts,
                requests=requests,
            )
        )
        if not waiter.done():
            waiter.set_result(None)

    def of(self, stream: str) -> list[Frame]:
        """The frames of one stream."""
        return [frame for frame in self.frames if frame.stream == stream]

    def events(self, stream: str) -> list[Any]:
        """All events of one stream, without their envelopes."""
        return [envelope.event for frame in self.of(stream) for envelope in frame.events]

    def kinds(self, stream: str) -> list[list[str]]:
        """The class names of the events of one stream, frame by frame."""
        return [[type(envelope.event).__name__ for envelope in frame.events] for frame in self.of(stream)]
