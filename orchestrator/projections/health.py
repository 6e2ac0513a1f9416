"""Health: how calls ended, how providers did, and how available the gateway was to those who used it rightly.

- *answered*: the call had an answer, from whatever source; an empty list is one.
- *useful*: answered, and not by the floor of the chain standing in for the web (`degraded`).
- *caller's own*: failures only the caller can mend (`CALLERS_OWN`); they say nothing about the gateway.
- *availability* = useful / (answered + failed - caller's own); `None` while nothing was asked.
- *success_ratio* of a provider = (success + empty) / calls to it; skipping it is no call, and a cancelled
  call (`ignorable`) or one that no provider would take (`invalid`) is not held against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.events import (
    AttemptFailed,
    AttemptSucceeded,
    CallersRefused,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    Envelope,
    ProviderSkipped,
    RequestCompleted,
    RequestFailed,
)
from orchestrator.projections.fold import Counts, Increment, Key, Rollup, minute_of, ratio

CALLERS_OWN = frozenset(
    {
        "caller_error",
        "invalid_request",
        "unauthenticated",
        "permission_denied",
        "rate_limited",
        "budget_exhausted",
        "not_in_cache",
        "not_found",
        "cancelled",
    }
)
"""Codes of failures that are the caller's doing: they ask for the impossible, too often, or leave."""

NOBODYS_FAULT = frozenset({"ignorable", "invalid"})
"""Outcomes of an attempt that are not held against the provider."""


class HealthRollup(Rollup):
    """Counts ends of four subjects, each with outcomes of its own.

    request: `answered`, `failed` (`reason` is the error's code); attempt: `success`, `empty`, a judgement of
    outcome.py, or `skipped`; circuit: `opened`, `half_opened`, `closed`; refusal: `refused`.
    """

    name = "health"
    dimensions = ("minute", "subject", "operation", "provider", "outcome", "reason")
    measures = ("calls", "degraded", "fallback", "stale", "empty")

    def increments(self, envelope: Envelope) -> Iterator[Increment]:
        """One count for each end of a call, an attempt or a circuit's state."""
        minute = minute_of(envelope.at)
        match envelope.event:
            case RequestCompleted() as done:
                marks = (1, int(done.degraded), int(done.fallback), int(done.stale), int(not done.results))
                yield (minute, "request", done.operation, done.provider, "answered", ""), marks
            case RequestFailed() as failed:
                yield (minute, "request", failed.operation, "", "failed", failed.error), _calls(1)
            case CallersRefused() as refused:
                yield (minute, "refusal", "", "", "refused", refused.reason), _calls(refused.count)
            case event:
                provider, subject, outcome, reason = _of_provider(event)
                if subject:
                    yield (minute, subject, "", provider, outcome, reason), _calls(1)

    def report(self, counts: Mapping[Key, Counts], by: str = "") -> dict[str, Any]:
        """The health report; it is grouped by provider and by nothing else, so `by` has no effect."""
        rows = [
            dict(zip(self.dimensions + self.measures, key + value, strict=True))
            for key, value in counts.items()
        ]
        requests = _requests([row for row in rows if row["subject"] == "request"])
        return {
            "availability": requests.pop("availability"),
            "requests": requests,
            "refused": _by(rows, "refusal", "reason"),
            "providers": _providers([row for row in rows if row["subject"] in {"attempt", "circuit"}]),
        }


def _of_provider(event: object) -> tuple[str, str, str, str]:
    """Provider, subject, outcome and reason of an event about a provider; `""` each for any other."""
    found = "", "", "", ""
    match event:
        case AttemptSucceeded() as done:
            found = done.provider, "attempt", "success" if done.results else "empty", ""
        case AttemptFailed() as failed:
            found = failed.provider, "attempt", failed.outcome, failed.reason
        case ProviderSkipped() as skipped:
            found = skipped.provider, "attempt", "skipped", skipped.reason
        case CircuitOpened() as opened:
            found = opened.provider, "circuit", "opened", opened.reason
        case CircuitHalfOpened() as probing:
            found = probing.provider, "circuit", "half_opened", ""
        case CircuitClosed() as closed:
            found = closed.provider, "circuit", "closed", ""
        case _:
            pass
    return found


def _calls(count: int) -> Counts:
    return count, 0, 0, 0, 0


def _requests(rows: list[dict[str, Any]]) -> dict[str, Any]:
    answered = _total(rows, "calls", outcome="answered")
    failed = _total(rows, "calls", outcome="failed")
    degraded = _total(rows, "degraded")
    errors = _by(rows, "request", "reason", outcome="failed")
    callers_own = sum(count for code, count in errors.items() if code in CALLERS_OWN)
    return {
        "availability": ratio(answered - degraded, answered + failed - callers_own),
        "total": answered + failed,
        "answered": answered,
        "useful": answered - degraded,
        "failed": failed,
        "callers_own": callers_own,
        "degraded": degraded,
        "fallback": _total(rows, "fallback"),
        "stale": _total(rows, "stale"),
        "empty": _total(rows, "empty"),
        "errors": errors,
    }


def _providers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = sorted({row["provider"] for row in rows})
    return [_provider(name, [row for row in rows if row["provider"] == name]) for name in names]


def _provider(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    outcomes = _by(rows, "attempt", "outcome")
    skipped = outcomes.pop("skipped", 0)
    calls = sum(outcomes.values())
    success, empty = outcomes.get("success", 0), outcomes.get("empty", 0)
    excused = sum(outcomes.get(outcome, 0) for outcome in NOBODYS_FAULT)
    return {
        "provider": name,
        "calls": calls,
        "success": success,
        "empty": empty,
        "failed": calls - success - empty - excused,
        "skipped": skipped,
        "success_ratio": ratio(success + empty, calls - excused),
        "failures": [
            {"outcome": outcome, "reason": reason, "calls": count}
            for (outcome, reason), count in sorted(_failures(rows).items())
        ],
        "circuit": _by(rows, "circuit", "outcome"),
    }


def _failures(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], int]:
    failures: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["subject"] == "attempt" and row["outcome"] not in {"success", "empty"}:
            key = row["outcome"], row["reason"]
            failures[key] = failures.get(key, 0) + row["calls"]
    return failures


def _by(rows: Iterable[dict[str, Any]], subject: str, column: str, **where: str) -> dict[str, int]:
    """Calls of one subject by the values of one column, in their order."""
    sums: dict[str, int] = {}
    for row in rows:
        if row["subject"] == subject and all(row[name] == value for name, value in where.items()):
            sums[row[column]] = sums.get(row[column], 0) + row["calls"]
    return dict(sorted(sums.items()))


def _total(rows: Iterable[dict[str, Any]], measure: str, **where: str) -> int:
    return sum(row[measure] for row in rows if all(row[name] == value for name, value in where.items()))
