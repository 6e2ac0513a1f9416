"""How much memory cached answers take, and how often the cache in memory has the answer, as promised.

Smaller than the benchmarks of the same names, whose code measures here too.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import zipf
from benchmarks.memory import GROWTH_PROMISED, KEPT_PROMISED, measured
from tests.support.processes import ROOT

MEGABYTE = 1_048_576

CHILD = """
import asyncio, sys
from api.memory_watch import MemoryPolicy, MemoryWatch
from benchmarks.memory import TRUNK
from orchestrator.clock import SystemClock
from orchestrator.ports import CacheEntry
from storage.memory_cache import MemoryCache
from storage.memory_pressure import MemoryPressure, own_bytes

class Facts:
    count = 0
    def record_fact(self, stream, event):
        self.count += 1

async def main():
    before = own_bytes()
    limit = before + 60_000_000
    cache, facts = MemoryCache(200_000_000), Facts()
    policy = MemoryPolicy(look_s=0.01, high_ratio=0.9)
    watch = MemoryWatch(cache, MemoryPressure(limit).look, facts, SystemClock(), policy)
    fields = {"result_count": 1, "provider": "x", "stored_at": 0.0, "fresh_until": 4e9}
    most = 0
    async with watch.watching():
        for number in range(60_000):
            size = 500 + number * 7919 % 15_000
            await cache.put(str(number), CacheEntry(fragment=TRUNK[:size], **fields))
            if number % 20 == 0:
                await asyncio.sleep(0.001)
                most = max(most, own_bytes())
    print(most / limit, cache.bytes_max, len(cache), facts.count)

asyncio.run(main())
"""


def test_a_process_stays_within_its_limit_though_its_cache_is_configured_beyond_it():
    """A cache of 200 MB in a process with room for 60 gives way in time, and keeps what there is room for.

    Memory that is free goes back to the system: otherwise the bound falls to its floor, which is 12.5 MB.
    """
    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=ROOT, check=True, capture_output=True, text=True, timeout=120
    )
    most_ratio, bytes_max, kept, resized = map(float, done.stdout.split())

    assert most_ratio <= 1.0
    assert 20_000_000 < bytes_max < 70_000_000
    assert kept > 1_000
    assert resized >= 1


def test_what_the_cache_says_it_holds_is_what_the_process_takes():
    """Ten times more answers than fit, of all sizes: the bound is used, and memory does not grow beyond it.

    The promise is measured with a million and 256 MB: `./amos bench memory`.
    """
    result = measured(120_000, 48 * MEGABYTE)

    assert result.survivors_ratio >= KEPT_PROMISED
    assert result.growth_ratio <= GROWTH_PROMISED
    assert result.shrunk_ratio < result.growth_ratio


# --- how often it has the answer


@pytest.fixture(autouse=True)
def one_seed(monkeypatch):
    """The benchmark takes the mean of several; one takes seconds."""
    monkeypatch.setattr(zipf, "SEEDS", (11,))


async def test_spelling_does_not_cost_a_credit():
    """Case, blanks and Unicode forms are all one question: without a bound every repetition is a hit."""
    assert await zipf.unbounded() >= zipf.UNBOUNDED_PROMISED


async def test_it_hits_as_often_as_the_best_published_policy():
    """With room for a tenth of the answers; and more often where sizes differ, as answers do."""
    _, of_published = await zipf.bounded("zipf", is_mixed=False)
    _, of_published_mixed = await zipf.bounded("zipf", is_mixed=True)

    assert of_published >= zipf.BOUNDED_PROMISED
    assert of_published_mixed >= 1.0
