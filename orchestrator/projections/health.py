"""Health: how calls ended, and how many were turned away at the door."""

from __future__ import annotations

from orchestrator.events import RequestCompleted, RequestFailed
from orchestrator.facts import CallersRefused
from orchestrator.projections.fold import Increment, Rollup


class HealthRollup(Rollup):
    """Counts ends of calls: `answered`, `failed` (`reason` is the error's code) and `refused` (by reason)."""

    name = "health"
    dimensions = ("operation", "outcome", "reason")
    measures = ("calls", "degraded", "fallback", "stale", "empty")

    def __init__(self) -> None:
        self.adds = {RequestCompleted: _answered, RequestFailed: _failed, CallersRefused: _refused}


def _answered(minute: int, done: RequestCompleted) -> tuple[Increment, ...]:
    marks = (1, int(done.degraded), int(done.fallback), int(done.stale), int(not done.results))
    return (((minute, done.operation, "answered", ""), marks),)


def _failed(minute: int, failed: RequestFailed) -> tuple[Increment, ...]:
    return (((minute, failed.operation, "failed", failed.error), (1, 0, 0, 0, 0)),)


def _refused(minute: int, refused: CallersRefused) -> tuple[Increment, ...]:
    return (((minute, "", "refused", refused.reason), (refused.count, 0, 0, 0, 0)),)
