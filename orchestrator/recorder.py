"""Stamps facts with their number and moment, and writes them in frames: one journal write per commit.

The recorder is the only writer of events in a process. It refuses to lose: a commit that cannot be made
durable raises, and the call it belongs to is then refused rather than answered unrecorded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence

import uuid_utils

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Envelope, Event
from orchestrator.facts import CallersRefused
from orchestrator.ports import Clock, Journal
from orchestrator.quota import Verdict

REFUSALS_EVERY_S = 1.0
"""chosen: refusals of strangers are written as one count per reason and second, whatever their number."""

CALLERS_STREAM = "callers"
"""Stream of the facts about callers nobody knows."""

_log = logging.getLogger("amos.recorder")


class ExecutionTrail:
    """The facts of one execution (see `model.Trail`).

    Facts noted after the last commit go in a further frame.
    """

    def __init__(self, recorder: Recorder, trace_id: str) -> None:
        self._recorder = recorder
        self._now = recorder.clock.now
        self._events: list[Envelope] = []
        self._written = 0
        self._texts: dict[str, str] = {}
        self._requests: dict[str, str] = {}
        execution = uuid_utils.uuid7()
        self.execution_id = str(execution)
        self.trace_id = trace_id or execution.hex
        self.verdict: Verdict | None = None

    @property
    def events(self) -> Sequence[Envelope]:
        """Everything recorded so far, written or not."""
        return self._events

    def record(self, event: Event) -> None:
        """Note a fact now; it is written with the next `commit`."""
        self._events.append(Envelope(len(self._events) + 1, self._now(), event))

    def note_text(self, key: str, text: str, request: str = "") -> None:
        """Keep the text behind a cache key for the erasable table, unless texts are switched off."""
        if self._recorder.keeps_texts:
            self._texts[key] = text
            if request:
                self._requests[key] = request

    async def commit(self) -> None:
        """Write what is pending as one frame and wait until it is durable.

        Raises EventLogUnavailable; what could not be written is pending again.
        """
        if self._is_pending:
            await self._write()

    def commit_soon(self) -> None:
        """Write what is pending as one frame without waiting; the recorder sees to the end of it."""
        if self._is_pending:
            self._recorder.own(self._write())

    @property
    def _is_pending(self) -> bool:
        return self._written < len(self._events) or bool(self._texts)

    def _write(self) -> Awaitable[None]:
        """Hand over what is pending now; the result is done when it is durable."""
        begun, reached, words = self._written, len(self._events), (self._texts, self._requests)
        self._written, self._texts, self._requests = reached, {}, {}
        events = tuple(self._events[begun:])
        write = self._recorder.journal.append(self.execution_id, self._now(), events, *words)
        return self._see_through(write, begun, reached, words)

    async def _see_through(
        self, write: Awaitable[None], begun: int, reached: int, words: tuple[dict[str, str], dict[str, str]]
    ) -> None:
        try:
            await write
        except EventLogUnavailable:
            # They go with the next frame, so that no execution is ever stored without its beginning: a call
            # refused because its intent could not be written still ends with a frame, and that may fit.
            # If somebody has written on meanwhile it is too late for that.
            if self._written == reached:
                texts, requests = words
                self._written = begun
                self._texts, self._requests = {**texts, **self._texts}, {**requests, **self._requests}
            raise


class Recorder:
    """Opens trails and takes facts that belong to no execution.

    One per process; its own tasks end with `aclose`.
    """

    def __init__(self, journal: Journal, clock: Clock, *, keep_texts: bool = True) -> None:
        self.journal = journal
        self.clock = clock
        self.keeps_texts = keep_texts
        self._sequences: dict[str, int] = {}
        self._failed: dict[str, tuple[int, int]] = {}  # the numbers of facts that failed one after another
        self._refusals: dict[str, int] = {}
        self._refusals_due: asyncio.TimerHandle | None = None
        self._writes: set[asyncio.Future[None]] = set()

    def open(self, trace_id: str = "") -> ExecutionTrail:
        """Begin an execution. `trace_id` is the caller's trace, 32 hex digits, `""` to start one."""
        return ExecutionTrail(self, trace_id)

    def record_fact(self, stream: str, event: Event) -> None:
        """Write a fact of its own stream soon. Never raises, never waits; a failed write is logged."""
        self._write_facts(stream, (event,))

    async def confirm_facts(self, stream: str, *events: Event) -> tuple[Envelope, ...]:
        """Write facts of their own stream as one frame; returns them when they are durable.

        Raises EventLogUnavailable. When the wait is cancelled they are written all the same.
        """
        envelopes, write = self._write_facts(stream, events)
        await asyncio.shield(write)
        return envelopes

    def own(self, write: Awaitable[None]) -> asyncio.Future[None]:
        """See a write through that nobody waits for: `aclose` awaits it, and its failure is logged."""
        future = asyncio.ensure_future(write)
        self._writes.add(future)
        future.add_done_callback(self._written)
        return future

    def _write_facts(
        self, stream: str, events: Sequence[Event]
    ) -> tuple[tuple[Envelope, ...], asyncio.Future[None]]:
        """Number the facts and hand them over as one frame; the future is done when it is durable."""
        now = self.clock.now()
        first = self._sequences.get(stream, 0) + 1
        envelopes = tuple(Envelope(number, now, event) for number, event in enumerate(events, first))
        self._sequences[stream] = last = first + len(events) - 1
        write = self.journal.append(stream, now, envelopes, {})
        return envelopes, self.own(self._number_back(write, stream, first, last))

    def count_refusal(self, reason: str) -> None:
        """Count a call that was turned away; the counts of a second are written together."""
        self._refusals[reason] = self._refusals.get(reason, 0) + 1
        if self._refusals_due is None:
            self._refusals_due = asyncio.get_running_loop().call_later(REFUSALS_EVERY_S, self._write_refusals)

    async def aclose(self) -> None:
        """Write what is still counted and wait for every write. Safe to call twice."""
        if self._refusals_due is not None:
            self._refusals_due.cancel()
            self._write_refusals()
        if self._writes:
            await asyncio.gather(*self._writes, return_exceptions=True)

    async def _number_back(self, write: Awaitable[None], stream: str, first: int, last: int) -> None:
        """Await the write of facts; if it fails, their numbers are free for the next that have none yet.

        Facts of one tick fail together, the first ones first: all their numbers are free when the last have
        failed.
        """
        try:
            await write
        except EventLogUnavailable:
            begun, ended = self._failed.get(stream, (first, first - 1))
            begun = begun if ended == first - 1 else first
            self._failed[stream] = (begun, last)
            if self._sequences[stream] == last:
                self._sequences[stream] = begun - 1
            raise
        self._failed.pop(stream, None)  # a number that is in the record is never free again

    def _write_refusals(self) -> None:
        refusals, self._refusals, self._refusals_due = self._refusals, {}, None
        for reason, count in refusals.items():
            self.record_fact(CALLERS_STREAM, CallersRefused(reason=reason, count=count))

    def _written(self, write: asyncio.Future[None]) -> None:
        self._writes.discard(write)
        if not write.cancelled() and (error := write.exception()) is not None:
            _log.error("facts could not be recorded: %s", error)
