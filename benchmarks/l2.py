"""A hit in the shared tier beside a hit in memory, on the same server and core.

One AMOS answers from its memory, another has none (AMOS_L1_MAX_BYTES=0) and asks Redis for every answer. They
take turns every few seconds, with many callers and with one. Promise: hits in Redis at half the rate of hits
in memory, or more; and for one caller 1.5 ms more at the median.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections import Counter
from functools import partial

import httpx

from benchmarks.hit import QUERY, TURN_S, Result
from benchmarks.load import Answer, Request, closed_loop, post
from benchmarks.servers import OTHER_CORE, amos, pin, tavily, valkey
from benchmarks.turns import CONNECTIONS

RATIO_PROMISED = 0.5

ADDED_MS_PROMISED = 1.5

ALONE_S = 1.0
"""chosen: a thousand answers for one caller."""

MISSES_RATIO_MAX = 0.01
"""With more of them it is not hits that are measured."""


async def measure(seconds: float) -> tuple[dict[str, Result], dict[str, list[float]]]:
    """The results by tier; and the latencies one caller has, in seconds, likewise."""
    pin(os.getpid(), OTHER_CORE)
    with (
        tavily(delay_ms=0) as settings,
        valkey() as redis,
        amos({**settings, "AMOS_REDIS_URL": redis.url}) as memory,
        amos({**settings, "AMOS_REDIS_URL": redis.url, "AMOS_L1_MAX_BYTES": "0"}) as shared,
    ):
        results = {"l1": Result(memory.port), "l2": Result(shared.port)}
        for tier, result in results.items():
            for _ in range(3):
                answer = httpx.post(f"http://127.0.0.1:{result.port}/search", content=QUERY)
            assert answer.json()["amos"]["cache"] == tier, answer.text
        missed: Counter[str] = Counter()
        alone_s: dict[str, list[float]] = {tier: [] for tier in results}

        def answered(answer: Answer) -> None:
            missed[answer.kind] += f"amos-{answer.kind}; hit".encode() not in answer.head

        print(f"answer of {len(answer.content)} bytes")
        for turn in range(round(seconds / TURN_S)):
            for tier in list(results)[:: 1 if turn % 2 else -1]:
                result = results[tier]
                request = partial(_same, post("/search", QUERY, result.port), tier)
                tally = await closed_loop(result.port, CONNECTIONS, TURN_S, request, answered)
                assert not tally.errors, f"{tally.errors} errors at {tier}"
                result.count += tally.count
                result.seconds += tally.seconds
                alone = await closed_loop(result.port, 1, ALONE_S, request, answered)
                alone_s[tier] += alone.latencies_s[tier]
        print(f"misses, because Redis was late: {missed['l2']}")
        assert missed["l2"] <= results["l2"].count * MISSES_RATIO_MAX, "these were no hits"
    return results, alone_s


def _same(request: Request, tier: str) -> tuple[Request, str]:
    return request, tier


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promise is kept."""
    results, alone_s = asyncio.run(measure(seconds))
    memory, shared = results["l1"].per_s, results["l2"].per_s
    print(f"{CONNECTIONS} connections, {seconds:.0f} s each in turns of {TURN_S:.0f} s")
    print(f"  hit in memory   {memory:6.0f} req/s")
    print(f"  hit in Redis    {shared:6.0f} req/s   {shared / memory:.3f} of it")
    print(f"  a hit in Redis costs {1e6 / shared - 1e6 / memory:.0f} µs more; promised: {RATIO_PROMISED}")
    l1_ms, l2_ms = (1_000 * statistics.median(alone_s[tier]) for tier in ("l1", "l2"))
    print(
        f"  one caller: {l1_ms:.2f} ms in memory, {l2_ms:.2f} ms in Redis at the median, {l2_ms - l1_ms:.2f} "
        f"more; promised: {ADDED_MS_PROMISED}"
    )
    return shared / memory >= RATIO_PROMISED and l2_ms - l1_ms <= ADDED_MS_PROMISED
