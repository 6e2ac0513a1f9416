"""Latency: how long calls stayed, and where the time went, as counts in exponential buckets.

Stages: `hit` is a call answered by the cache with a fresh answer, `stale` with an old one, at once or after a
vain wait, `collapsed` one that waited for another, `miss` one that asked a provider, `relayed` one that was
passed on (a crawl takes minutes), `failed` one without an answer: the whole stay each. Of a miss, `upstream`
is the time spent waiting for providers and `added` the rest, which is ours. `attempt` is one call to one
provider, however it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.events import (
    AttemptFailed,
    AttemptSucceeded,
    RequestCompleted,
    RequestFailed,
)
from orchestrator.history import HITS
from orchestrator.projections.buckets import bucket_of
from orchestrator.projections.fold import Counts, Increment, Rollup, microseconds
from orchestrator.relays import RELAYED

WHOLE_STAYS = ("hit", "stale", "collapsed", "miss", RELAYED, "failed")
"""The stages that are a whole stay of a call: each call is in one of them."""

WITHIN_S = {"within_20ms": 0.02, "within_9s": 9.0}
"""Durations that are promised, which are no bound of a bucket: 20 ms for what the gateway itself adds, and
the deadline that agents wait for (settings.py). Counted exactly, beside the buckets."""

_SOON_S, _IN_TIME_S = WITHIN_S.values()


class LatencyRollup(Rollup):
    """Counts durations by stage and bucket; `total_us` keeps their sum, in whole microseconds."""

    name = "latency"
    dimensions = ("stage", "operation", "provider", "bucket")
    measures = ("calls", "total_us", *WITHIN_S)

    def __init__(self) -> None:
        self.adds = {
            RequestCompleted: _answered,
            RequestFailed: _failed,
            AttemptSucceeded: _attempt,
            AttemptFailed: _attempt,
        }


class StageLatencyRollup(Rollup):
    """The same by nothing but the stage.

    Apart, because a month by the hour is read from every row there is: providers and operations would more
    than double them.
    """

    name = "stage_latency"
    dimensions = ("stage", "bucket")
    measures = ("calls", "total_us", *WITHIN_S)

    def __init__(self) -> None:
        self.adds = {event: _of_stages(adds) for event, adds in LatencyRollup().adds.items()}


class ClientLatencyRollup(Rollup):
    """The same by client, for the stages that are a whole stay.

    Apart, because clients times providers times buckets would be many rows.
    """

    name = "client_latency"
    dimensions = ("client", "stage", "bucket")
    measures = ("calls", "total_us", *WITHIN_S)

    def __init__(self) -> None:
        self.adds = {RequestCompleted: _clients_answered, RequestFailed: _clients_failed}


def stage_of(done: RequestCompleted) -> str:
    """The stage whose duration is the whole stay of an answered call."""
    if done.cache in HITS:
        return "stale" if done.stale else "hit"
    return done.cache if done.cache in ("collapsed", RELAYED) else "miss"


def _answered(minute: int, done: RequestCompleted) -> tuple[Increment, ...]:
    stage = stage_of(done)
    whole = _timed(minute, stage, done.operation, done.provider, done.duration_s)
    if stage != "miss":
        return (whole,)
    added_s = max(done.duration_s - done.upstream_s, 0.0)
    return (
        whole,
        _timed(minute, "upstream", done.operation, done.provider, done.upstream_s),
        _timed(minute, "added", done.operation, done.provider, added_s),
    )


def _failed(minute: int, failed: RequestFailed) -> tuple[Increment, ...]:
    return (_timed(minute, "failed", failed.operation, "", failed.duration_s),)


def _attempt(minute: int, ended: AttemptSucceeded | AttemptFailed) -> tuple[Increment, ...]:
    return (_timed(minute, "attempt", ended.operation, ended.provider, ended.duration_s),)


def _of_stages(
    adds: Callable[[int, Any], Iterable[Increment]],
) -> Callable[[int, Any], Iterable[Increment]]:
    """The increments of a latency rollup without operation and provider."""
    return lambda minute, event: [
        ((minute, stage, bucket), counts) for (_, stage, _, _, bucket), counts in adds(minute, event)
    ]


def _clients_answered(minute: int, done: RequestCompleted) -> tuple[Increment, ...]:
    key = (minute, done.client, stage_of(done), bucket_of(done.duration_s))
    return ((key, _counts(done.duration_s)),)


def _clients_failed(minute: int, failed: RequestFailed) -> tuple[Increment, ...]:
    key = (minute, failed.client, "failed", bucket_of(failed.duration_s))
    return ((key, _counts(failed.duration_s)),)


def _timed(minute: int, stage: str, operation: str, provider: str, duration_s: float) -> Increment:
    return (minute, stage, operation, provider, bucket_of(duration_s)), _counts(duration_s)


def _counts(duration_s: float) -> Counts:
    return 1, microseconds(duration_s), int(duration_s <= _SOON_S), int(duration_s <= _IN_TIME_S)
