"""Health: how calls ended, how providers did, and how available the gateway was to those who used it rightly.

- *answered*: the call had an answer, from whatever source; an empty list is one.
- *useful*: answered, and not by the floor of the chain standing in for the web (`degraded`).
- *caller's own*: failures only the caller can mend (history.py); they say nothing about the gateway.
- *availability* = useful / (answered + failed - caller's own); `None` while nothing was asked.
- *success_ratio* of a provider: see the providers report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.history import CALLERS_OWN
from orchestrator.projections.health import HealthRollup
from orchestrator.projections.providers import ProvidersRollup
from orchestrator.reports.providers import attempts
from orchestrator.reports.report import (
    TIMES,
    Need,
    Row,
    Sums,
    by_value,
    grouped,
    ratio,
    rows_of,
    total,
)


class HealthReport:
    """The health report: totals, what was refused, and each provider. By time, the calls of each stretch."""

    name = "health"
    by = tuple(TIMES)

    def needs(self, by: str) -> tuple[Need, ...]:
        """Ends of calls, and facts about providers for the whole window."""
        time = (by,) if by else ()
        return (
            Need(HealthRollup(), (*time, "outcome", "reason")),
            Need(ProvidersRollup(), ("provider", "subject", "outcome", "reason")),
        )

    def render(self, sums: Sequence[Sums], by: str, limit: int) -> dict[str, Any]:
        """What the counts say."""
        del limit
        ends, facts = (rows_of(need, found) for need, found in zip(self.needs(by), sums, strict=True))
        requests = _requests(ends)
        return {
            "by": by,
            "availability": requests.pop("availability"),
            "requests": requests,
            "refused": by_value(ends, "reason", outcome="refused"),
            "providers": [
                _provider(name, rows)
                for name, rows in grouped(
                    (row for row in facts if row["subject"] in {"attempt", "skip", "circuit"}), "provider"
                ).items()
            ],
            "rows": [{by: begin, **_requests(rows)} for begin, rows in grouped(ends, by).items()]
            if by
            else [],
        }


def _requests(rows: Sequence[Row]) -> dict[str, Any]:
    answered = total(rows, "calls", outcome="answered")
    failed = total(rows, "calls", outcome="failed")
    degraded = total(rows, "degraded")
    errors = by_value(rows, "reason", outcome="failed")
    callers_own = sum(count for code, count in errors.items() if code in CALLERS_OWN)
    return {
        "availability": ratio(answered - degraded, answered + failed - callers_own),
        "total": answered + failed,
        "answered": answered,
        "useful": answered - degraded,
        "failed": failed,
        "callers_own": callers_own,
        "degraded": degraded,
        "fallback": total(rows, "fallback"),
        "stale": total(rows, "stale"),
        "empty": total(rows, "empty"),
        "errors": errors,
    }


def _provider(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "provider": name,
        **attempts(rows),
        "failures": [
            {"outcome": outcome, "reason": reason, "calls": count}
            for (outcome, reason), count in sorted(_failures(rows).items())
        ],
        "circuit": by_value(rows, "outcome", subject="circuit"),
    }


def _failures(rows: Iterable[Row]) -> dict[tuple[str, str], int]:
    failures: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["subject"] in {"attempt", "skip"} and row["outcome"] not in {"success", "empty"}:
            key = row["outcome"], row["reason"]
            failures[key] = failures.get(key, 0) + row["calls"]
    return failures
