"""A miss beside a bare server that only hands the call on to the provider, on the same core.

Every query is a new one. AMOS and the bare server take turns every few seconds, first at a provider that
answers at once, which shows what each spends, then at one that takes 50 ms. Promises: at least 0.7 of the
rate of the bare server, and 600 misses a second for each core. A core that is shared with others has less
than a second a second to give, so both are counted by the processor time of the worker.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Iterator

import msgspec

from benchmarks.load import Request, closed_loop, post
from benchmarks.servers import OTHER_CORE, amos, cpu_s, passthrough, pin, tavily

CONNECTIONS = 64
TURN_S = 3.0
WARM_S = 1.0
RATIO_PROMISED = 0.7
PER_S_PROMISED = 600.0

SLOW_MS = 50.0
"""What the second provider takes for an answer, in milliseconds."""


class Result(msgspec.Struct):
    """What was counted at one server in all its turns. `cpu_s` is the processor time of its process."""

    port: int
    pid: int
    count: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies_s: list[float] = []

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.count / self.seconds

    @property
    def per_cpu_s(self) -> float:
        """Answers for each second of its processor."""
        return self.count / self.cpu_s

    def quantile_ms(self, q: float) -> float:
        """A quantile of the latency in milliseconds."""
        return 1000 * sorted(self.latencies_s)[int(q * len(self.latencies_s))]


async def measure(seconds: float, delay_ms: float) -> dict[str, Result]:
    """The results by server, at a provider that takes `delay_ms`."""
    pin(os.getpid(), OTHER_CORE)
    with (
        tavily(delay_ms=delay_ms) as settings,
        amos(settings) as ours,
        passthrough(settings["AMOS_TAVILY_BASE_URL"] + "/search") as peer,
    ):
        results = {"amos": Result(ours.port, ours.worker_pid), "passthrough": Result(peer.port, peer.pid)}
        numbers = itertools.count()
        for result in results.values():
            await closed_loop(result.port, CONNECTIONS, WARM_S, _questions(numbers, result.port))
        for turn in range(round(seconds / TURN_S)):
            for name in list(results)[:: 1 if turn % 2 else -1]:
                await _turn(results[name], _questions(numbers, results[name].port))
    return results


async def _turn(result: Result, questions: Callable[[], tuple[Request, str]]) -> None:
    before_s = cpu_s(result.pid)
    tally = await closed_loop(result.port, CONNECTIONS, TURN_S, questions)
    assert not tally.errors, f"{tally.errors} errors"
    result.count += tally.count
    result.seconds += tally.seconds
    result.cpu_s += cpu_s(result.pid) - before_s
    result.latencies_s += tally.latencies_s["miss"]


def _questions(numbers: Iterator[int], port: int) -> Callable[[], tuple[Request, str]]:
    def question() -> tuple[Request, str]:
        body = {"query": f"how do circuit breakers recover, part {next(numbers)}", "max_results": 5}
        return post("/search", json.dumps(body).encode(), port), "miss"

    return question


def run(seconds: float) -> bool:
    """Measure, print, and say whether the promises are kept."""
    print(f"{CONNECTIONS} connections, {seconds:.0f} s each in turns of {TURN_S:.0f} s; per provider:")
    at_once = _shown(asyncio.run(measure(seconds, 0.0)), "answers at once")
    slow = _shown(asyncio.run(measure(seconds, SLOW_MS)), f"takes {SLOW_MS:.0f} ms")
    ratio = at_once["amos"].per_cpu_s / at_once["passthrough"].per_cpu_s
    print(f"  AMOS does {ratio:.3f} of it for a second of processor; promised: {RATIO_PROMISED}")
    print(f"  promised: {PER_S_PROMISED:.0f} misses a second for each core")
    return ratio >= RATIO_PROMISED and slow["amos"].per_cpu_s >= PER_S_PROMISED


def _shown(results: dict[str, Result], how: str) -> dict[str, Result]:
    print(f"  a provider that {how}")
    for name, result in results.items():
        print(
            f"    {name:<12} {result.per_s:6.0f} req/s {result.per_cpu_s:6.0f} req/CPU-s"
            f"   p50 {result.quantile_ms(0.5):5.1f} ms, p99 {result.quantile_ms(0.99):5.1f} ms"
        )
    return results
