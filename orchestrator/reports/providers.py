"""Providers: how they did, how often the answer was theirs, what they cost, and what their circuits did.

- *success_ratio* = (success + empty) / attempts; a cancelled attempt (`ignorable`) or one that no provider
  would take (`invalid`) is not held against the provider.
- *win_ratio* = won / tried: of the searches that asked it, the share that it answered. Of searches only,
  because the pages of an extract may come from several providers.
- *fallback_ratio* = fallbacks / won: the share of these that it answered in place of one before it.
- *mean_s* is of single attempts, however they ended, and exact; so is *p95_s*, which is for the whole window
  only: by time the latency report has quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.facts import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
)
from orchestrator.projections.buckets import quantiles
from orchestrator.projections.latency import LatencyRollup
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.projections.providers import ProvidersRollup
from orchestrator.reports.report import (
    TIMES,
    Fact,
    Facts,
    Need,
    Row,
    buckets_of,
    by_value,
    grouped_by,
    mean_s,
    ratio,
    rows_of,
    total,
)

NOBODYS_FAULT = frozenset({"ignorable", "invalid"})
"""Outcomes of an attempt that are not held against the provider."""

ATTEMPTS = ("stage", ("attempt",))

MONEY = ("spent_usd_micros", "assumed_usd_micros")

CHANGES = {CircuitOpened: "opened", CircuitHalfOpened: "half_opened", CircuitClosed: "closed"}


class ProvidersReport:
    """One row for each provider, by time one for each of both; and the newest changes of circuits."""

    name = "providers"
    by = ("provider", *TIMES)

    def needs(self, by: str) -> tuple[Need | Facts, ...]:
        """Facts about providers, durations and money, and the streams of the circuits."""
        group = (by, "provider") if by in TIMES else ("provider",)
        return (
            Need(ProvidersRollup(), (*group, "subject", "operation", "outcome", "reason")),
            Need(LedgerRollup(), group),
            Need(LatencyRollup(), ("provider",), has_buckets=True, only=("calls",), among=ATTEMPTS),
            Facts("circuit:", ProvidersRollup(), "provider"),
        )

    def render(self, sums: Sequence[Any], by: str, limit: int) -> dict[str, Any]:
        """What the counts say."""
        times = (by,) if by in TIMES else ()
        needs = [need for need in self.needs(by) if isinstance(need, Need)]
        facts, bills, stays = (
            grouped_by(rows_of(need, found), *names, "provider")
            for need, found, names in zip(needs, sums, (times, times, ()), strict=False)
        )
        return {
            "by": by or "provider",
            "rows": [
                {
                    **dict(zip((*times, "provider"), group, strict=True)),
                    **_figures(facts.get(group, ()), bills.get(group, ())),
                    **({} if times else {"p95_s": _p95_s(stays.get(group, ()))}),
                }
                for group in sorted({*facts, *(group for group, rows in bills.items() if _is_billed(rows))})
            ],
            "circuits": _changes(sums[-1], limit),
        }


def attempts(rows: Sequence[Row]) -> dict[str, Any]:
    """How the calls to a provider ended, and the share of good ones."""
    outcomes = by_value(rows, "outcome", subject="attempt")
    calls = sum(outcomes.values())
    success, empty = outcomes.get("success", 0), outcomes.get("empty", 0)
    excused = sum(outcomes.get(outcome, 0) for outcome in NOBODYS_FAULT)
    return {
        "calls": calls,
        "success": success,
        "empty": empty,
        "failed": calls - success - empty - excused,
        "skipped": total(rows, "calls", subject="skip"),
        "success_ratio": ratio(success + empty, calls - excused),
    }


def _figures(facts: Sequence[Row], bills: Sequence[Row]) -> dict[str, Any]:
    calls = attempts(facts)
    tried = total(facts, "executions", subject="attempt", operation="search")
    won = total(facts, "calls", subject="answer")
    fallbacks = total(facts, "calls", subject="answer", outcome="fallback")
    waited_us = total(facts, "duration_us", subject="attempt")
    return {
        **calls,
        "failures": by_value([row for row in facts if _is_failure(row)], "reason"),
        "retries": total(facts, "calls", subject="retry"),
        "hedged": total(facts, "calls", subject="hedge"),
        "keys_rested": by_value(facts, "reason", subject="key"),
        "rejected": total(facts, "results", subject="rejection"),
        "tried": tried,
        "won": won,
        "win_ratio": ratio(won, tried),
        "fallbacks": fallbacks,
        "fallback_ratio": ratio(fallbacks, won),
        "mean_s": mean_s(waited_us, calls["calls"]),
        **{name: total(bills, name) for name in MONEY},
        "circuit": by_value(facts, "outcome", subject="circuit"),
    }


def _p95_s(stays: Sequence[Row]) -> float | None:
    buckets = buckets_of(stays)
    return quantiles(buckets.indexes, buckets.calls, (0.95,))[0]


def _is_billed(rows: Sequence[Row]) -> bool:
    """Whether it may be owed anything: a call that never ended is no fact but of the ledger."""
    return any(total(rows, name) for name in MONEY)


def _is_failure(row: Row) -> bool:
    return row["subject"] == "attempt" and row["outcome"] not in {"success", "empty"}


def _changes(facts: Sequence[Fact], limit: int) -> list[dict[str, Any]]:
    """What circuits did, the newest first."""
    changes: list[dict[str, Any]] = [
        {
            "changed_at": fact.at,
            "provider": fact.event.provider,
            "change": CHANGES[type(fact.event)],
            "reason": getattr(fact.event, "reason", ""),
            "cooldown_s": getattr(fact.event, "cooldown_s", None),
            "openings": getattr(fact.event, "openings", None),
            "instance": fact.instance,
        }
        for fact in facts
        if isinstance(fact.event, CircuitOpened | CircuitHalfOpened | CircuitClosed)
    ]
    return sorted(changes, key=lambda change: -change["changed_at"])[:limit]
