"""Queries: which searches are asked most, fail, are slow, find nothing, or are fetched again and again."""

from __future__ import annotations

from orchestrator.events import RequestCompleted, RequestFailed
from orchestrator.history import CALLERS_OWN, HITS
from orchestrator.projections.fold import DAY_S, HOUR_S, Increment, Rollup, microseconds

SLOW_S = 2.0
"""chosen: a search that takes longer is slow to whoever waits; a provider's basic search takes about 1 s."""


class QueriesRollup(Rollup):
    """Counts ends of searches by cache key; the text behind a key is in the table of texts, or nowhere.

    `fetched` was answered by a provider; `slow` took longer than `SLOW_S`; `failed` leaves out what only the
    caller can mend. Kept by the hour and by the day: a row for each query and minute would be a second event
    log.
    """

    name = "queries"
    dimensions = ("key",)
    measures = ("calls", "hits", "fetched", "empty", "failed", "slow", "duration_us", "cost_usd_micros")
    spans_s = (HOUR_S, DAY_S)
    ranked_by = ("calls", "fetched", "empty", "failed", "slow")

    def __init__(self) -> None:
        self.adds = {RequestCompleted: _answered, RequestFailed: _failed}


def _answered(minute: int, done: RequestCompleted) -> tuple[Increment, ...]:
    if not done.key:
        return ()
    counts = (
        1,
        int(done.cache in HITS),
        int(done.cache == "miss"),
        int(not done.results),
        0,
        int(done.duration_s > SLOW_S),
        microseconds(done.duration_s),
        done.cost.usd_micros,
    )
    return (((minute, done.key), counts),)


def _failed(minute: int, failed: RequestFailed) -> tuple[Increment, ...]:
    if not failed.key:
        return ()
    is_ours = failed.error not in CALLERS_OWN
    counts = (
        1,
        0,
        0,
        0,
        int(is_ours),
        int(failed.duration_s > SLOW_S),
        microseconds(failed.duration_s),
        0,
    )
    return (((minute, failed.key), counts),)
