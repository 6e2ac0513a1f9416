"""Keeps what was fetched, and encodes it, once for all who get it.

It stands inside the flight, so that an answer everybody stopped waiting for is kept too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Generic

from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import CacheUnavailable
from orchestrator.events import ResultCached
from orchestrator.model import Call, Found, Page, RequestT, Response, SearchAnswer, encode_fragment
from orchestrator.ports import Cache, CacheEntry, Clock
from orchestrator.service import Service


class CacheFillStage(Generic[RequestT]):
    """Turns what a provider found into a Response and keeps it in every tier. Followers share its result."""

    def __init__(
        self,
        tiers: Sequence[Cache],
        clock: Clock,
        policy: CachePolicy,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._tiers = tuple(tiers)
        self._clock = clock
        self._policy = policy
        self._chance = chance

    async def __call__(
        self,
        call: Call[RequestT],
        service: Service[RequestT, Found[SearchAnswer]] | Service[RequestT, Found[Page]],
    ) -> Response:
        """The answer of the inner stages, encoded."""
        found: Found[SearchAnswer] | Found[Page] = await service(call)
        now = self._clock.now()
        ttl_s = self._jittered(self._policy.fresh_s(getattr(call.request, "category", ""), found))
        stale_s = self._policy.stale_s(found)
        entry = CacheEntry(
            fragment=encode_fragment(found.answer),
            result_count=found.answer.count,
            provider=found.provider,
            stored_at=now,
            fresh_until=now + ttl_s,
            stale_until=now + ttl_s + stale_s if stale_s > 0 else 0.0,
            cost=found.cost,
            is_fallback=found.is_fallback,
            unsupported=found.unsupported,
        )
        if ttl_s > 0 and not call.caller.cache_control.no_store:
            await self._keep(call, entry, ttl_s)
        return Response(
            fragment=entry.fragment,
            result_count=entry.result_count,
            provider=entry.provider,
            ttl_s=ttl_s,
            is_degraded=found.is_degraded,
            is_fallback=found.is_fallback,
            cost=found.cost,
            attempts=found.attempts,
            unsupported=found.unsupported,
        )

    async def _keep(self, call: Call[RequestT], entry: CacheEntry, ttl_s: float) -> None:
        kept = []
        for cache in self._tiers:
            try:
                if await cache.put(call.cache_key, entry):
                    kept.append(cache.tier)
            except CacheUnavailable:
                continue
        if kept:
            size_bytes = len(entry.fragment)
            call.trail.record(
                ResultCached(key=call.cache_key, tiers=tuple(kept), ttl_s=ttl_s, size_bytes=size_bytes)
            )

    def _jittered(self, ttl_s: float) -> float:
        return ttl_s * (1.0 + self._policy.jitter_ratio * (2.0 * self._chance() - 1.0))
