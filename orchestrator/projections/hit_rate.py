"""Hit rate: how many answers came from the cache, and from which tier."""

from __future__ import annotations

from orchestrator.events import RequestCompleted
from orchestrator.projections.fold import Increment, Rollup
from orchestrator.relays import RELAYED


class HitRateRollup(Rollup):
    """Counts answered calls by how the cache served them.

    Failed ones have no place in a hit rate, nor have those that were passed on: there was nothing to hit.
    """

    name = "hit_rate"
    dimensions = ("operation", "door", "client", "topic", "provider", "cache")
    measures = ("requests", "results", "stale")

    def __init__(self) -> None:
        self.adds = {RequestCompleted: _answered}


def _answered(minute: int, done: RequestCompleted) -> tuple[Increment, ...]:
    if done.cache == RELAYED:
        return ()
    key = (minute, done.operation, done.door, done.client, done.topic, done.provider, done.cache)
    return ((key, (1, done.results, int(done.stale))),)
