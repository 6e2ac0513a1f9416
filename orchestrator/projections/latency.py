"""Latency: how long calls stayed, and where the time went. All durations in seconds.

Stages: `hit` is a call answered by the cache, `collapsed` one that waited for another, `miss` one that
asked a provider, `failed` one without an answer: the whole stay each. Of a miss, `upstream` is the time
spent waiting for providers and `added` the rest, which is ours. `attempt` is one call to one provider,
however it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.events import AttemptFailed, AttemptSucceeded, Envelope, RequestCompleted, RequestFailed
from orchestrator.projections.buckets import bucket_of, longest, quantile
from orchestrator.projections.fold import Counts, Increment, Key, Rollup, grouped, minute_of
from orchestrator.projections.hit_rate import HITS

QUANTILES = {"p50_s": 0.50, "p90_s": 0.90, "p95_s": 0.95, "p99_s": 0.99}
"""Columns of the report, and the share of calls that were not slower."""


class LatencyRollup(Rollup):
    """Counts durations by stage in exponential buckets; `total_us` keeps their sum, in whole microseconds."""

    name = "latency"
    dimensions = ("minute", "stage", "operation", "provider", "client", "bucket")
    measures = ("calls", "total_us")

    def increments(self, envelope: Envelope) -> Iterator[Increment]:
        """One count for each stage that the event ends."""
        match envelope.event:
            case RequestCompleted() as done:
                for stage, duration_s in _stages(done):
                    names = stage, done.operation, done.provider, done.client
                    yield _timed(envelope, names, duration_s)
            case RequestFailed() as failed:
                yield _timed(envelope, ("failed", failed.operation, "", failed.client), failed.duration_s)
            case AttemptSucceeded() | AttemptFailed() as attempt:
                yield _timed(envelope, ("attempt", "", attempt.provider, ""), attempt.duration_s)
            case _:
                pass

    def report(self, counts: Mapping[Key, Counts], by: str) -> dict[str, Any]:
        """Quantiles of each stage, and in `rows` of each stage for each value of `by` (none for `""`)."""
        stages = grouped(counts, self.dimensions, "stage")
        return {
            "by": by,
            "stages": [{"stage": stage, **_summary(items)} for stage, items in stages.items()],
            "rows": [
                {by: value, "stage": stage, **_summary(items)}
                for stage, of_stage in stages.items()
                for value, items in grouped(dict(of_stage), self.dimensions, by).items()
            ]
            if by
            else [],
        }


def _stages(done: RequestCompleted) -> tuple[tuple[str, float], ...]:
    if done.cache in HITS:
        return (("hit", done.duration_s),)
    if done.cache == "collapsed":
        return (("collapsed", done.duration_s),)
    added_s = max(done.duration_s - done.upstream_s, 0.0)
    return ("miss", done.duration_s), ("upstream", done.upstream_s), ("added", added_s)


def _timed(envelope: Envelope, names: tuple[str, str, str, str], duration_s: float) -> Increment:
    key = (minute_of(envelope.at), *names, bucket_of(duration_s))
    return key, (1, round(duration_s * 1_000_000))


def _summary(items: Iterable[Increment]) -> dict[str, Any]:
    buckets: dict[int, int] = {}
    total_us = 0
    for key, (calls, spent_us) in items:
        bucket = int(key[-1])
        buckets[bucket] = buckets.get(bucket, 0) + calls
        total_us += spent_us
    calls = sum(buckets.values())
    return {
        "calls": calls,
        "mean_s": total_us / calls / 1_000_000 if calls else None,
        **{name: quantile(buckets, share) for name, share in QUANTILES.items()},
        "max_s": longest(buckets),
    }
