"""How long an answer is fresh, and for how long after that it is still better than none: pure arithmetic."""

from __future__ import annotations

import msgspec

from orchestrator.model import CacheControl, Found, Page, SearchAnswer
from orchestrator.ports import CacheEntry


class CachePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long answers live, in seconds. A `ttl_s` of 0 keeps nothing, a stale time of 0 gives nothing old.

        fresh for      ttl_s (topic news or finance: fast_ttl_s; no results: empty_ttl_s; the shortest counts)
                       x fallback_ratio, if another provider than the first gave it
                       x 1 + jitter_ratio x (-1 … 1)
        then, given at once while one fresh answer is fetched: stale_while_revalidate_s
        and, given when no fresh answer can be had:            stale_if_error_s, stale_if_quota_s

    The stale times all begin where freshness ends. An answer without results, and one of the chain's floor,
    has none. `stale_if_error_s` is for failures that pass (no provider could; no time was left),
    `stale_if_quota_s` for those somebody has to lift (a provider's quota or a budget is used up).
    `refresh_pause_s` follows a refresh that failed before the next one of the same answer.
    `is_per_client` keeps the answers of each client apart.
    """

    ttl_s: float = 3600.0
    """chosen: what a search finds changes by the day; an hour spares most repetitions within a task."""
    fast_ttl_s: float = 300.0
    """chosen: news and prices age in minutes."""
    empty_ttl_s: float = 60.0
    """chosen: that nothing was found is soon worth asking again."""
    fallback_ratio: float = 0.25
    """chosen: the answer of a stand-in should make room for the first choice when that is back."""
    jitter_ratio: float = 0.1
    """chosen: what was fetched together does not expire together."""
    stale_while_revalidate_s: float = 300.0
    """chosen: as long as news is fresh. What is asked every few minutes then never makes anybody wait, and no
    answer is older by more than a twelfth of its hour."""
    stale_if_error_s: float = 86_400.0
    """chosen: outages last hours. Yesterday's answer, with its age, helps more than an error."""
    stale_if_quota_s: float = 259_200.0
    """chosen: over a weekend, until somebody who may buy credits is back."""
    refresh_pause_s: float = 30.0
    """chosen: as long as a circuit stays open at first; a provider that just failed is not well sooner."""
    is_per_client: bool = False

    def fresh_s(self, topic: str, found: Found[SearchAnswer] | Found[Page]) -> float:
        """The time a found answer stays fresh, before jitter."""
        if found.is_degraded:
            return 0.0
        ttl_s = min(self.ttl_s, self.fast_ttl_s) if topic in ("news", "finance") else self.ttl_s
        if not found.answer.count:
            ttl_s = min(ttl_s, self.empty_ttl_s)
        return ttl_s * self.fallback_ratio if found.is_fallback else ttl_s

    def stale_s(self, found: Found[SearchAnswer] | Found[Page]) -> float:
        """The longest time beyond its freshness for which an answer may be of use."""
        if found.is_degraded or not found.answer.count:
            return 0.0
        return max(self.stale_while_revalidate_s, self.stale_if_error_s, self.stale_if_quota_s)

    def revalidated_until(self, entry: CacheEntry, wants: CacheControl) -> float:
        """The moment until which an entry is given at once while a fresh one is fetched.

        0 to a caller who has said how old an answer may be (RFC 9111, 5.2.1.1: they want no stale one).
        """
        if wants.no_cache or wants.max_age_s is not None:
            return 0.0
        return min(entry.fresh_until + self.stale_while_revalidate_s, entry.stale_until)

    def stands_in_until(self, entry: CacheEntry, wants: CacheControl, cause: str) -> float:
        """The moment until which an entry may stand in for an answer that cannot be had.

        `cause` is `error`, `deadline`, `quota` or `budget`. The caller's `stale-if-error` shortens the time
        and never lengthens it. Who has said how old an answer may be gets an older one only by asking for it.
        """
        window_s = self.stale_if_quota_s if cause in ("quota", "budget") else self.stale_if_error_s
        wish_s = wants.stale_if_error_s
        if wish_s is None:
            wish_s = 0.0 if wants.no_cache or wants.max_age_s is not None else window_s
        if wish_s <= 0.0:
            return 0.0
        # An entry without results is of no use once it is stale, but may be fresh and only older than wanted.
        return min(entry.fresh_until + min(window_s, wish_s), max(entry.fresh_until, entry.stale_until))
