"""The components of an installation as /health and /readyz show them; each look is instant."""

from __future__ import annotations

from pathlib import Path

from orchestrator.gateway import ComponentHealth
from orchestrator.key_ring import KeyRing
from storage.file_journal import FileJournal
from storage.file_status import read_status
from storage.memory_cache import MemoryCache
from storage.redis_client import RedisClient

RECORDER_LAG_S_MAX = 30.0
"""chosen: reports that are further behind than this are no picture of the present."""


def journal_health(journal: FileJournal) -> ComponentHealth:
    """A journal that takes no frames is down: no call can be answered without its record."""
    seen = journal.look()
    return ComponentHealth(
        name="journal",
        status="down" if seen.fault else "ok",
        since=seen.since,
        detail=seen.fault or f"{seen.backlog_bytes} bytes on disk.",
    )


def recorder_health(data_dir: Path, now: float, started_at: float) -> ComponentHealth:
    """A recorder that is behind or dead degrades reports; it does not stop the gateway from answering.

    Where none ever ran it is missing since `started_at`, when the gateway began.
    """
    status = read_status(data_dir)
    if status is None:
        return _recorder("degraded", started_at, "No recorder has run on this data directory.")
    if status.fault:
        return _recorder("degraded", status.since, status.fault)
    lag_s = status.lag_s(now)
    if lag_s > RECORDER_LAG_S_MAX:
        since = max(status.drained_at + RECORDER_LAG_S_MAX, status.since)
        return _recorder("degraded", since, f"Reports are {lag_s:.0f} s behind; is the recorder running?")
    return _recorder("ok", status.since)


def traces_health(data_dir: Path, now: float, started_at: float) -> ComponentHealth:
    """The export of traces, which nothing depends on. The recorder does it and says how it goes."""
    status = read_status(data_dir)
    traces = status.traces if status is not None else None
    if status is None or traces is None:
        detail = "No recorder that exports traces has run on this data directory; restart it."
        return ComponentHealth(name="traces", status="degraded", since=started_at, detail=detail)
    if traces.fault:
        detail = f"{traces.fault} {traces.dropped} calls were given up so far."
        return ComponentHealth(name="traces", status="degraded", since=traces.since, detail=detail)
    if now - status.at > RECORDER_LAG_S_MAX:
        since, detail = status.at + RECORDER_LAG_S_MAX, "The recorder exports them; is it running?"
        return ComponentHealth(name="traces", status="degraded", since=since, detail=detail)
    detail = "The recorder of another machine exports them for all."
    if not traces.is_elsewhere:
        detail = (
            f"{traces.exported} spans exported since the recorder's start, {traces.dropped} calls given up."
        )
    return ComponentHealth(name="traces", status="ok", since=traces.since, detail=detail)


def keys_health(ring: KeyRing) -> ComponentHealth:
    """The API keys: never seen is down, since nobody can be known; seen once they are checked from memory."""
    if not ring.is_known:
        detail = f"The API keys could not be read since the start: {ring.fault}"
        return ComponentHealth(name="keys", status="down", since=ring.since, detail=detail)
    if ring.fault:
        detail = f"Keys are checked as they were last seen; a revoked one still opens. {ring.fault}"
        return ComponentHealth(name="keys", status="degraded", since=ring.since, detail=detail)
    return ComponentHealth(name="keys", status="ok", since=ring.since)


def cache_health(cache: MemoryCache) -> ComponentHealth:
    """The memory cache, which cannot fail."""
    detail = f"{len(cache)} answers, {cache.size_bytes} bytes."
    return ComponentHealth(name="cache:l1", status="ok", since=cache.since, detail=detail)


def redis_health(name: str, redis: RedisClient) -> ComponentHealth:
    """A component that instances share. Without it each goes on by itself: degraded, never down."""
    outage = redis.outage
    return ComponentHealth(
        name=name,
        status="degraded" if outage else "ok",
        since=redis.since,
        detail=f"Out of reach: {outage.detail}." if outage else f"{redis.address}",
    )


def _recorder(status: str, since: float, detail: str = "") -> ComponentHealth:
    return ComponentHealth(name="recorder", status=status, since=since, detail=detail)
