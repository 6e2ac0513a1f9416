"""Latency: how long calls stayed, and where the time went. All durations in seconds.

The stages are those of projections/latency.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.projections.buckets import longest, quantiles
from orchestrator.projections.fold import Rollup
from orchestrator.projections.latency import ClientLatencyRollup, LatencyRollup, StageLatencyRollup
from orchestrator.reports.report import TIMES, Need, Row, Sums, mean_s, rows_of

QUANTILES = {"p50_s": 0.50, "p90_s": 0.90, "p95_s": 0.95, "p99_s": 0.99}
"""Columns of the report, and the share of calls that were not slower."""


class LatencyReport:
    """Quantiles of each stage, and in `rows` of each stage for each value of `by`."""

    name = "latency"
    by = ("operation", "provider", "client", *TIMES)

    def needs(self, by: str) -> tuple[Need, ...]:
        """Durations by stage and bucket, from the rollup with the fewest rows that knows them by `by`."""
        whole = Need(StageLatencyRollup(), ("stage",), has_buckets=True, only=("total_us",))
        if not by:
            return (whole,)
        rollup: Rollup = StageLatencyRollup() if by in TIMES else LatencyRollup()
        if by == "client":
            rollup = ClientLatencyRollup()
        return whole, Need(rollup, (by, "stage"), has_buckets=True, only=("total_us",))

    def render(self, sums: Sequence[Sums], by: str, limit: int) -> dict[str, Any]:
        """What the counts say."""
        del limit
        found = [rows_of(need, of_need) for need, of_need in zip(self.needs(by), sums, strict=True)]
        return {
            "by": by,
            "stages": [{"stage": row["stage"], **_summary(row)} for row in found[0]],
            "rows": [
                {by: row[by], "stage": row["stage"], **_summary(row)}
                for row in sorted(found[1], key=lambda row: row["stage"])
            ]
            if by
            else [],
        }


def _summary(row: Row) -> dict[str, Any]:
    buckets = row["buckets"]
    calls = sum(buckets.calls)
    return {
        "calls": calls,
        "mean_s": mean_s(row["total_us"], calls),
        **dict(zip(QUANTILES, quantiles(buckets.indexes, buckets.calls, QUANTILES.values()), strict=True)),
        "max_s": longest(buckets.indexes),
    }
