"""Hit rate: how many answers came from the cache, and what that saved.

- *hit_ratio* = (l1 + l2) / answered calls. Calls without an answer do not count.
- *collapsed* calls waited for an identical one under way: they spent nothing and are shown apart, as no cache
  tier answered them.
- *mixed* is an extract of which some pages were cached; it is no hit, because it asked a provider.
- *saved_usd_micros* is what the cached answers had cost when they were fetched.
- *cost_usd_micros* is what providers billed, whether the attempt gave an answer or not, and whatever became
  of the call it was made for; *assumed_usd_micros* is the estimate of attempts that may have been billed and
  whose bill never came. Both stand under the way `miss`: the cache has never spent anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.events import FREE, AttemptFailed, AttemptSucceeded, Cost, Envelope, RequestCompleted
from orchestrator.projections.fold import Counts, Increment, Key, Rollup, grouped, minute_of, ratio

HITS = frozenset({"l1", "l2"})
"""The values of `cache` that are hits."""

WAYS = ("l1", "l2", "collapsed", "mixed", "miss")
"""All values of `cache`, each a column of the report."""


class HitRateRollup(Rollup):
    """Counts answered calls by how the cache served them, and what attempts cost."""

    name = "hit_rate"
    dimensions = ("minute", "operation", "door", "client", "topic", "provider", "cache")
    measures = ("requests", "results", "stale", "saved_usd_micros", "cost_usd_micros", "assumed_usd_micros")

    def increments(self, envelope: Envelope) -> Iterator[Increment]:
        """One row for each answered call, failed ones having no place in a hit rate, and for each bill."""
        match envelope.event:
            case RequestCompleted() as done:
                counts = (1, done.results, int(done.stale), done.saved.usd_micros, 0, 0)
                yield _key(envelope.at, done, done.cache), counts
            case AttemptSucceeded() as paid if paid.cost != FREE:
                yield _bill(envelope.at, paid, paid.cost, FREE)
            case AttemptFailed() as lost if lost.cost != FREE or lost.assumed != FREE:
                yield _bill(envelope.at, lost, lost.cost, lost.assumed)
            case _:
                pass

    def report(self, counts: Mapping[Key, Counts], by: str) -> dict[str, Any]:
        """The totals and one row for each value of the dimension `by`; no rows if that is `""`."""
        rows = grouped(counts, self.dimensions, by) if by else {}
        return {
            "by": by,
            **_summary(self.dimensions, counts.items()),
            "rows": [{by: value, **_summary(self.dimensions, items)} for value, items in rows.items()],
        }


def _key(at: float, event: RequestCompleted | AttemptSucceeded | AttemptFailed, cache: str) -> Key:
    return minute_of(at), event.operation, event.door, event.client, event.topic, event.provider, cache


def _bill(at: float, event: AttemptSucceeded | AttemptFailed, cost: Cost, assumed: Cost) -> Increment:
    return _key(at, event, "miss"), (0, 0, 0, 0, cost.usd_micros, assumed.usd_micros)


def _summary(dimensions: tuple[str, ...], items: Iterable[Increment]) -> dict[str, Any]:
    where = dimensions.index("cache")
    ways = dict.fromkeys(WAYS, 0)
    results = stale = saved = cost = assumed = 0
    for key, (requests, found, old, kept, spent, unbilled) in items:
        ways[str(key[where])] = ways.get(str(key[where]), 0) + requests
        results, stale, saved = results + found, stale + old, saved + kept
        cost, assumed = cost + spent, assumed + unbilled
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
        "assumed_usd_micros": assumed,
    }
