"""The export of traces of a test's gateway, run by hand.

async with exporting(settings, receiver) as traces:
    ... calls, amos.drain() ...
    await traces.export()                     # all that is in SQL
    spans_of(receiver, execution_id)
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import text

from api.rest.problems import status_of
from api.settings import Settings
from api.telemetry import OtlpCollector
from api.trace_export import ExportPolicy, TraceExporter
from orchestrator.clock import SystemClock
from orchestrator.events import Event
from orchestrator.ports import Clock
from storage.file_status import TracesStatus
from storage.sql_engine import open_engine, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_traces import SqlTraces
from tests.support.clock import FakeClock
from tests.support.otlp_receiver import OtlpReceiver, spans_of
from tests.support.rows import row

POLICY = ExportPolicy(slow_s=60.0, certain_s=90.0, poll_s=0.01, backoff_s_min=0.01, backoff_s_max=0.05)
"""As an installation has it, but in a hurry; no call of a test is slow."""


class Traces:
    """A running exporter whose steps a test takes itself; it may be killed and begun anew."""

    def __init__(self, exporter: TraceExporter) -> None:
        self.exporter = exporter

    @property
    def status(self) -> TracesStatus:
        """What it says of itself."""
        return self.exporter.status()

    async def export(self) -> None:
        """Export all there is in SQL. Raises CollectorUnavailable."""
        while await self.exporter.step():
            pass


@contextlib.asynccontextmanager
async def exporting(
    settings: Settings, receiver: OtlpReceiver, clock: Clock | None = None, **policy: Any
) -> AsyncIterator[Traces]:
    """An exporter of the installation's log to the receiver. `policy` are fields of `ExportPolicy`."""
    settings = settings.model_copy(update={"otlp_endpoint": receiver.base_url})
    exporter = TraceExporter(
        SqlTraces(settings.database_url),
        OtlpCollector(settings),
        status_of,
        clock or SystemClock(),
        msgspec.structs.replace(POLICY, **policy),
    )
    try:
        yield Traces(exporter)
    finally:
        await exporter.aclose()


def names(receiver: OtlpReceiver, execution_id: str) -> list[str]:
    """The spans of an execution by name, the call's own first."""
    found = [span.name for span in spans_of(receiver, execution_id)]
    return [*found[:1], *sorted(found[1:])]


class Log:
    """An event log that is written by hand; frames are recorded at the clock's moment."""

    def __init__(self, settings: Settings, clock: FakeClock) -> None:
        self.settings = settings
        self.clock = clock
        self._engine = open_engine(settings.database_url, writer=True)
        self._log = SqlEventLog(self._engine)
        self._number = 0

    async def write(
        self, events: Sequence[Event], execution_id: str = "", *, first: int = 1, age_s: float = 0.0
    ) -> str:
        """One frame, of a new execution unless one is named; returns which."""
        self._number += 1
        stream = execution_id or str(uuid.UUID(int=random.getrandbits(128)))
        at = self.clock.now() - age_s
        await self._log.append([row(self._number, events, at=at, stream=stream, first=first)])
        return stream

    async def run_sql(self, statement: str) -> Any:
        """What a statement finds."""
        async with transaction(self._engine) as connection:
            result = await connection.execute(text(statement))
            return result.all() if result.returns_rows else None

    async def aclose(self) -> None:
        """Close the database."""
        await self._engine.dispose()
