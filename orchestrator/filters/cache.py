"""Answers at rest: looked up before anything costs; given past their time if need be.

It stands outside single-flight, so that a hit never queues; cache_fill.py, inside, keeps what was fetched.
A tier that is out of reach is a recorded miss, never an error and never a wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Generic

import msgspec
from msgspec.structs import replace

from orchestrator import limits
from orchestrator.cache_policy import CachePolicy
from orchestrator.canonical import clients_own
from orchestrator.errors import (
    AllProvidersFailed,
    BudgetExhausted,
    CacheUnavailable,
    DeadlineExceeded,
    NotInCache,
    QuotaExhausted,
)
from orchestrator.events import FREE, CacheHit, CacheMissed, StaleServed
from orchestrator.history import spent
from orchestrator.model import Attempt, CacheControl, Call, RequestT, Response
from orchestrator.patience import within
from orchestrator.ports import Cache, CacheEntry, Clock
from orchestrator.projections.executions import attempts
from orchestrator.refreshes import Refreshes
from orchestrator.service import Service

STALE_WAY_BACK_S = 0.75 * limits.WAY_BACK_S
"""chosen: an old answer in hand leaves so long before the deadline. Attempts end a little earlier, so that
their failure is still told; what is left is for a loop that is busy."""

AHEAD_S_MAX = 60.0
"""chosen: hosts' clocks may differ by so much. What was stored later than that from now was stored by a clock
that has been put back since: nobody knows its age, and it would be called fresh for as long as that was."""

NO_MISSES: dict[str, str] = {}


class _Stale(msgspec.Struct, frozen=True):
    """The youngest entry that will not do as it is: where, and at which moment it was found."""

    entry: CacheEntry
    tier: str
    at: float


class CacheFilter(Generic[RequestT]):
    """Answers from the first tier that has a fresh entry, and lifts it into the tiers before that one.

    An entry that is stale is given at once for a while, and refreshed behind the caller's back, in
    `refresh_s` at most. Later it stands in when the inner stages fail for want of a provider, of money or of
    time, or could offer no more than the floor of the chain. `aclose` waits for the refreshes.
    """

    def __init__(
        self,
        tiers: Sequence[Cache],
        clock: Clock,
        key: Callable[[RequestT], str],
        text: Callable[[RequestT], str],
        *,
        options: Callable[[RequestT], str] = lambda _request: "",
        policy: CachePolicy | None = None,
        refresh_s: float = limits.DEADLINE_S,
    ) -> None:
        self._tiers = tuple(tiers)
        self._clock = clock
        self._key = key
        self._text = text
        self._options = options
        self._policy = policy or CachePolicy()
        self._refreshes = Refreshes[RequestT](clock, refresh_s, self._policy.refresh_pause_s)
        self.aclose = self._refreshes.aclose

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer from the cache, else from the inner stages. Raises NotInCache if only a hit was wanted."""
        key = self._key(call.request)
        if self._policy.is_per_client:
            key = clients_own(key, call.principal.client if call.principal else "")
        wants = call.caller.cache_control
        misses: dict[str, str] = {}
        now = self._clock.now()
        entry, tier = await self._look_up(key, now, wants, misses)
        if entry is not None and tier not in misses:
            return _hit(call, key, entry, tier=tier, now=now, misses=misses)
        found = None if entry is None else _Stale(entry, tier, now)
        if found is not None and now < self._policy.revalidated_until(found.entry, wants):
            return await self._revalidating(call, key, service, found=found, misses=misses)
        reason = next((why for why in reversed(misses.values()) if why != "absent"), "absent")
        call.trail.record(CacheMissed(key=key, reason=reason, misses=misses))
        if wants.only_if_cached:
            raise NotInCache("The answer is not in the cache, and only a cached one was asked for.")
        if not wants.no_store:  # RFC 9111, 5.2.1.5: nothing of the request is kept either.
            call.trail.note_text(key, self._text(call.request), self._options(call.request))
        inner = replace(call, cache_key=key)
        if found is None or not any(self._can_stand_in(found, wants, cause) for cause in ("error", "quota")):
            return await service(inner)
        await self._lift(key, found.entry, found.tier)  # Now: by the time it is given it may be cleared.
        return await self._else_stale(inner, service, found)

    async def _revalidating(
        self,
        call: Call[RequestT],
        key: str,
        service: Service[RequestT, Response],
        *,
        found: _Stale,
        misses: dict[str, str],
    ) -> Response:
        """Answer with an old entry at once, and see to a fresh one if the caller lets us spend."""
        await self._lift(key, found.entry, found.tier)
        response = self._give(call, key, found, cause="revalidating", misses=misses)
        is_begun = not call.caller.cache_control.only_if_cached and self._refreshes.begin(
            call, key, service, response.age_s
        )
        if is_begun:
            call.trail.note_text(key, self._text(call.request), self._options(call.request))
        return response

    async def look_again(self, call: Call[RequestT]) -> Response | None:
        """The answer, if one has been stored since the call came by here; `None` if it wants a fresh one."""
        now = self._clock.now()
        misses: dict[str, str] = {}
        entry, tier = await self._look_up(call.cache_key, now, call.caller.cache_control, misses)
        if entry is None or tier in misses:
            return None
        if call.is_refresh:  # Its caller was given an answer before: this is no hit of anybody's.
            return _response(entry, tier, now)
        return _hit(call, call.cache_key, entry, tier=tier, now=now, misses=misses)

    async def _look_up(
        self, key: str, now: float, wants: CacheControl, misses: dict[str, str]
    ) -> tuple[CacheEntry | None, str]:
        """The first entry that will do, else the youngest that will not, and its tier.

        In `misses` is why the entries of tiers will not do.
        """
        if wants.no_store or (wants.no_cache and not wants.stale_if_error_s):
            misses.update((cache.tier, "bypass") for cache in self._tiers)
            return None, ""
        youngest: CacheEntry | None = None
        its_tier = ""
        for position, cache in enumerate(self._tiers):
            try:
                entry = await cache.get(key)
            except CacheUnavailable:
                misses[cache.tier] = "outage"
                continue
            if entry is None:
                misses[cache.tier] = "absent"
                continue
            if wants.no_cache:
                misses[cache.tier] = "bypass"
            elif entry.fresh_until <= now or entry.stored_at > now + AHEAD_S_MAX:
                misses[cache.tier] = "expired"
            elif wants.max_age_s is not None and now - entry.stored_at > wants.max_age_s:
                misses[cache.tier] = "too_old"
            else:
                if position:
                    await self._lift(key, entry, cache.tier)
                return entry, cache.tier
            if youngest is None or entry.stored_at > youngest.stored_at:
                youngest, its_tier = entry, cache.tier
        return youngest, its_tier

    async def _lift(self, key: str, entry: CacheEntry, tier: str) -> None:
        """Put an entry into the tiers nearer than the one it was found in."""
        for nearer in self._tiers:
            if nearer.tier == tier:
                return
            with contextlib.suppress(CacheUnavailable):
                await nearer.put(key, entry)

    def _can_stand_in(self, found: _Stale, wants: CacheControl, cause: str) -> bool:
        """As of the moment it was found: a call is not refused for having waited."""
        return found.at < self._policy.stands_in_until(found.entry, wants, cause)

    async def _else_stale(
        self, call: Call[RequestT], service: Service[RequestT, Response], found: _Stale
    ) -> Response:
        """The answer of the inner stages, else the old one. Raises what they raise if that will not do."""
        wants = call.caller.cache_control
        try:
            if self._can_stand_in(found, wants, "deadline"):
                response = await within(call.deadline - STALE_WAY_BACK_S, service(call))
            else:
                response = await service(call)
        except (AllProvidersFailed, BudgetExhausted, DeadlineExceeded, TimeoutError) as failure:
            cause, tried = _cause(failure), _tried(call, failure)
            if not self._can_stand_in(found, wants, cause):
                raise
        else:
            if not (response.is_degraded and self._can_stand_in(found, wants, "error")):
                return response
            # The floor stood in for the web: what the web said lately is better.
            cause, tried = "error", response.attempts
        return self._give(call, call.cache_key, found, cause=cause, tried=tried)

    def _give(
        self,
        call: Call[RequestT],
        key: str,
        found: _Stale,
        *,
        cause: str,
        misses: dict[str, str] = NO_MISSES,
        tried: tuple[Attempt, ...] = (),
    ) -> Response:
        """Answer with an old entry."""
        entry, tier, now = found.entry, found.tier, self._clock.now()
        response = _response(entry, tier, now)
        call.trail.record(
            StaleServed(
                key=key,
                tier=tier,
                age_s=response.age_s,
                cause=cause,
                saved=entry.cost,
                misses=misses,
            )
        )
        return replace(response, is_stale=True, cost=spent(call.trail.events), attempts=tried)


def _cause(failure: Exception) -> str:
    """Why no fresh answer could be had."""
    match failure:
        case BudgetExhausted():
            return "budget"
        case QuotaExhausted():
            return "budget" if any(tried.reason == "budget" for tried in failure.attempts) else "quota"
        case AllProvidersFailed():
            return "error"
        case _:
            return "deadline"


def _tried(call: Call[Any], failure: Exception) -> tuple[Attempt, ...]:
    """Who was asked for a fresh answer, and what came of it; of another's flight only its end tells."""
    return failure.attempts if isinstance(failure, AllProvidersFailed) else attempts(call.trail.events)


def _hit(
    call: Call[RequestT], key: str, entry: CacheEntry, *, tier: str, now: float, misses: dict[str, str]
) -> Response:
    response = _response(entry, tier, now)
    call.trail.record(CacheHit(key=key, tier=tier, age_s=response.age_s, saved=entry.cost, misses=misses))
    return response


def _response(entry: CacheEntry, tier: str, now: float) -> Response:
    return Response(
        fragment=entry.fragment,
        result_count=entry.result_count,
        provider=entry.provider,
        cache=tier,
        age_s=max(0.0, now - entry.stored_at),
        ttl_s=entry.fresh_until - now,
        is_fallback=entry.is_fallback,
        cost=FREE,
        unsupported=entry.unsupported,
    )
