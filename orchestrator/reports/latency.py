"""Latency: how long calls stayed, and where the time went. All durations in seconds.

The stages are those of projections/latency.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.projections.buckets import longest, quantile
from orchestrator.projections.latency import ClientLatencyRollup, LatencyRollup
from orchestrator.reports.report import TIMES, Need, Row, Sums, grouped, rows_of

QUANTILES = {"p50_s": 0.50, "p90_s": 0.90, "p95_s": 0.95, "p99_s": 0.99}
"""Columns of the report, and the share of calls that were not slower."""


class LatencyReport:
    """Quantiles of each stage, and in `rows` of each stage for each value of `by`."""

    name = "latency"
    by = ("operation", "provider", "client", *TIMES)

    def needs(self, by: str) -> tuple[Need, ...]:
        """Durations by stage and bucket; by client they are counted apart."""
        whole = Need(LatencyRollup(), ("stage", "bucket"))
        if not by:
            return (whole,)
        rollup = ClientLatencyRollup() if by == "client" else LatencyRollup()
        return whole, Need(rollup, (by, "stage", "bucket"))

    def render(self, sums: Sequence[Sums], by: str, limit: int) -> dict[str, Any]:
        """What the counts say."""
        del limit
        found = [rows_of(need, of_need) for need, of_need in zip(self.needs(by), sums, strict=True)]
        return {
            "by": by,
            "stages": [
                {"stage": stage, **_summary(rows)} for stage, rows in grouped(found[0], "stage").items()
            ],
            "rows": [
                {by: value, "stage": stage, **_summary(rows)}
                for stage, of_stage in grouped(found[1], "stage").items()
                for value, rows in grouped(of_stage, by).items()
            ]
            if by
            else [],
        }


def _summary(rows: Iterable[Row]) -> dict[str, Any]:
    buckets: dict[int, int] = {}
    total_us = 0
    for row in rows:
        buckets[row["bucket"]] = buckets.get(row["bucket"], 0) + row["calls"]
        total_us += row["total_us"]
    calls = sum(buckets.values())
    return {
        "calls": calls,
        "mean_s": total_us / calls / 1_000_000 if calls else None,
        **{name: quantile(buckets, share) for name, share in QUANTILES.items()},
        "max_s": longest(buckets),
    }
