"""How far reports are behind while a worker serves hits at its full rate, and what recording costs it.

The worker has one core; the recorder, which stores and counts for the reports, shares the other one with the
load, as two cores allow it. Twenty times a second it is looked up how old the newest frame is up to which all
reports have counted. In every second turn the recorder is stopped (SIGSTOP), so that the worker runs alone.
Promises: the 99th percentile of the lag is at most 2 s, and the worker answers at least 0.95 of what it
answers alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time

import httpx
import msgspec

from benchmarks.hit import QUERY
from benchmarks.load import Tally, closed_loop, post
from benchmarks.servers import OTHER_CORE, Amos, amos, cpu_s, pin, tavily
from benchmarks.turns import CONNECTIONS

TURN_S = 5.0
SAMPLE_S = 0.05
LAG_S_PROMISED = 2.0
RATIO_PROMISED = 0.95
DRAINED_S = 60.0
"""A recorder that needs longer for what a turn has left behind is broken."""

COUNTED = (
    "SELECT recorded_at FROM frames WHERE position = (SELECT MIN(position) FROM checkpoints"
    " WHERE generation = (SELECT generation FROM projection_state))"
)


class Result(msgspec.Struct):
    """What was measured: lags in seconds, hits and seconds of both kinds of turns, the recorder's share."""

    lags_s: list[float] = []
    beside: int = 0
    beside_s: float = 0.0
    alone: int = 0
    alone_s: float = 0.0
    recorder_s: float = 0.0


async def measure(seconds: float) -> Result:
    """All turns, one after the other."""
    pin(os.getpid(), OTHER_CORE)
    result = Result()
    with tavily(delay_ms=0) as settings, amos(settings) as ours:
        httpx.post(f"http://127.0.0.1:{ours.port}/search", content=QUERY)
        for _ in range(max(1, round(seconds / TURN_S / 2))):
            await _beside(ours, result)
            await _alone(ours, result)
    return result


async def _beside(ours: Amos, result: Result) -> None:
    before_s = cpu_s(ours.recorder_pid)
    sampling = asyncio.create_task(_sample(ours, result.lags_s))
    tally = await _load(ours)
    sampling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sampling
    result.recorder_s += cpu_s(ours.recorder_pid) - before_s
    result.beside += tally.count
    result.beside_s += tally.seconds


async def _alone(ours: Amos, result: Result) -> None:
    os.kill(ours.recorder_pid, signal.SIGSTOP)
    try:
        tally = await _load(ours)
    finally:
        os.kill(ours.recorder_pid, signal.SIGCONT)
    result.alone += tally.count
    result.alone_s += tally.seconds
    deadline = time.monotonic() + DRAINED_S
    ended_at = time.time()
    # The next turn begins when what this one has left is counted: a look at the journal tells nothing new.
    before = -1
    while (stored := ours.stored_frames()) != before or _lag_s(ours) > time.time() - ended_at + 1.0:
        assert time.monotonic() < deadline, "the recorder does not catch up"
        before = stored
        await asyncio.sleep(0.5)


async def _load(ours: Amos) -> Tally:
    request = post("/search", QUERY, ours.port)
    tally = await closed_loop(ours.port, CONNECTIONS, TURN_S, lambda: (request, "hit"))
    assert not tally.errors, f"{tally.errors} errors"
    return tally


async def _sample(ours: Amos, lags_s: list[float]) -> None:
    await asyncio.sleep(1.0)  # until then the newest frame is that of the turn before
    while True:
        lags_s.append(_lag_s(ours))
        await asyncio.sleep(SAMPLE_S)


def _lag_s(ours: Amos) -> float:
    """How old the newest frame is up to which everything is counted."""
    with contextlib.closing(sqlite3.connect(f"file:{ours.data_dir / 'amos.db'}?mode=ro", uri=True)) as db:
        row = db.execute(COUNTED).fetchone()
    return time.time() - float(row[0]) if row else 0.0


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promises are kept."""
    result = asyncio.run(measure(seconds))
    lags_s = sorted(result.lags_s)
    p50_s, p99_s = (lags_s[min(int(share * len(lags_s)), len(lags_s) - 1)] for share in (0.5, 0.99))
    beside_per_s, alone_per_s = result.beside / result.beside_s, result.alone / result.alone_s
    ratio = beside_per_s / alone_per_s
    print(f"{beside_per_s:,.0f} hits/s while they are recorded and counted, {alone_per_s:,.0f} while not")
    print(f"  ratio {ratio:.3f}, promised {RATIO_PROMISED}")
    print(
        f"  lag p50 {p50_s:.2f} s, p99 {p99_s:.2f} s, worst {lags_s[-1]:.2f} s; promised {LAG_S_PROMISED:.0f}"
    )
    print(f"  the recorder took {result.recorder_s / result.beside_s:.2f} of a core")
    return p99_s <= LAG_S_PROMISED and ratio >= RATIO_PROMISED
