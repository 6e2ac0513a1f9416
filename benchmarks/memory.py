"""A million answers through the bounded cache in memory: what of them stays, and what the process takes.

Answers of 200 B to 50 KB, about 4 KB in the mean, in a process of its own. Promises: the survivors' bytes are
at least 0.8 of the bound, and the process has grown by at most 1.3 of it. Then the bound is lowered to a
quarter, as under memory pressure: how long that takes, and how much of it the system gets back.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
import sys
import time

import msgspec

from orchestrator.events import Cost
from orchestrator.ports import CacheEntry
from storage.memory_cache import MemoryCache
from storage.memory_pressure import give_back, own_bytes

ANSWERS = 1_000_000
BOUND_BYTES = 268_435_456
KEPT_PROMISED = 0.8
GROWTH_PROMISED = 1.3
TRUNK = random.Random(1).randbytes(50_000)
"""What answers are cut from: making random bytes would take longer than storing them."""


class Result(msgspec.Struct):
    """What was measured; ratios are shares of the bound. `shrunk_ratio` after lowering it to a quarter."""

    answers: int
    survivors: int
    mean_bytes: float
    survivors_ratio: float
    growth_ratio: float
    shrunk_ratio: float
    shrinking_s: float
    longest_turn_s: float


async def push(answers: int, bound_bytes: int) -> Result:
    """Push so many answers through a cache in this process."""
    cache, chance = MemoryCache(bound_bytes), random.Random(7)
    before = own_bytes() or 0
    pushed_bytes = 0
    for number in range(answers):
        answer = _answer(number, chance)
        pushed_bytes += len(answer.fragment)
        await cache.put(_key(number), answer)
    grown = (own_bytes() or 0) - before
    kept = [found for number in range(answers) if (found := await cache.get(_key(number))) is not None]
    survivors, kept_bytes = len(kept), sum(len(found.fragment) for found in kept)
    del kept, answer
    begun = time.perf_counter()
    longest_turn_s = await _shrink(cache, bound_bytes // 4)
    shrinking_s = time.perf_counter() - begun
    give_back()
    return Result(
        answers=answers,
        survivors=survivors,
        mean_bytes=pushed_bytes / answers,
        survivors_ratio=kept_bytes / bound_bytes,
        growth_ratio=grown / bound_bytes,
        shrunk_ratio=((own_bytes() or 0) - before) / bound_bytes,
        shrinking_s=shrinking_s,
        longest_turn_s=longest_turn_s,
    )


async def _shrink(cache: MemoryCache, bytes_max: int) -> float:
    """Lower the bound; the longest that anything else on the loop waited for its turn meanwhile."""
    shrinking = asyncio.create_task(cache.resize(bytes_max))
    longest_s = 0.0
    while not shrinking.done():
        begun = time.thread_time()  # of this thread: on a busy machine others have their turns too
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.thread_time() - begun)
    return longest_s


def _key(number: int) -> str:
    return hashlib.blake2b(number.to_bytes(8), digest_size=16).hexdigest()


def _answer(number: int, chance: random.Random) -> CacheEntry:
    """An answer with fields of its own, as a decoded one has them; nothing is shared but the unit's name."""
    size_bytes = min(50_000, max(200, int(chance.lognormvariate(7.7, 1.1))))
    return CacheEntry(
        fragment=TRUNK[:size_bytes],
        result_count=5,
        provider="tavily",
        stored_at=float(number),
        fresh_until=4e9 + number,
        cost=Cost(amount=1.0, unit="credits", usd_micros=8_000 + number),
    )


def measured(answers: int, bound_bytes: int) -> Result:
    """The same in a process of its own, whose memory is nobody else's."""
    command = [sys.executable, "-m", "benchmarks.memory", str(answers), str(bound_bytes)]
    out = subprocess.run(command, check=True, capture_output=True).stdout
    return msgspec.json.decode(out, type=Result)


def run(_seconds: float) -> bool:
    """Measure, print, and say whether the promises are kept."""
    result = measured(ANSWERS, BOUND_BYTES)
    print(f"{result.answers:,} answers of {result.mean_bytes:,.0f} B in the mean through {BOUND_BYTES:,} B")
    expected = result.survivors * result.mean_bytes / BOUND_BYTES
    print(
        f"  survivors {result.survivors:,}: their bytes are {result.survivors_ratio:.2f} of the bound, "
        f"promised >= {KEPT_PROMISED}; times the mean size {expected:.2f}"
    )
    print(f"  the process grew by {result.growth_ratio:.2f} of the bound, promised <= {GROWTH_PROMISED}")
    print(
        f"  lowered to a quarter in {result.shrinking_s:.2f} s, {result.longest_turn_s * 1e3:.1f} ms at most "
        f"at a time; then the process is {result.shrunk_ratio:.2f} of the bound larger than at the start"
    )
    return result.survivors_ratio >= KEPT_PROMISED and result.growth_ratio <= GROWTH_PROMISED


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(push(int(sys.argv[1]), int(sys.argv[2])))))
