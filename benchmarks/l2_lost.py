"""What a Redis that dies or stops costs: nothing for hits in memory, 50 ms once for misses, then nothing.

Hits in memory are counted with Redis and without it, in turns. Misses are asked one after the other, of a
provider that answers at once; the moment Redis is gone is between two of them. Promise: 0.9 of the hits, one
miss that takes up to 50 ms longer and what the event loop needs for some turns, and no other that takes
longer than the slowest of those with Redis, with one in fifty forgiven to the machine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import msgspec

from benchmarks.hit import QUERY, TURN_S
from benchmarks.load import Request, closed_loop, post
from benchmarks.servers import OTHER_CORE, amos, pin, tavily, valkey
from benchmarks.turns import CONNECTIONS
from tests.support.valkey import Valkey

HITS_RATIO_PROMISED = 0.9

MISSES = 200

LOST_MS_PROMISED = 50.0

TURNS_MS = 10.0
"""chosen: what the turns of the event loop may take that follow when the 50 ms are over (redis_deadline)."""

FORGIVEN_RATIO = 0.02
"""chosen: misses that may be slow because the machine was busy elsewhere."""

BACK_S = 10.0
"""Redis that is not found again for so long never will be."""


class Result(msgspec.Struct):
    """One way to lose Redis: hits a second with it and without, misses in milliseconds likewise."""

    hits: list[float] = []
    lost_hits: list[float] = []
    misses: list[float] = []
    lost_misses: list[float] = []


def misses(port: int, bodies: Iterator[bytes]) -> list[float]:
    """The milliseconds each of so many misses takes, one after the other."""
    took = []
    with httpx.Client(trust_env=False) as client:
        for body in itertools.islice(bodies, MISSES):
            begun = time.perf_counter()
            answer = client.post(f"http://127.0.0.1:{port}/search", content=body)
            took.append(1_000 * (time.perf_counter() - begun))
            assert answer.json()["amos"]["cache"] == "miss", answer.text
    return took


async def hits(port: int) -> float:
    """Hits in memory a second, for one turn."""
    request = partial(_same, post("/search", QUERY, port))
    tally = await closed_loop(port, CONNECTIONS, TURN_S, request)
    assert not tally.errors, f"{tally.errors} errors"
    return tally.per_s


def _same(request: Request) -> tuple[Request, str]:
    return request, "l1"


async def in_reach(port: int) -> None:
    """Wait until Redis is in reach of AMOS."""
    async with asyncio.timeout(BACK_S), httpx.AsyncClient(trust_env=False) as client:
        while True:
            found = (await client.get(f"http://127.0.0.1:{port}/health")).json()["components"]
            if next(one["status"] for one in found if one["name"] == "cache:l2") == "ok":
                return
            await asyncio.sleep(0.1)


async def measure(seconds: float) -> dict[str, Result]:
    """What was seen, by what became of Redis."""
    pin(os.getpid(), OTHER_CORE)
    results = {"killed": Result(), "stopped": Result()}
    bodies = (json.dumps({"query": f"question {number}"}).encode() for number in itertools.count())
    with (
        tavily(delay_ms=0) as settings,
        valkey() as server,
        amos({**settings, "AMOS_REDIS_URL": server.url}) as ours,
    ):
        httpx.post(f"http://127.0.0.1:{ours.port}/search", content=QUERY)
        lose: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "killed": (server.kill, partial(_launch, server)),
            "stopped": (server.pause, server.resume),
        }
        for _ in range(max(1, round(seconds / (4 * TURN_S)))):
            for how, result in results.items():
                await in_reach(ours.port)
                result.hits.append(await hits(ours.port))
                result.misses += await asyncio.to_thread(misses, ours.port, bodies)
                lose[how][0]()
                result.lost_misses += await asyncio.to_thread(misses, ours.port, bodies)
                result.lost_hits.append(await hits(ours.port))
                lose[how][1]()
    return results


def _launch(server: Valkey) -> None:
    server.launch()
    pin(server.pid, OTHER_CORE)


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promise is kept."""
    is_kept = True
    for how, result in asyncio.run(measure(seconds)).items():
        ratio = statistics.fmean(result.lost_hits) / statistics.fmean(result.hits)
        rounds = len(result.hits)
        first = [result.lost_misses[number * MISSES] for number in range(rounds)]
        others = [took for number, took in enumerate(result.lost_misses) if number % MISSES]
        median_ms = statistics.median(result.misses)
        lost_ms = max(first) - median_ms
        slow = sum(took > max(result.misses) for took in others)
        print(
            f"Redis {how}, {rounds} times:\n"
            f"  hits in memory {statistics.fmean(result.lost_hits):6.0f}/s, {ratio:.3f} of those before; "
            f"promised: {HITS_RATIO_PROMISED}\n"
            f"  misses, median and slowest: {median_ms:.1f} and {max(result.misses):.1f} ms before; the\n"
            f"  first without Redis {max(first):.1f} ms at most, then {statistics.median(others):.1f} and "
            f"{max(others):.1f} ms, {slow} of {len(others)} above the slowest before\n"
            f"  the first lost {lost_ms:.1f} ms; promised: {LOST_MS_PROMISED:.0f} and {TURNS_MS:.0f} of turns"
        )
        is_kept &= ratio >= HITS_RATIO_PROMISED and lost_ms <= LOST_MS_PROMISED + TURNS_MS
        is_kept &= slow <= FORGIVEN_RATIO * len(others)
    return is_kept
