"""Hit rate: how many answers came from the cache.

- *hit_ratio* = (l1 + l2) / answered calls. Calls without an answer do not count.
- *fresh_hit_ratio* is the same without answers past their freshness, which are hits too: the cache gave them.
- *collapsed* calls waited for an identical one under way: they spent nothing and are shown apart, as no cache
  tier answered them.
- *mixed* is an extract that asked a provider for some of its pages only, and no hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.history import HITS
from orchestrator.projections.hit_rate import HitRateRollup
from orchestrator.reports.report import TIMES, Need, Row, Sums, grouped, ratio, rows_of, total

WAYS = ("l1", "l2", "collapsed", "mixed", "miss")
"""All values of `cache`, each a column of the report."""


class HitRateReport:
    """The totals, and one row for each value of `by`."""

    name = "hit-rate"
    by = ("operation", "door", "client", "topic", "provider", "cache", *TIMES)

    def needs(self, by: str) -> tuple[Need, ...]:
        """Answered calls by how the cache served them."""
        return (Need(HitRateRollup(), (by, "cache") if by not in {"", "cache"} else ("cache",)),)

    def render(self, sums: Sequence[Sums], by: str, limit: int) -> dict[str, Any]:
        """What the counts say."""
        del limit
        rows = rows_of(self.needs(by)[0], sums[0])
        return {
            "by": by,
            **_summary(rows),
            "rows": [{by: value, **_summary(found)} for value, found in grouped(rows, by).items()]
            if by
            else [],
        }


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    ways = {way: total(rows, "requests", cache=way) for way in WAYS}
    answered, hits = total(rows, "requests"), sum(ways[way] for way in HITS)
    stale = sum(total(rows, "stale", cache=way) for way in HITS)
    return {
        "answered": answered,
        "hits": hits,
        "hit_ratio": ratio(hits, answered),
        "fresh_hit_ratio": ratio(hits - stale, answered),
        "collapsed_ratio": ratio(ways["collapsed"], answered),
        **ways,
        "stale": total(rows, "stale"),
        "results": total(rows, "results"),
    }
