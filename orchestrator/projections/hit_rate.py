"""Hit rate: how many answers came from the cache, and what that saved.

- *hit_ratio* = (l1 + l2) / answered calls. Calls without an answer do not count.
- *collapsed* calls waited for an identical one under way: they spent nothing and are shown apart, as no cache
  tier answered them.
- *mixed* is an extract of which some pages were cached; it is no hit, because it asked a provider.
- *saved_usd_micros* is what the cached answers had cost when they were fetched, *cost_usd_micros* what was
  spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.events import Envelope, RequestCompleted
from orchestrator.projections.fold import Counts, Increment, Key, Rollup, grouped, minute_of, ratio

HITS = frozenset({"l1", "l2"})
"""The values of `cache` that are hits."""

WAYS = ("l1", "l2", "collapsed", "mixed", "miss")
"""All values of `cache`, each a column of the report."""


class HitRateRollup(Rollup):
    """Counts answered calls by how the cache served them."""

    name = "hit_rate"
    dimensions = ("minute", "operation", "door", "client", "topic", "provider", "cache")
    measures = ("requests", "results", "stale", "saved_usd_micros", "cost_usd_micros")

    def increments(self, envelope: Envelope) -> Iterator[Increment]:
        """One row for each answered call; failed ones have no place in a hit rate."""
        if isinstance(done := envelope.event, RequestCompleted):
            key = (
                minute_of(envelope.at),
                done.operation,
                done.door,
                done.client,
                done.topic,
                done.provider,
                done.cache,
            )
            yield key, (1, done.results, int(done.stale), done.saved.usd_micros, done.cost.usd_micros)

    def report(self, counts: Mapping[Key, Counts], by: str) -> dict[str, Any]:
        """The totals and one row for each value of the dimension `by`; no rows if that is `""`."""
        rows = grouped(counts, self.dimensions, by) if by else {}
        return {
            "by": by,
            **_summary(self.dimensions, counts.items()),
            "rows": [{by: value, **_summary(self.dimensions, items)} for value, items in rows.items()],
        }


def _summary(dimensions: tuple[str, ...], items: Iterable[Increment]) -> dict[str, Any]:
    where = dimensions.index("cache")
    ways = dict.fromkeys(WAYS, 0)
    results = stale = saved = cost = 0
    for key, (requests, found, old, kept, spent) in items:
        ways[str(key[where])] = ways.get(str(key[where]), 0) + requests
        results, stale, saved, cost = results + found, stale + old, saved + kept, cost + spent
    answered, hits = sum(ways.values()), sum(ways[way] for way in HITS)
    return {
        "answered": answered,
        "hits": hits,
        "hit_ratio": ratio(hits, answered),
        "collapsed_ratio": ratio(ways["collapsed"], answered),
        **ways,
        "stale": stale,
        "results": results,
        "saved_usd_micros": saved,
        "cost_usd_micros": cost,
    }
