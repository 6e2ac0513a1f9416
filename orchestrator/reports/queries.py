"""Queries: which searches are asked most, fail, are slow, find nothing, or are fetched again and again.

Five rankings of the same counts. A search is its cache key: what differs only in case, spacing or Unicode
form is one. Its text is kept apart from the events; if it was erased or never kept it is `None`.

- *top* by `calls`, *failing* by `failed`, *slow* by `slow`, *empty* by `empty`: only those with any.
- *repeated* by `fetched`, from two fetches on. With a longer time to live the first answer would have served
  the others: `avoidable_usd_micros` is their part of what all fetches cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.projections.queries import QueriesRollup
from orchestrator.reports.report import Need, Row, Sums, mean_s, rows_of

RANKINGS = {"top": "calls", "failing": "failed", "slow": "slow", "empty": "empty", "repeated": "fetched"}
"""The rankings, and the measure by which each is ordered."""


class QueriesReport:
    """The rankings, each with at most `limit` searches; of equals that whose key sorts first leads."""

    name = "queries"
    by: tuple[str, ...] = ()

    def needs(self, by: str) -> tuple[Need, ...]:
        """The largest sums of each measure."""
        del by
        return tuple(Need(QueriesRollup(), ("key", "text"), measure) for measure in RANKINGS.values())

    def render(self, sums: Sequence[Sums], by: str, limit: int) -> dict[str, Any]:
        """What the counts say."""
        figures: dict[str, Any] = {"by": by}
        for (name, measure), need, found in zip(RANKINGS.items(), self.needs(by), sums, strict=True):
            rows = sorted(rows_of(need, found), key=lambda row: (-row[measure], row["key"]))
            least = 2 if name == "repeated" else 1
            figures[name] = [_search(row, name) for row in rows[:limit] if row[measure] >= least]
        return figures


def _search(row: Row, ranking: str) -> dict[str, Any]:
    """One search; what it is ranked by comes first."""
    ranked_by = RANKINGS[ranking]
    counts = ("calls", "hits", "fetched", "empty", "failed", "slow")
    figures = {
        "text": row["text"] or None,
        "key": row["key"],
        **{name: row[name] for name in sorted(counts, key=lambda name: name != ranked_by)},
        "mean_s": mean_s(row["duration_us"], row["calls"]),
        "cost_usd_micros": row["cost_usd_micros"],
    }
    if ranking == "repeated":
        figures["avoidable_usd_micros"] = row["cost_usd_micros"] * (row["fetched"] - 1) // row["fetched"]
    return figures
