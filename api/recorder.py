"""The recorder process: drains every worker's journal into SQL, whoever wrote it and whether they still live.

Run as `python -m api.recorder` by the supervisor, or alone as `amos recorder`. One per data directory: a
second one waits for the first to leave, or raises RecorderBusy. When told to stop it empties the journal as
it is and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from api.child import run_child, stop_requested
from api.logs.executions import execution_log
from api.settings import Settings
from storage.recorder_process import RecorderBusy, RecorderLoop, record_forever

TAKE_OVER_S = 1.0
"""chosen: how often a recorder that waits looks whether the other has left; frames wait in the journal."""

_log = logging.getLogger("amos.recorder_process")


async def record(settings: Settings, *, watches_parent: bool) -> None:
    """Record until told to stop. Raises RecorderBusy if the data directory has a recorder already."""
    async with stop_requested(watches_parent=watches_parent) as stop:
        await _record(settings, stop)


async def record_in_turn(settings: Settings) -> None:
    """Record until told to stop, as the supervisor's child.

    While the data directory has another recorder, which is said once, wait for its end and then take over.
    """
    async with stop_requested(watches_parent=True) as stop:
        await wait_for_turn(settings, stop)


async def wait_for_turn(settings: Settings, stop: asyncio.Event) -> None:
    """Record as soon as nobody else does, until `stop` is set; what is there then is drained."""
    is_said = False
    while True:
        # Tried once more after the stop: a recorder that left just before did not see the last frames.
        is_last = stop.is_set()
        try:
            return await _record(settings, stop)
        except RecorderBusy as busy:
            if is_last:
                return None
            if not is_said:
                _log.warning("%s This one waits, and takes over when it has gone.", busy)
                is_said = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TAKE_OVER_S)


async def _record(settings: Settings, stop: asyncio.Event) -> None:
    """Own the data directory until `stop` is set: record, log, and export traces if somebody wants them."""
    lines = execution_log(settings)
    if not settings.exports_traces:
        return await record_forever(settings.data_dir, settings.database_url, stop, lines=lines)
    # Imported only here: it brings OpenTelemetry and a client with it, 13 MB for whoever has no use.
    from api.telemetry import trace_exporter  # noqa: PLC0415

    exporter = trace_exporter(settings)
    recorder = RecorderLoop(settings.data_dir, settings.database_url, traces=exporter.status, lines=lines)
    async with recorder, exporter.beside(stop):
        await recorder.run(stop)
    return None


def main() -> None:
    """The recorder as the supervisor's child."""
    run_child("recorder", record_in_turn)


if __name__ == "__main__":
    main()
