"""Exports the log as traces, beside the recorder: batch by batch behind a checkpoint, and never in its way.

At least once: a checkpoint moves after the collector has taken the batch, and ids are derived, so what goes
out twice is twice the same. A collector that is dead, slow or refuses harms nothing. It is asked again and
again, less and less often; what has become too old meanwhile is passed over and counted, because stores of
traces find no spans that come late.

An execution goes out with its last word; an attempt that outlived it when that has ended too; one that lost
its process when it is certain that nothing follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from orchestrator.errors import EventLogUnavailable
from orchestrator.history import has_ended
from orchestrator.ports import Clock
from orchestrator.projections.spans import Span, StatusOf, is_notable, spans
from storage.file_status import TracesStatus
from storage.sql_engine import NoEventLog
from storage.sql_event_log import StoredFrame
from storage.sql_traces import History, Marks, SqlTraces

ResultT = TypeVar("ResultT")

MARK_S = 1.0
"""chosen: how exactly it is remembered when which position was reached."""

_log = logging.getLogger("amos.traces")


class CollectorUnavailable(Exception):
    """The collector did not take the batch and may take it later; the message says what to do."""


class BatchRefused(CollectorUnavailable):
    """The collector will never take this batch."""


class Collector(Protocol):
    """Where spans go."""

    def keeps(self, trace_id: str) -> bool:
        """Whether the trace is among those that are sampled."""

    def send(self, spans: Sequence[tuple[str, Span]]) -> int:
        """Hand over spans, each with the instance it comes from; blocks, for seconds if need be.

        Returns how many of them it rejected while it took the others. Raises CollectorUnavailable,
        BatchRefused.
        """

    def close(self) -> None:
        """Give up what is being tried."""


class ExportPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How traces are exported. Times in seconds."""

    slow_s: float
    """A call that takes as long is exported, however few are sampled."""
    certain_s: float
    """An execution without a last word for so long never gets one."""
    age_s_max: float = 300.0
    """chosen: what was recorded longer ago is passed over. It bridges the restart of a collector; stores of
    traces index by arrival, and search badly for what came much later."""
    batch_frames: int = 500
    """chosen: one request of some 0.5 MB before compression; the usual collector takes 20 MB."""
    poll_s: float = 1.0
    """chosen: how soon a call is on its way; nobody opens a trace sooner."""
    backoff_s_min: float = 1.0
    backoff_s_max: float = 30.0
    """chosen: a tenth of `age_s_max`, so that a collector that comes back gets nearly all of it."""
    last_s: float = 5.0
    """chosen: what a collector may hold up the end of the process; the supervisor waits for 35 s."""


class _Sent(NamedTuple):
    spans: int
    calls: int
    refusal: str
    cpu_s: float


class TraceExporter:
    """One exporter; `beside` runs it as long as a recorder. Use it from one event loop."""

    def __init__(
        self, log: SqlTraces, collector: Collector, status_of: StatusOf, clock: Clock, policy: ExportPolicy
    ) -> None:
        self._log = log
        self._collector = collector
        self._status_of = status_of
        self._clock = clock
        self._policy = policy
        self._started_at = clock.now()
        self._marks: Marks | None = None
        self._reached: deque[tuple[float, int]] = deque()
        self._cpu_s = 0.0
        self._backoff_s = 0.0

        self._exported = 0
        self._dropped = 0
        self._is_elsewhere = False
        self._is_puzzled = False  # a fault it does not know was logged
        self._log_fault = ""
        self._collector_fault = ""
        self._last_fault = ""
        self._since = clock.now()

    def status(self) -> TracesStatus:
        """How it is doing."""
        return TracesStatus(
            exported=self._exported,
            dropped=self._dropped,
            fault=self._log_fault or self._collector_fault,
            last_fault=self._last_fault,
            since=self._since,
            is_elsewhere=self._is_elsewhere,
        )

    @contextlib.asynccontextmanager
    async def beside(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Export until `stop` is set; at the end of the context, which has stored the last frames, once more.

        That takes `last_s` at most, whatever the collector does.
        """
        running = asyncio.create_task(self._run(stop), name="traces")
        try:
            yield
        finally:
            stop.set()
            with contextlib.suppress(Exception):
                async with asyncio.timeout(self._policy.last_s):
                    await running
                    while await self.step():
                        pass
            running.cancel()
            await self.aclose()

    async def aclose(self) -> None:
        """Let go of collector and database. Never raises."""
        self._collector.close()
        with contextlib.suppress(Exception):
            await self._log.aclose()

    async def step(self) -> bool:
        """Export one batch; tells whether there may be more.

        Raises CollectorUnavailable and EventLogUnavailable: then the batch will be exported again.
        """
        self._is_elsewhere = not await self._log.reserve()
        if self._is_elsewhere:
            self._marks = None
            return False
        marks = self._marks or await self._begin()
        new, reached = await self._log.read(marks.ended, self._policy.batch_frames)
        if reached < marks.ended:  # replaced by an older one, or by none
            self._marks = None
            return True
        fresh, dropped = self._fresh(new)
        await self._send(await self._log.histories(fresh, reached), is_over=False)
        looked = self._of_age(marks.never_ended)
        if looked > marks.never_ended:
            await self._send(self._recent(await self._log.open_ends(marks.never_ended, looked)), is_over=True)
        moved = Marks(reached, looked)
        if moved != marks:
            await self._log.move(moved)
        self._marks = moved
        self._dropped += dropped
        self._remember(reached, looked)
        self._log_fault = ""
        return reached > marks.ended

    async def _run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            pause_s = await self._turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stop.wait()

    async def _turn(self) -> float:
        """One step; returns how long to rest after it."""
        self._cpu_s = 0.0
        fault_before = bool(self.status().fault)
        try:
            is_more = await self.step()
            self._backoff_s = 0.0
            # As much rest as work: never more than half of a core is taken from recording.
            pause_s = self._cpu_s if is_more else self._policy.poll_s
        except NoEventLog:  # the recorder is about to make it
            self._marks = None
            pause_s = self._policy.poll_s
        except Exception as error:  # noqa: BLE001 - whatever it is, the recorder goes on and so do we
            self._explain(error)
            self._backoff_s = min(
                max(self._backoff_s * 2, self._policy.backoff_s_min), self._policy.backoff_s_max
            )
            pause_s = self._backoff_s
        self._tell(fault_before=fault_before)
        return pause_s

    async def _begin(self) -> Marks:
        now = self._clock.now()
        oldest_at = now - self._policy.age_s_max
        marks = await self._log.begin(
            first_since=self._started_at,
            ended_since=oldest_at,
            never_since=oldest_at - self._policy.certain_s,
        )
        self._reached.clear()
        self._remember(marks.ended)
        return marks

    def _fresh(self, new: Sequence[StoredFrame]) -> tuple[list[StoredFrame], int]:
        """The frames that are not too old, and how many calls ended in the others."""
        oldest_at = self._clock.now() - self._policy.age_s_max
        fresh = [stored for stored in new if stored.frame.recorded_at >= oldest_at]
        old = (stored for stored in new if stored.frame.recorded_at < oldest_at)
        return fresh, sum(has_ended(stored.frame.events) for stored in old)

    def _recent(self, histories: Sequence[History]) -> list[History]:
        oldest_at = self._clock.now() - self._policy.age_s_max - self._policy.certain_s
        return [history for history in histories if history.envelopes[-1].at >= oldest_at]

    def _of_age(self, looked: int) -> int:
        """The position reached so long ago that whatever is before it and has not ended never will."""
        certain_at = self._clock.monotonic() - self._policy.certain_s
        return max(looked, *(position for at, position in self._reached if at <= certain_at), 0)

    def _remember(self, reached: int, looked: int = -1) -> None:
        now = self._clock.monotonic()
        while len(self._reached) > 1 and self._reached[0][1] <= looked:
            self._reached.popleft()
        if not self._reached or now - self._reached[-1][0] >= MARK_S:
            self._reached.append((now, reached))

    async def _send(self, histories: Sequence[History], *, is_over: bool) -> None:
        if not histories:
            return
        sent = await _in_thread(lambda: self._fold_and_send(histories, is_over=is_over))
        self._cpu_s += sent.cpu_s
        self._exported += sent.spans
        if sent.refusal:
            self._dropped += sent.calls
            self._collector_fault = self._last_fault = sent.refusal
        elif sent.spans:
            self._collector_fault = ""

    def _fold_and_send(self, histories: Sequence[History], *, is_over: bool) -> _Sent:
        """In a thread: nothing here touches what the event loop does."""
        begun_s = time.thread_time()
        out: list[tuple[str, Span]] = []
        calls = 0
        for history in histories:
            try:
                found = self._due(history, is_over=is_over)
            except Exception as error:  # noqa: BLE001 - one history that makes no sense must not hold up all
                self._puzzle_over(error)
                continue
            calls += bool(found)
            out += ((history.instance, span) for span in found)
        refusal = ""
        rejected = 0
        if out:
            try:
                rejected = self._collector.send(out)
            except BatchRefused as refused:
                refusal, rejected = str(refused), len(out)
        if 0 < rejected < len(out):
            refusal, calls = f"The collector has rejected {rejected} of {len(out)} spans of a batch.", 0
        return _Sent(len(out) - rejected, calls, refusal, time.thread_time() - begun_s)

    def _due(self, history: History, *, is_over: bool) -> Sequence[Span]:
        """The spans of an execution whose turn it is: each once, apart from repetitions."""
        envelopes = history.envelopes
        found = spans(history.execution_id, envelopes, self._status_of, is_over=is_over)
        if not found or not (
            self._collector.keeps(found[0].trace_id)
            or is_notable(envelopes, self._status_of, self._policy.slow_s)
        ):
            return ()
        call = found[0]
        if is_over:
            return [span for span in found if not (span.closed_by and call.closed_by)]
        if call.closed_by >= history.first_new:
            return found
        return [span for span in found if span.closed_by >= history.first_new]

    def _explain(self, error: Exception) -> None:
        if isinstance(error, CollectorUnavailable):
            self._collector_fault = str(error)
        elif isinstance(error, EventLogUnavailable):
            self._log_fault = str(error)
            self._marks = None  # it may have been replaced or restored
        else:
            self._log_fault = f"Unexpected error ({type(error).__name__}); the log has it in full."
            self._puzzle_over(error)
        self._last_fault = self._log_fault or self._collector_fault

    def _puzzle_over(self, error: Exception) -> None:
        if not self._is_puzzled:
            self._is_puzzled = True
            _log.error("the export of traces met a fault it does not know", exc_info=error)

    def _tell(self, *, fault_before: bool) -> None:
        status = self.status()
        if bool(status.fault) == fault_before:
            return
        self._since = self._clock.now()
        if status.fault:
            _log.warning("traces are not exported: %s", status.fault)
        else:
            _log.info("traces are exported again; %d calls were given up", status.dropped)


async def _in_thread(work: Callable[[], ResultT]) -> ResultT:
    """Run it in a thread that holds up no end of the process: a collector may keep it waiting for long."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[ResultT] = loop.create_future()

    def settle(result: ResultT | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # there is one if there is no error

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - handed to who waits
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="traces", daemon=True).start()
    return await future
