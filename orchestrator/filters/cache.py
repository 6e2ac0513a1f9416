"""Answers at rest: looked up before anything costs, filled by the one call that fetched.

Two stages of one idea. `CacheFilter` stands outside single-flight, so that a hit never queues.
`CacheFillStage` stands inside it, in the detached flight, so that an answer everybody stopped waiting for is
still kept; it also encodes the answer, once for all who get it. A tier that is out of reach is a recorded
miss, never an error and never a wait.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Generic

import msgspec

from orchestrator.errors import CacheUnavailable, NotInCache
from orchestrator.events import (
    FREE,
    CacheHit,
    CacheMissed,
    ResultCached,
)
from orchestrator.model import (
    Call,
    Found,
    Page,
    RequestT,
    Response,
    SearchAnswer,
    encode_fragment,
)
from orchestrator.ports import Cache, CacheEntry, Clock
from orchestrator.service import Service


class CachePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long an answer stays fresh, in seconds; 0 keeps nothing.

    News and finance age fast, an empty answer is soon worth asking again, and an answer of a fallback
    provider should make room for the first choice as soon as that is back. `jitter_ratio` spreads the ends,
    so that what was fetched together does not expire together. All chosen.
    """

    ttl_s: float = 3600.0
    fast_ttl_s: float = 300.0
    empty_ttl_s: float = 60.0
    fallback_ratio: float = 0.25
    jitter_ratio: float = 0.1

    def fresh_s(self, topic: str, found: Found[SearchAnswer] | Found[Page]) -> float:
        """The time a found answer stays fresh, before jitter."""
        if found.is_degraded:
            return 0.0
        ttl_s = min(self.ttl_s, self.fast_ttl_s) if topic in ("news", "finance") else self.ttl_s
        if isinstance(found.answer, SearchAnswer) and not found.answer.results:
            ttl_s = min(ttl_s, self.empty_ttl_s)
        return ttl_s * self.fallback_ratio if found.is_fallback else ttl_s


class CacheFilter(Generic[RequestT]):
    """Answers from the first tier that has a fresh entry, and lifts it into the tiers before that one."""

    def __init__(
        self,
        tiers: Sequence[Cache],
        clock: Clock,
        key: Callable[[RequestT], str],
        words: Callable[[RequestT], tuple[str, str]],
    ) -> None:
        self._tiers = tuple(tiers)
        self._clock = clock
        self._key = key
        self._words = words

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer from the cache, else from the inner stages. Raises NotInCache if only a hit was wanted."""
        key = self._key(call.request)
        wants = call.caller.cache_control
        misses: dict[str, str] = {}
        if wants.no_cache or wants.no_store:
            reason = "bypass"
            misses = {cache.tier: reason for cache in self._tiers}
        else:
            now = self._clock.now()
            entry, tier = await self._look_up(key, now, wants.max_age_s, misses)
            if entry is not None:
                return _hit(call, key, entry, tier=tier, now=now, misses=misses)
            reason = next((why for why in reversed(misses.values()) if why != "absent"), "absent")
        call.trail.record(CacheMissed(key=key, reason=reason, misses=misses))
        if wants.only_if_cached:
            raise NotInCache("The answer is not in the cache, and only a cached one was asked for.")
        if not wants.no_store:  # RFC 9111, 5.2.1.5: nothing of the request is kept either.
            call.trail.note_text(key, *self._words(call.request))
        return await service(msgspec.structs.replace(call, cache_key=key))

    async def look_again(self, call: Call[RequestT]) -> Response | None:
        """The answer, if one has been stored since the call came by here; `None` if it wants a fresh one."""
        wants = call.caller.cache_control
        if wants.no_cache or wants.no_store:
            return None
        now = self._clock.now()
        misses: dict[str, str] = {}
        entry, tier = await self._look_up(call.cache_key, now, wants.max_age_s, misses)
        return None if entry is None else _hit(call, call.cache_key, entry, tier=tier, now=now, misses=misses)

    async def _look_up(
        self, key: str, now: float, max_age_s: float | None, misses: dict[str, str]
    ) -> tuple[CacheEntry | None, str]:
        """A usable entry and its tier; in `misses` why the others asked have none."""
        for position, cache in enumerate(self._tiers):
            try:
                entry = await cache.get(key)
            except CacheUnavailable:
                misses[cache.tier] = "outage"
                continue
            if entry is None:
                misses[cache.tier] = "absent"
            elif entry.fresh_until <= now:
                misses[cache.tier] = "expired"
            elif max_age_s is not None and now - entry.stored_at > max_age_s:
                misses[cache.tier] = "too_old"
            else:
                for nearer in self._tiers[:position]:
                    with contextlib.suppress(CacheUnavailable):
                        await nearer.put(key, entry)
                return entry, cache.tier
        return None, ""


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
        entry = CacheEntry(
            fragment=encode_fragment(found.answer),
            result_count=found.answer.count,
            provider=found.provider,
            stored_at=now,
            fresh_until=now + ttl_s,
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
                await cache.put(call.cache_key, entry)
                kept.append(cache.tier)
            except CacheUnavailable:
                continue
        size_bytes = len(entry.fragment)
        call.trail.record(
            ResultCached(key=call.cache_key, tiers=tuple(kept), ttl_s=ttl_s, size_bytes=size_bytes)
        )

    def _jittered(self, ttl_s: float) -> float:
        return ttl_s * (1.0 + self._policy.jitter_ratio * (2.0 * self._chance() - 1.0))


def _hit(
    call: Call[RequestT], key: str, entry: CacheEntry, *, tier: str, now: float, misses: dict[str, str]
) -> Response:
    age_s = max(0.0, now - entry.stored_at)
    call.trail.record(CacheHit(key=key, tier=tier, age_s=age_s, saved=entry.cost, misses=misses))
    return _from_entry(entry, tier, age_s, now)


def _from_entry(entry: CacheEntry, tier: str, age_s: float, now: float) -> Response:
    return Response(
        fragment=entry.fragment,
        result_count=entry.result_count,
        provider=entry.provider,
        cache=tier,
        age_s=age_s,
        ttl_s=entry.fresh_until - now,
        is_fallback=entry.is_fallback,
        cost=FREE,
        unsupported=entry.unsupported,
    )
