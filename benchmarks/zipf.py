"""How often the cache in memory has the answer, beside the best that is possible and the published policies.

Streams of 100,000 calls over 20,000 questions, Zipf(1.0), each call in a spelling of its own: case, blanks,
Unicode forms. Promises: without a bound 0.97 of a cache that never forgets a canonical question; with room
for a tenth of the distinct answers 0.95 of what the clairvoyant has, or of the best published policy. So that
nothing is tuned to one stream, others stand beside it: scanned, drifting, in bursts, and of mixed sizes. Then
the time that a look and a store take.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from statistics import mean

from benchmarks.cache_policies import PUBLISHED, clairvoyant, endless, informed
from orchestrator.canonical import search_key
from orchestrator.model import SearchRequest
from orchestrator.ports import CacheEntry
from storage.memory_cache import OVERHEAD_BYTES, MemoryCache

CALLS = 100_000
QUESTIONS = 20_000
SEEDS = (1, 2, 3)
UNBOUNDED_PROMISED = 0.97
BOUNDED_PROMISED = 0.95
EQUAL_BYTES = 4_000
LOOKS = 200_000
"""Of each measurement of time; a tenth of a second."""

Stream = list[int]


def zipf(seed: int) -> Stream:
    """Questions by popularity, the n-th asked 1/n as often as the first; each call independent."""
    weights = [1 / rank for rank in range(1, QUESTIONS + 1)]
    return random.Random(seed).choices(range(QUESTIONS), weights, k=CALLS)


def scanned(seed: int) -> Stream:
    """The same, but in a quarter of the time most calls are questions that never come again."""
    chance, fresh = random.Random(-seed), iter(range(QUESTIONS, QUESTIONS + CALLS))
    calls = zipf(seed)
    return [
        next(fresh) if at // 5_000 % 4 == 3 and chance.random() < 0.7 else key for at, key in enumerate(calls)
    ]


def drifting(seed: int) -> Stream:
    """Every thousand calls a hundredth of the questions is replaced by new ones, and favourites change."""
    chance, fresh = random.Random(-seed), iter(range(QUESTIONS, QUESTIONS + CALLS))
    names, calls = list(range(QUESTIONS)), zipf(seed)
    drifted = []
    for begin in range(0, CALLS, 1_000):
        for _ in range(QUESTIONS // 100):
            names[chance.randrange(QUESTIONS)] = next(fresh)
        for _ in range(20):
            one, other = chance.randrange(200), chance.randrange(QUESTIONS)
            names[one], names[other] = names[other], names[one]
        drifted += [names[key] for key in calls[begin : begin + 1_000]]
    return drifted


def in_bursts(seed: int) -> Stream:
    """Three of ten calls come again within the next 400, whatever their popularity."""
    chance, again, calls = random.Random(-seed), list[tuple[int, int]](), Stream()
    for at, key in enumerate(zipf(seed)):
        while again and again[0][0] <= at:
            calls.append(heapq.heappop(again)[1])
        calls.append(key)
        if chance.random() < 0.3:
            heapq.heappush(again, (at + chance.randrange(2, 400), key))
    return calls[:CALLS]


STREAMS: dict[str, Callable[[int], Stream]] = {
    "zipf": zipf,
    "scanned": scanned,
    "drifting": drifting,
    "in bursts": in_bursts,
}


def mixed_bytes(key: Hashable) -> int:
    """A size from 200 B to 50 KB, 4 KB in the mean; always the same for a question."""
    return min(50_000, max(200, int(random.Random(hash(key)).lognormvariate(7.7, 1.1))))


def spelled(key: int, chance: random.Random) -> str:
    """The question in one of its spellings."""
    words = ["tide", f"Café №{key}", "ﬁnal", f"Straße {key * 7919 % 1_000}"]
    text = chance.choice(["{} {} {} {}", " {}  {} {}   {}", "{}\t{} {}\u3000{}\n"]).format(*words)
    text = unicodedata.normalize(chance.choice(["NFC", "NFD", "NFKC", "NFKD"]), text)
    return chance.choice([str.lower, str.upper, str.title, str])(text)


def entry(size_bytes: int) -> CacheEntry:
    """An answer of that size."""
    return CacheEntry(
        fragment=bytes(size_bytes), result_count=5, provider="tavily", stored_at=0.0, fresh_until=1e12
    )


async def hit_ratio(stream: Sequence[Hashable], size: Callable[[Hashable], int], room: int) -> float:
    """Of the cache itself; keys are texts as they are there."""
    cache, hits = MemoryCache(room), 0
    for key in stream:
        if await cache.get(str(key)) is not None:
            hits += 1
        else:
            await cache.put(str(key), entry(size(key) - OVERHEAD_BYTES))
    return hits / len(stream)


async def unbounded() -> float:
    """The hits without a bound, as a share of those of a cache that never forgets a question."""
    shares = []
    for seed in SEEDS:
        calls, chance = zipf(seed), random.Random(seed)
        keys = [search_key(SearchRequest(query=spelled(key, chance))) for key in calls]
        found = await hit_ratio(keys, lambda _: EQUAL_BYTES, 1 << 40)
        shares.append(found / endless(calls, mixed_bytes, 0))
    return min(shares)


async def bounded(name: str, *, is_mixed: bool) -> tuple[float, float]:
    """Print how often each policy hits; our share of the clairvoyant's hits, and of the best published's."""
    size = (lambda key: mixed_bytes(key) + OVERHEAD_BYTES) if is_mixed else (lambda _: EQUAL_BYTES)
    rows: dict[str, list[float]] = {}
    for seed in SEEDS:
        stream = STREAMS[name](seed)
        room = sum(map(size, set(stream))) // 10
        others = dict(PUBLISHED) if is_mixed else {"MIN": clairvoyant, "informed": informed, **PUBLISHED}
        for title, policy in others.items():
            rows.setdefault(title, []).append(policy(stream, size, room))
        rows.setdefault("AMOS", []).append(await hit_ratio(stream, size, room))
    found = {title: mean(ratios) for title, ratios in rows.items()}
    best = max(found[title] for title in PUBLISHED)
    sizes = "mixed" if is_mixed else "equal"
    print(f"  {name:10}{sizes:6}" + "".join(f" {title} {ratio:.4f} " for title, ratio in found.items()))
    return found["AMOS"] / found.get("MIN", best), found["AMOS"] / best


async def cost_ns() -> tuple[float, float]:
    """Nanoseconds of a processor that a look which finds takes, and a store that pushes another out."""
    cache, one = MemoryCache(10_000 * EQUAL_BYTES), entry(EQUAL_BYTES - OVERHEAD_BYTES)
    keys = [f"{number:032x}" for number in range(10_000 + LOOKS)]
    for key in keys[:10_000]:
        await cache.put(key, one)
    asked = random.Random(1).choices(keys[:10_000], k=LOOKS)
    begun = time.process_time()
    for key in asked:
        await cache.get(key)
    looked = time.process_time()
    for key in keys[10_000:]:
        await cache.put(key, one)
    return (looked - begun) / LOOKS * 1e9, (time.process_time() - looked) / LOOKS * 1e9


async def measure() -> bool:
    """All of it; whether the promises are kept."""
    share = await unbounded()
    print(f"  without a bound {share:.4f} of a cache that never forgets, promised {UNBOUNDED_PROMISED}")
    kept = share >= UNBOUNDED_PROMISED
    print("  room for a tenth of the answers:")
    for name in STREAMS:
        of_best_possible, of_published = await bounded(name, is_mixed=False)
        _, of_published_mixed = await bounded(name, is_mixed=True)
        kept = kept and max(of_best_possible, of_published) >= BOUNDED_PROMISED
        print(
            f"    of MIN {of_best_possible:.3f}, of the best published {of_published:.3f}, with mixed sizes "
            f"{of_published_mixed:.3f}; promised {BOUNDED_PROMISED} of one of them"
        )
    look_ns, store_ns = await cost_ns()
    print(f"  a look takes {look_ns:.0f} ns, a store that pushes another out {store_ns:.0f} ns")
    return kept


def run(_seconds: float) -> bool:
    """Measure, print, and say whether the promises are kept."""
    return asyncio.run(measure())
