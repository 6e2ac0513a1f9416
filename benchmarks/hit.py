"""A cached hit beside a bare Starlette route that returns the same bytes, on the same server and core.

The two take turns every few seconds, so that what the neighbours do to one they do to the other. Everything
is recorded, the recorder runs. Promise: at least 0.85 of the bare rate, and a journal that is no further
behind at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from functools import partial
from pathlib import Path

import httpx

from benchmarks.load import Request, Tally, closed_loop, post
from benchmarks.servers import OTHER_CORE, Amos, amos, bare, pin, tavily

CONNECTIONS = 64
TURN_S = 5.0
RATIO_PROMISED = 0.85

LAG_S_MAX = 0.3
"""The recorder looks every tenth of a second: so much traffic is always on its way. A recorder that cannot
keep up falls behind by more within one turn."""

QUERY = json.dumps({"query": "how do circuit breakers recover", "max_results": 5}).encode()


async def measure(seconds: float) -> tuple[float, float, float, list[int]]:
    """AMOS's and the bare server's rates, AMOS's CPU per request (ms), the journal's lag after each turn."""
    pin(os.getpid(), OTHER_CORE)
    with tavily(delay_ms=0) as settings, amos(settings) as ours:
        httpx.post(f"http://127.0.0.1:{ours.port}/search", content=QUERY)
        hit = httpx.post(f"http://127.0.0.1:{ours.port}/search", content=QUERY)
        assert hit.json()["amos"]["cache"] == "l1", hit.text
        with bare(hit.content) as bare_port:
            tallies = {"amos": Tally(), "bare": Tally()}
            lags: list[int] = []
            answered = 0
            before = await _settled(ours)
            cpu = _cpu_s(ours.worker_pid)
            for turn in range(int(seconds / TURN_S)):
                for name, port in (("amos", ours.port), ("bare", bare_port))[:: 1 if turn % 2 else -1]:
                    tally = await closed_loop(
                        port, CONNECTIONS, TURN_S, partial(_same, post("/search", QUERY, port))
                    )
                    assert not tally.errors, f"{tally.errors} errors at {name}"
                    tallies[name].seconds += tally.seconds
                    tallies[name].latencies_s.setdefault("hit", []).extend(tally.latencies_s["hit"])
                    if name == "amos":
                        answered += tally.count
                        lags.append(answered - (ours.stored_frames() - before))
            cpu_ms = 1000 * (_cpu_s(ours.worker_pid) - cpu) / answered
            print(f"answer of {len(hit.content)} bytes; {answered} hits answered and recorded")
            return tallies["amos"].per_s, tallies["bare"].per_s, cpu_ms, lags


def _same(request: Request) -> tuple[Request, str]:
    return request, "hit"


async def _settled(ours: Amos) -> int:
    """Frames in SQL once the recorder has caught up."""
    stored = -1
    while stored != (stored := ours.stored_frames()):
        await asyncio.sleep(1.0)
    return stored


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promise is kept."""
    begun = time.perf_counter()
    ours, theirs, cpu_ms, lags = asyncio.run(measure(seconds))
    ratio = ours / theirs
    took_s = time.perf_counter() - begun
    print(
        f"{CONNECTIONS} connections, {seconds:.0f} s each in turns of {TURN_S:.0f} s, {took_s:.0f} s in all"
    )
    print(f"  bare Starlette on Hypercorn  {theirs:8.0f} req/s")
    print(f"  AMOS, cached hit, recorded   {ours:8.0f} req/s   {cpu_ms:.3f} ms CPU of the worker each")
    print(f"  ratio {ratio:.3f}, promised {RATIO_PROMISED}")
    print(f"  frames not yet in SQL at the end of each turn: {', '.join(map(str, lags))}")
    return ratio >= RATIO_PROMISED and max(lags) <= ours * LAG_S_MAX
