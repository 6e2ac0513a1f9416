"""Clients: who asks for how much, what becomes of it, how long they wait, and what it costs.

- *hit_ratio* and *collapsed_ratio* are shares of the answered searches and extracts, as in the hit-rate
  report: what is passed on can hit nothing.
- *p50_s* and *p95_s* are of whole stays, however they ended, as in the latency report; *mean_s* is exact.
- Money is that of the ledger: see the cost report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.projections.buckets import quantiles
from orchestrator.projections.clients import ClientsRollup
from orchestrator.projections.latency import WHOLE_STAYS, ClientLatencyRollup, StageLatencyRollup
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.relays import OPERATIONS
from orchestrator.reports.cost import money
from orchestrator.reports.report import (
    TIMES,
    Need,
    Row,
    Sums,
    buckets_of,
    by_value,
    grouped,
    mean_s,
    ratio,
    rows_of,
    total,
)


class ClientsReport:
    """The totals, and one row for each client, the busiest first and at most `limit`; or for each time.

    `clients` says how many there are.
    """

    name = "clients"
    by = ("client", *TIMES)

    def needs(self, by: str) -> tuple[Need, ...]:
        """Ends of calls, durations and money, each by client or time."""
        group = by or "client"
        # Of all clients together the same durations are counted in fewer rows.
        durations = StageLatencyRollup() if by in TIMES else ClientLatencyRollup()
        stays = ("stage", WHOLE_STAYS)
        return (
            Need(ClientsRollup(), (group, "operation", "door", "outcome", "error")),
            Need(durations, (group,), has_buckets=True, only=("calls",), among=stays),
            Need(LedgerRollup(), (group,)),
            Need(StageLatencyRollup(), ("stage",), has_buckets=True, only=("calls",), among=stays),
        )

    def render(self, sums: Sequence[Sums], by: str, limit: int) -> dict[str, Any]:
        """What the counts say."""
        group = by or "client"
        ends, stays, bills, all_stays = (
            rows_of(need, found) for need, found in zip(self.needs(by), sums, strict=True)
        )
        of_ends, of_stays, of_bills = (grouped(rows, group) for rows in (ends, stays, bills))
        rows = [
            {
                group: value,
                **_figures(of_ends.get(value, ()), of_stays.get(value, ()), of_bills.get(value, ())),
            }
            for value in sorted(
                {*of_ends, *(value for value, rows in of_bills.items() if any(money(rows).values()))}
            )
        ]
        figures = {"by": group, **_figures(ends, all_stays, bills)}
        if group == "client":
            figures["clients"] = len(rows)
            rows = sorted(rows, key=lambda row: -row["requests"])[:limit]
        return {**figures, "rows": rows}


def _figures(ends: Sequence[Row], stays: Sequence[Row], bills: Sequence[Row]) -> dict[str, Any]:
    requests = total(ends, "requests")
    answered = total(ends, "requests", outcome="answered")
    hits, collapsed = total(ends, "hits"), total(ends, "collapsed")
    relayed = sum(total(ends, "requests", outcome="answered", operation=one) for one in OPERATIONS)
    buckets = buckets_of(stays)
    p50_s, p95_s = quantiles(buckets.indexes, buckets.calls, (0.50, 0.95))
    return {
        "requests": requests,
        "answered": answered,
        "failed": requests - answered,
        "errors": by_value(ends, "error", "requests", outcome="failed"),
        "hits": hits,
        "hit_ratio": ratio(hits, answered - relayed),
        "collapsed": collapsed,
        "collapsed_ratio": ratio(collapsed, answered - relayed),
        "degraded": total(ends, "degraded"),
        "stale": total(ends, "stale"),
        "results": total(ends, "results"),
        "mean_s": mean_s(total(ends, "duration_us"), requests),
        "p50_s": p50_s,
        "p95_s": p95_s,
        **money(bills),
        "doors": by_value(ends, "door", "requests"),
    }
