"""A cached hit beside a bare Starlette route that returns the same bytes, on the same server and core.

They take turns every few seconds, so that what the neighbours do to one they do to the others. Everything is
recorded, the recorder runs. Promise: at least 0.85 of the rate of the route that returns the same bytes, and
a journal that does not fall behind. A route that returns the same body, but none of our headers, is measured
too: the difference is what the server software takes for them.
"""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial

import httpx
import msgspec

from benchmarks.load import closed_loop, post
from benchmarks.servers import OTHER_CORE, Amos, amos, bare, cpu_s, pin, tavily
from benchmarks.turns import CONNECTIONS, same

TURN_S = 3.0
RATIO_PROMISED = 0.85

LAG_S_MAX = 0.3
"""The recorder looks every tenth of a second: so much traffic is always on its way. A recorder that cannot
keep up falls behind by more within one turn."""

QUERY = json.dumps({"query": "how do circuit breakers recover", "max_results": 5}).encode()

OF_THE_SERVER = {"date", "server", "connection"}
"""Headers that Hypercorn adds by itself."""


class Result(msgspec.Struct):
    """What was counted at one server. `lags` are frames not yet in SQL at the end of each turn."""

    port: int
    count: int = 0
    seconds: float = 0.0
    lags: list[int] = []

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.count / self.seconds


async def measure(seconds: float) -> tuple[dict[str, Result], float]:
    """The results by server, and the CPU that AMOS's worker took per hit, in milliseconds."""
    pin(os.getpid(), OTHER_CORE)
    with tavily(delay_ms=0) as settings, amos(settings) as ours:
        httpx.post(f"http://127.0.0.1:{ours.port}/search", content=QUERY)
        hit = httpx.post(f"http://127.0.0.1:{ours.port}/search", content=QUERY)
        assert hit.json()["amos"]["cache"] == "l1", hit.text
        headers = {name: value for name, value in hit.headers.items() if name not in OF_THE_SERVER}
        body_only = {"content-type": "application/json"}
        with bare(headers, hit.content) as same_port, bare(body_only, hit.content) as body_port:
            results = {
                "amos": Result(ours.port),
                "same bytes": Result(same_port),
                "same body": Result(body_port),
            }
            cpu_ms = await _take_turns(ours, results, seconds)
        print(f"answer of {len(hit.content)} bytes and {len(hit.headers)} headers")
    return results, cpu_ms


async def _take_turns(ours: Amos, results: dict[str, Result], seconds: float) -> float:
    before = await _settled(ours)
    begun_s = cpu_s(ours.worker_pid)
    names = list(results)
    for turn in range(round(seconds / TURN_S)):
        for name in names[turn % 3 :] + names[: turn % 3]:
            result = results[name]
            request = partial(same, post("/search", QUERY, result.port))
            tally = await closed_loop(result.port, CONNECTIONS, TURN_S, request)
            assert not tally.errors, f"{tally.errors} errors at {name}"
            result.count += tally.count
            result.seconds += tally.seconds
            if name == "amos":
                result.lags.append(result.count - (ours.stored_frames() - before))
    return 1000 * (cpu_s(ours.worker_pid) - begun_s) / results["amos"].count


async def _settled(ours: Amos) -> int:
    """Frames in SQL once the recorder has caught up."""
    stored = -1
    while stored != (stored := ours.stored_frames()):
        await asyncio.sleep(1.0)
    return stored


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promise is kept."""
    results, cpu_ms = asyncio.run(measure(seconds))
    ours, same = results["amos"], results["same bytes"]
    print(f"{CONNECTIONS} connections, {seconds:.0f} s each in turns of {TURN_S:.0f} s")
    print(f"  {ours.count} hits were answered and recorded")
    print(f"  AMOS, cached hit, recorded           {ours.per_s:6.0f} req/s   {cpu_ms:.3f} ms CPU each")
    for name in ("same bytes", "same body"):
        rate = results[name].per_s
        print(
            f"  bare Starlette route, {name:<13}  {rate:6.0f} req/s   AMOS is {ours.per_s / rate:.3f} of it"
        )
    print(f"  promised: {RATIO_PROMISED} of the same bytes")
    print(f"  frames not yet in SQL at the end of each turn: {', '.join(map(str, ours.lags))}")
    return ours.per_s / same.per_s >= RATIO_PROMISED and max(ours.lags) <= ours.per_s * LAG_S_MAX
