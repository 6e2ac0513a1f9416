"""The components of an installation as /health and /readyz show them; each look is instant."""

from __future__ import annotations

from pathlib import Path

from api.cache import InstanceCache
from orchestrator import limits
from orchestrator.health import ComponentHealth
from orchestrator.key_ring import KeyRing
from orchestrator.registrations import RegistrationBook
from storage.file_journal import FileJournal
from storage.file_status import read_status
from storage.redis_client import RedisClient


def journal_health(journal: FileJournal) -> ComponentHealth:
    """A journal that takes no frames is down: no call can be answered without its record."""
    seen = journal.look()
    return ComponentHealth(
        name="journal",
        status="down" if seen.fault else "ok",
        since=seen.since,
        detail=seen.fault or f"{seen.backlog_bytes} bytes on disk.",
        advice=_MAKE_ROOM if seen.fault else "",
    )


def recorder_health(data_dir: Path, now: float, started_at: float) -> ComponentHealth:
    """A recorder that is behind or dead degrades reports; it does not stop the gateway from answering.

    Where none ever ran it is missing since `started_at`, when the gateway began.
    """
    status = read_status(data_dir)
    if status is None:
        detail = "No recorder has run on this data directory."
        return _recorder("degraded", started_at, detail, _START_IT)
    if status.fault:
        return _recorder("degraded", status.since, status.fault, _MEND_IT)
    lag_s = status.lag_s(now)
    if lag_s > limits.REPORTS_LAG_S_MAX:
        since = max(status.drained_at + limits.REPORTS_LAG_S_MAX, status.since)
        detail = f"Reports are {lag_s:.0f} s behind." if status.drained_at else "It is not done yet."
        return _recorder("degraded", since, detail, _START_IT)
    return _recorder("ok", status.since)


def recorder_lag_s(data_dir: Path, now: float, started_at: float) -> float:
    """How old the figures from this data directory may be, in seconds.

    Without any recorder they lack all since `started_at`.
    """
    status = read_status(data_dir)
    return max(now - started_at, 0.0) if status is None else status.lag_s(now)


def traces_health(data_dir: Path, now: float, started_at: float) -> ComponentHealth:
    """The export of traces, which nothing depends on. The recorder does it and says how it goes."""
    status = read_status(data_dir)
    traces = status.traces if status is not None else None
    if status is None or traces is None:
        detail = "No recorder that exports traces has run on this data directory."
        return _traces("degraded", started_at, detail, "Start it again with the settings that are in force.")
    if traces.fault:
        detail = f"{traces.fault} {traces.dropped} calls were given up so far."
        return _traces("degraded", traces.since, detail, _MEND_COLLECTOR)
    if now - status.at > limits.REPORTS_LAG_S_MAX:
        since, detail = status.at + limits.REPORTS_LAG_S_MAX, "The recorder, which exports them, is silent."
        return _traces("degraded", since, detail, _START_IT)
    detail = "The recorder of another machine exports them for all."
    if not traces.is_elsewhere:
        detail = (
            f"{traces.exported} spans exported since the recorder's start, {traces.dropped} calls given up."
        )
    return _traces("ok", traces.since, detail)


def keys_health(ring: KeyRing) -> ComponentHealth:
    """The API keys: never seen is down, since nobody can be known; seen once they are checked from memory."""
    if not ring.fault:
        return ComponentHealth(name="keys", status="ok", since=ring.since)
    status, detail = "degraded", "Keys are checked as they were last seen; a revoked one still opens."
    if not ring.is_known:
        status, detail = "down", "The API keys could not be read since the start:"
    advice = "Get the database back: see the component `database`. Keys are read again every few seconds."
    return ComponentHealth(
        name="keys", status=status, since=ring.since, detail=f"{detail} {ring.fault}", advice=advice
    )


def registrations_health(book: RegistrationBook) -> ComponentHealth:
    """What was said of providers at run time: without the log it is as it was last seen, never down."""
    if not book.fault:
        return ComponentHealth(name="registrations", status="ok", since=book.since)
    detail = "Providers are as they were last seen; what was changed elsewhere since is not in force here."
    if not book.is_known:
        detail = "Only the providers of the settings are asked; others could not be read since the start."
    return ComponentHealth(
        name="registrations",
        status="degraded",
        since=book.since,
        detail=f"{detail} {book.fault}",
        advice="Get the database back: see the component `database`. It is looked at every few seconds.",
    )


def cache_health(cache: InstanceCache) -> ComponentHealth:
    """The memory cache, which cannot fail; it is degraded while it holds less because memory is short."""
    l1, memory = cache.l1, cache.memory
    detail = f"{len(l1)} answers, {l1.size_bytes} of {l1.bytes_max} bytes."
    if not memory.is_short:
        return ComponentHealth(name="cache:l1", status="ok", since=l1.since, detail=detail)
    detail += f" It may hold {l1.bytes_configured} when memory is not short."
    return ComponentHealth(
        name="cache:l1", status="degraded", since=memory.since, detail=detail, advice=_MORE_MEMORY
    )


def redis_health(name: str, redis: RedisClient) -> ComponentHealth:
    """A component that instances share. Without it each goes on by itself: degraded, never down."""
    outage = redis.outage
    return ComponentHealth(
        name=name,
        status="degraded" if outage else "ok",
        since=redis.since,
        detail=f"Out of reach: {outage.detail}." if outage else f"{redis.address}",
        advice=_MEND_REDIS if outage else "",
    )


_MORE_MEMORY = (
    "Fewer answers are kept, so more is paid for. Give the process or its container more memory, or "
    "AMOS_L1_MAX_BYTES less of it; `amos cache stats --url` shows what is in use."
)

_MAKE_ROOM = (
    "Make room on the disk of AMOS_DATA_DIR. A full journal is one that the recorder cannot empty: see the "
    "component `recorder`."
)

_MEND_REDIS = (
    "Look at Redis and at AMOS_REDIS_URL; `amos doctor` tries it. Until then each worker counts and caches "
    "for itself."
)

_START_IT = (
    "Look whether `amos serve` or `amos recorder` runs, and at its log; what it has to do waits for it."
)

_MEND_COLLECTOR = (
    "Look at the collector and at OTEL_EXPORTER_OTLP_ENDPOINT. Calls are served and recorded all the same."
)

_MEND_IT = "Look at the log of `amos serve` or `amos recorder`; what is recorded waits in the journal."


def _recorder(status: str, since: float, detail: str = "", advice: str = "") -> ComponentHealth:
    return ComponentHealth(name="recorder", status=status, since=since, detail=detail, advice=advice)


def _traces(status: str, since: float, detail: str, advice: str = "") -> ComponentHealth:
    return ComponentHealth(name="traces", status=status, since=since, detail=detail, advice=advice)
