"""What the database takes: frames stored and counted in a second, by one recorder and by three at once.

A recorder must be faster than the workers whose frames it drains; one worker answers some thousand hits a
second, each of them a frame. The commits are real ones, on the disk.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from storage.sql_engine import open_engine, sqlite_url
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_schema import upgrade
from tests.support.histories import mixture
from tests.support.postgres import PostgresServer
from tests.support.rows import row

BATCH_FRAMES = 400
"""What a recorder finds after a tenth of a second of hits."""

FRAMES_PER_S_PROMISED = 2_000


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server that syncs."""
    server = PostgresServer({"fsync": "on"})
    try:
        server.start()
        yield server
    finally:
        server.close()


async def record(url: str, instance: str, seconds: float) -> tuple[int, float, float]:
    """How many frames one recorder stored, and the seconds it took to store and to count."""
    engine = open_engine(url, writer=True)
    log, projector = SqlEventLog(engine), SqlProjector(engine)
    histories = mixture()
    count, stored_s, counted_s = 0, 0.0, 0.0
    while stored_s + counted_s < seconds:
        numbers = range(count + 1, count + BATCH_FRAMES + 1)
        batch = [row(number, histories[number % len(histories)], instance=instance) for number in numbers]
        begun_at = time.perf_counter()
        await log.append(batch)
        stored_at = time.perf_counter()
        while (await projector.project()).frames:
            pass
        stored_s += stored_at - begun_at
        counted_s += time.perf_counter() - stored_at
        count += BATCH_FRAMES
    await engine.dispose()
    return count, stored_s, counted_s


async def measure(url: str, recorders: int, seconds: float) -> float:
    """Frames a second of all recorders together, stored and counted."""
    await upgrade(url)
    found = await asyncio.gather(*(record(url, f"i-{n}", seconds) for n in range(recorders)))
    count = sum(frames for frames, _, _ in found)
    per_s = sum(frames / (stored_s + counted_s) for frames, stored_s, counted_s in found)
    stored_us, counted_us = (sum(one[n] for one in found) / count * 1e6 for n in (1, 2))
    print(f"  {per_s:,.0f} frames/s; a frame takes {stored_us:.0f} µs to store and {counted_us:.0f} to count")
    return per_s


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promise is kept by one recorder on each engine."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        server = cleanup.enter_context(postgres())
        print("SQLite, one recorder:")
        file_per_s = asyncio.run(measure(sqlite_url(folder / "amos.db"), 1, seconds / 3))
        print("PostgreSQL, one recorder:")
        server_per_s = asyncio.run(measure(server.new_database(), 1, seconds / 3))
        print("PostgreSQL, three recorders in one process:")
        asyncio.run(measure(server.new_database(), 3, seconds / 3))
    print(f"promised: {FRAMES_PER_S_PROMISED:,} frames/s")
    return min(file_per_s, server_per_s) >= FRAMES_PER_S_PROMISED
