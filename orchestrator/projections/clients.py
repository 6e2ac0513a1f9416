"""Clients: who asks for how much, through which doors, and what becomes of it."""

from __future__ import annotations

from orchestrator.events import RequestCompleted, RequestFailed
from orchestrator.history import HITS
from orchestrator.projections.fold import Increment, Rollup, microseconds


class ClientsRollup(Rollup):
    """Counts ends of calls by client; `duration_us` and `upstream_us` are sums in whole microseconds."""

    name = "clients"
    dimensions = ("client", "operation", "door", "outcome", "error")
    measures = ("requests", "hits", "collapsed", "results", "stale", "degraded", "duration_us", "upstream_us")

    def __init__(self) -> None:
        self.adds = {RequestCompleted: _answered, RequestFailed: _failed}


def _answered(minute: int, done: RequestCompleted) -> tuple[Increment, ...]:
    key = (minute, done.client, done.operation, done.door, "answered", "")
    counts = (
        1,
        int(done.cache in HITS),
        int(done.cache == "collapsed"),
        done.results,
        int(done.stale),
        int(done.degraded),
        microseconds(done.duration_s),
        microseconds(done.upstream_s),
    )
    return ((key, counts),)


def _failed(minute: int, failed: RequestFailed) -> tuple[Increment, ...]:
    key = (minute, failed.client, failed.operation, failed.door, "failed", failed.error)
    stay = (microseconds(failed.duration_s), microseconds(failed.upstream_s))
    return ((key, (1, 0, 0, 0, 0, 0, *stay)),)
