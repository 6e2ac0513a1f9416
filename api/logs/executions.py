"""Writes the log lines that are made of the record: one for each execution, one for each fact.

This is done in the recorder's process, so a call that is answered pays nothing for its line. It holds the
beginnings of executions that have not ended, within bounds, and sees to those that never will.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence

import msgspec
from typing_extensions import override

from api.logs.output import OutputHandler
from api.rest.problems import status_of
from api.settings import Settings
from orchestrator import limits
from orchestrator.clock import SystemClock
from orchestrator.events import Envelope
from orchestrator.ports import Clock
from orchestrator.projections.fact_lines import FACTS, fact_line
from orchestrator.projections.log_lines import ERROR, EXECUTIONS, INFO, WARNING, Line, execution_line
from orchestrator.projections.spans import is_execution
from storage.line_feed import FrameToLog, LineSink

CERTAIN_S = limits.STREAM_S_MAX + 60.0
"""chosen: nothing is recorded of an execution after so long: its deadline, and a minute for the journal."""

OPEN_MAX = 20_000
"""chosen: executions under way whose beginning is kept, 2 KB each; beyond it the oldest is told without."""

WRITTEN_S = 1.0
"""chosen: so long the recorder waits for its lines to be written; a place that takes longer is not waited for
again until it has caught up."""

_LEVELS = {INFO: logging.INFO, WARNING: logging.WARNING, ERROR: logging.ERROR}

_log = logging.getLogger("amos.logs")


class _Open(msgspec.Struct):
    """An execution that has not ended, `since` its first frame was recorded."""

    node: str
    since: float
    envelopes: list[Envelope]


class ExecutionLog(LineSink):
    """Makes lines and hands them to the handlers. `which` is the setting `log_executions`."""

    def __init__(self, handlers: Sequence[OutputHandler], which: str, clock: Clock) -> None:
        self._handlers = handlers
        self._which = which
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._unwritten: threading.Event | None = None
        self._is_puzzled = False  # a fault it does not know was logged

    @override
    async def note(self, frames: Sequence[FrameToLog]) -> None:
        """Write the lines of these frames, and of what is certain to have no end."""
        lines = [line for frame in frames for line in self._lines_of(frame)]
        lines += self._overdue()
        await self._write([line for line in lines if self._is_wanted(line)])

    def _lines_of(self, frame: FrameToLog) -> list[Line]:
        row = frame.row
        try:
            found = (
                [self._line_of(frame)]
                if is_execution(row.stream)
                else [fact_line(row.instance, envelope) for envelope in frame.envelopes]
            )
        except Exception as error:  # noqa: BLE001 - one frame that makes no sense must not hold up the record
            self._puzzle_over(error)
            return []
        return [] if frame.is_told else [line for line in found if line is not None]

    def _line_of(self, frame: FrameToLog) -> Line | None:
        """The line of an execution, if it has ended with this frame; else it is kept for the next one."""
        row = frame.row
        begun = self._open.pop(row.stream, None)
        known = [*begun.envelopes, *frame.envelopes] if begun else frame.envelopes
        line = execution_line(row.stream, row.instance, known, status_of)
        is_past = frame.is_told and row.recorded_at < self._clock.now() - CERTAIN_S
        if line is None and known and known[0].seq == 1 and not is_past:
            since = begun.since if begun else row.recorded_at
            self._open[row.stream] = _Open(row.instance, since, [*known])
            if len(self._open) > OPEN_MAX:
                del self._open[next(iter(self._open))]
        return line

    def _overdue(self) -> list[Line]:
        """The lines of executions that never ended: their process died."""
        certain_at = self._clock.now() - CERTAIN_S
        lines: list[Line | None] = []
        while self._open:
            stream, begun = next(iter(self._open.items()))
            if begun.since > certain_at:
                break
            del self._open[stream]
            lines.append(execution_line(stream, begun.node, begun.envelopes, status_of, is_over=True))
        return [line for line in lines if line is not None]

    def _is_wanted(self, line: Line) -> bool:
        if not logging.getLogger(line.logger).isEnabledFor(_LEVELS[line.level]):
            return False
        if line.logger == FACTS or self._which == "all":
            return True
        is_failure = line.level != INFO or line.fields["event"]["outcome"] != "success"
        return self._which == "failures" and is_failure

    async def _write(self, lines: Sequence[Line]) -> None:
        """Write them; wait until they are, unless a place does not keep up."""
        if not lines:
            return
        rendered: dict[str, list[bytes]] = {}
        for handler in self._handlers:
            if handler.form.name not in rendered:
                rendered[handler.form.name] = [line for one in lines for line in self._rendered(handler, one)]
        written = [handler.put(rendered[handler.form.name]) for handler in self._handlers]
        if self._unwritten is not None and not self._unwritten.is_set():
            return
        self._unwritten = None
        for event in written:
            if not await asyncio.to_thread(event.wait, WRITTEN_S):
                self._unwritten = event
                return

    def _rendered(self, handler: OutputHandler, line: Line) -> list[bytes]:
        try:
            return [handler.form.line(line)]
        except Exception as error:  # noqa: BLE001 - a moment that cannot be
            self._puzzle_over(error)
            return []

    def _puzzle_over(self, error: Exception) -> None:
        if not self._is_puzzled:
            self._is_puzzled = True
            _log.error("an execution cannot be logged, for a fault that is not known", exc_info=error)


def execution_log(settings: Settings) -> ExecutionLog | None:
    """What writes to the places that `configure_logging` has set up; `None` if nothing shall be written."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, OutputHandler)]
    if not handlers or not logging.getLogger(EXECUTIONS).isEnabledFor(logging.ERROR):
        return None
    return ExecutionLog(handlers, settings.log_executions, SystemClock())
