"""Cache tiers that can be put out of reach, entries that grow old in them, and stages behind them."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.errors import AllProvidersFailed, CacheUnavailable
from orchestrator.events import Cost
from orchestrator.model import Attempt, CacheControl, Call, Response, SearchRequest
from orchestrator.ports import CacheEntry, Clock
from storage.memory_cache import MemoryCache
from tests.support.calls import make_call

KEY = "k" * 32
CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
FRESH_S = 60.0
FETCHED = Response(fragment=b"new", result_count=1, provider="jina", ttl_s=60.0)
FLOOR = Response(fragment=b"floor", result_count=1, provider="local", is_degraded=True)
TRIED = (Attempt(provider="tavily", outcome="final", reason="http_500", duration_s=0.1),)
DOWN = AllProvidersFailed("Down.", attempts=TRIED)


class Tier(MemoryCache):
    """A real cache in memory that can be put out of reach."""

    def __init__(self, tier: str) -> None:
        super().__init__(1_000_000)
        self.tier = tier
        self.is_gone = False

    async def get(self, key: str) -> CacheEntry | None:
        """As a cache does, while it can."""
        self._check()
        return await super().get(key)

    async def put(self, key: str, entry: CacheEntry) -> bool:
        """As a cache does, while it can."""
        self._check()
        return await super().put(key, entry)

    def _check(self) -> None:
        if self.is_gone:
            raise CacheUnavailable("Gone.")


class Inner:
    """Inner stages that give or raise the same each time, after a while; `calls` came in."""

    def __init__(self, outcome: Response | Exception = FETCHED, delay_s: float = 1.0) -> None:
        self.outcome = outcome
        self.delay_s = delay_s
        self.calls: list[Call[SearchRequest]] = []

    async def __call__(self, call: Call[SearchRequest]) -> Response:
        """The outcome."""
        self.calls.append(call)
        await asyncio.sleep(self.delay_s)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def call_with(clock: Clock, **control: Any) -> Call[SearchRequest]:
    """A call that wants this of the cache."""
    return make_call(SearchRequest(query="tides"), clock=clock, cache_control=CacheControl(**control))


def entry(
    clock: Clock, *, fresh_s: float = FRESH_S, stale_s: float | None = None, **fields: Any
) -> CacheEntry:
    """An entry like any other, stored now; without `stale_s` it is of no use beyond its freshness."""
    if stale_s is not None:
        fields["stale_until"] = clock.now() + fresh_s + stale_s
    return CacheEntry(
        **{
            "fragment": b'"results":[]',
            "result_count": 3,
            "provider": "tavily",
            "stored_at": clock.now(),
            "fresh_until": clock.now() + fresh_s,
            "cost": CREDIT,
            **fields,
        }
    )


async def aged(tier: Tier, clock: Clock, past_s: float, **fields: Any) -> None:
    """Have the tier hold an entry that has been stale for `past_s`."""
    await tier.put(KEY, entry(clock, **{"stale_s": 1_000.0, **fields}))
    await asyncio.sleep(FRESH_S + past_s)
