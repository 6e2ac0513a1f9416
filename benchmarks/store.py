"""What the database takes: frames stored and counted in a second, by one recorder and by three at once.

A recorder must be faster than the workers whose frames it drains; one worker answers some thousand hits a
second, each of them a frame. It is given records as it finds them in a journal, a batch at a time, of two
kinds of traffic: a few of everything, and a day of an office (traffic.py). The commits are real ones, on the
disk. Counting is measured with its SQL and without.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks.traffic import Traffic
from orchestrator.events import Frame
from orchestrator.projections.fold import Tally
from storage.codec import decode_events, read_frame
from storage.file_reader import BATCH_RECORDS
from storage.sql_engine import open_engine, sqlite_url
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from storage.sql_schema import upgrade
from storage.sql_tables import rollups
from tests.support.histories import NOON, mixture, numbered
from tests.support.postgres import PostgresServer

STORED_PER_S_PROMISED = 10_000
FOLDED_PER_S_PROMISED = 30_000
WORKER_PER_S = 6_000
"""Hits of one worker in a second: the most a recorder has to keep up with."""

FOLD_FRAMES = 10_000


class Cost(msgspec.Struct):
    """What `frames` frames took: seconds on the clock, and of this process on a core."""

    frames: int = 0
    stored_s: float = 0.0
    stored_cpu_s: float = 0.0
    counted_s: float = 0.0
    counted_cpu_s: float = 0.0


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server that syncs."""
    server = PostgresServer({"fsync": "on"})
    try:
        server.start()
        yield server
    finally:
        server.close()


def mixed(instance: str) -> Iterator[bytes]:
    """A few of everything, for ever, at the rate of a busy worker."""
    histories = mixture()
    for number in itertools.count(1):
        at = NOON + number / WORKER_PER_S
        events = numbered(histories[number % len(histories)], at)
        stream = f"{instance}-{number}"
        frame = Frame(instance=instance, instance_seq=number, stream=stream, recorded_at=at, events=events)
        yield msgspec.json.encode(frame)


def office(instance: str) -> Iterator[bytes]:
    """A day of an office at the rate of a busy worker."""
    count = WORKER_PER_S * 600
    for frame in Traffic(count, NOON, count / WORKER_PER_S / 86_400).frames():
        yield msgspec.json.encode(
            msgspec.structs.replace(frame, instance=f"{instance}-{frame.instance}", texts={})
        )


async def record(url: str, records: Iterable[bytes], seconds: float) -> Cost:
    """Store and count records for a while, as a recorder does."""
    engine = open_engine(url, writer=True)
    log, projector = SqlEventLog(engine), SqlProjector(engine)
    cost = Cost()
    source = iter(records)
    while cost.stored_s + cost.counted_s < seconds:
        batch = list(itertools.islice(source, BATCH_RECORDS))
        begun_at, begun_cpu_s = time.perf_counter(), time.process_time()
        await log.append([read_frame(payload).row for payload in batch])
        stored_at, stored_cpu_s = time.perf_counter(), time.process_time()
        while not (await projector.project()).is_done:
            pass
        cost.stored_s += stored_at - begun_at
        cost.stored_cpu_s += stored_cpu_s - begun_cpu_s
        cost.counted_s += time.perf_counter() - stored_at
        cost.counted_cpu_s += time.process_time() - stored_cpu_s
        cost.frames += len(batch)
    await engine.dispose()
    return cost


async def measure(url: str, sources: Sequence[Iterable[bytes]], seconds: float) -> float:
    """Frames a second of all recorders together, stored; prints what a frame takes."""
    await upgrade(url)
    found = await asyncio.gather(*(record(url, source, seconds) for source in sources))
    frames = sum(cost.frames for cost in found)
    stored_s = sum(cost.stored_s for cost in found) / len(found)
    whole_s = stored_s + sum(cost.counted_s for cost in found) / len(found)
    cpu_s = sum(cost.stored_cpu_s + cost.counted_cpu_s for cost in found) / len(found)
    counted_us = (whole_s - stored_s) / frames * 1e6
    print(
        f"  stored {frames / stored_s:7,.0f}/s; stored and counted {frames / whole_s:7,.0f}/s: a frame takes "
        f"{stored_s / frames * 1e6:.0f} µs + {counted_us:.0f} µs, of which {cpu_s / frames * 1e6:.0f} µs on "
        f"our core: {WORKER_PER_S * cpu_s / frames:.2f} of it for {WORKER_PER_S:,}/s",
        flush=True,
    )
    return frames / stored_s


def fold_alone(records: Iterable[bytes]) -> float:
    """Frames a second that are decoded and counted in all rollups, without any SQL, by processor time."""
    rows = [read_frame(payload).row.events for payload in itertools.islice(records, FOLD_FRAMES)]
    tally = Tally([rollup for rollup, _ in rollups])
    begun_s = time.process_time()
    for row in rows:
        for envelope in decode_events(row):
            tally.add(envelope)
    return len(rows) / (time.process_time() - begun_s)


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promises are kept by one recorder on each engine."""
    turn_s = seconds / 5
    stored: list[float] = []
    folded: list[float] = []
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        server = cleanup.enter_context(postgres())
        for name, records in (("a few of everything", mixed), ("an office's day", office)):
            print(f"{name}, one recorder, SQLite and PostgreSQL:")
            urls = (sqlite_url(folder / f"{records.__name__}.db"), server.new_database())
            stored += [asyncio.run(measure(url, [records("i-1")], turn_s)) for url in urls]
            folded.append(fold_alone(records("i-1")))
            print(f"  the fold alone {folded[-1]:,.0f} frames/s on our core")
        print("a few of everything, three recorders in one process, PostgreSQL:")
        asyncio.run(measure(server.new_database(), [mixed(f"i-{n}") for n in range(3)], turn_s))
    print(f"promised: {STORED_PER_S_PROMISED:,} stored/s, {FOLDED_PER_S_PROMISED:,} folded/s")
    return min(stored) >= STORED_PER_S_PROMISED and min(folded) >= FOLDED_PER_S_PROMISED
