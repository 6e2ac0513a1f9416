"""What is measured of one process and its recorder, for `/metrics/instance`, at the moment it is asked for.

No SQL is asked, so it is answered when the database is gone, which is when it matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from api import __version__
from api.cache import InstanceCache
from api.loop_lag import LoopLag
from api.probes import recorder_lag_s
from orchestrator.ports import Clock
from orchestrator.reports.metrics import COUNTER, GAUGE, HISTOGRAM, Family, gauge
from storage.file_journal import FileJournal
from storage.file_status import RecorderStatus, read_status
from storage.redis_client import RedisClient


class ProcessFigures(NamedTuple):
    """The parts of a running gateway that can be measured."""

    clock: Clock
    started_at: float
    data_dir: Path
    journal: FileJournal
    cache: InstanceCache
    redis: RedisClient | None
    loop_lag: LoopLag

    def measure(self) -> tuple[Family, ...]:
        """All figures, now."""
        now = self.clock.now()
        lag_s = recorder_lag_s(self.data_dir, now, self.started_at)
        return (
            Family(
                "amos_build_info",
                "The version that runs, and the series of frames it writes.",
                GAUGE,
                ("version", "journal"),
                (((__version__, self.journal.instance), 1),),
            ),
            Family(
                "amos_event_loop_lag_seconds",
                "How late the event loop was, looked at ten times a second.",
                HISTOGRAM,
                (),
                (((), self.loop_lag.seen),),
            ),
            *self._journal(),
            gauge("amos_recorder_lag_seconds", "How old the figures from this journal may be.", lag_s),
            *recorder_figures(read_status(self.data_dir)),
            *self._cache(),
            *(redis_figures(self.redis) if self.redis is not None else ()),
        )

    def _journal(self) -> Iterator[Family]:
        seen = self.journal.look()
        yield gauge(
            "amos_journal_backlog_bytes",
            "Segments in the journal's folder, of all writers there.",
            seen.backlog_bytes,
        )
        yield gauge("amos_journal_max_bytes", "What the journal may grow to.", self.journal.bytes_max)
        yield gauge(
            "amos_journal_writable", "1 if the journal takes frames, 0 if calls are refused.", not seen.fault
        )

    def _cache(self) -> Iterator[Family]:
        l1, memory = self.cache.l1, self.cache.memory
        yield gauge("amos_cache_l1_entries", "Answers in this process's memory.", len(l1))
        yield gauge("amos_cache_l1_bytes", "What they take.", l1.size_bytes)
        yield gauge("amos_cache_l1_max_bytes", "What they may take now.", l1.bytes_max)
        yield gauge(
            "amos_cache_l1_configured_bytes",
            "What they may take when memory is not short.",
            l1.bytes_configured,
        )
        yield Family(
            "amos_cache_l1_evictions_total",
            "Answers that were pushed out by others.",
            COUNTER,
            (),
            (((), l1.evictions),),
        )
        usage = memory.usage
        if usage is not None:
            yield gauge("amos_memory_used_bytes", "Of the memory whose limit is nearest.", usage.used_bytes)
            yield gauge("amos_memory_limit_bytes", "That limit.", usage.limit_bytes)


def redis_figures(redis: RedisClient) -> Iterator[Family]:
    """The way to Redis."""
    yield gauge("amos_redis_up", "1 if Redis is in reach, 0 if this process goes on alone.", not redis.outage)
    yield gauge("amos_redis_pending_commands", "Commands that wait for an exchange.", redis.pending)
    yield gauge("amos_redis_exchanges_under_way", "Exchanges with Redis.", redis.exchanges)


def recorder_figures(status: RecorderStatus | None) -> Iterator[Family]:
    """What the recorder of this data directory last said of itself, whatever fields its status has.

    Whole numbers count since its start, but bytes are what there is now; other numbers are moments; of a
    fault it is said that there is one.
    """
    yield gauge("amos_recorder_known", "1 if a recorder has run on this data directory.", status is not None)
    if status is not None:
        yield from _fields("amos_recorder", status)


def _fields(prefix: str, status: msgspec.Struct) -> Iterator[Family]:
    for field in msgspec.structs.fields(status):
        value = getattr(status, field.name)
        name = f"{prefix}_{field.name}"
        said = f"Of the recorder's status: {field.name}."
        if field.name == "fault":
            yield gauge(f"{prefix}_faulty", "1 if the recorder says that something is wrong.", bool(value))
        elif isinstance(value, msgspec.Struct):
            yield from _fields(name, value)
        elif isinstance(value, float):
            moment = "status" if field.name == "at" else field.name.removesuffix("_at")
            yield gauge(f"{prefix}_{moment}_timestamp_seconds", said, value)
        elif isinstance(value, bool) or name.endswith("_bytes"):
            yield gauge(name, said, value)
        elif isinstance(value, int) and field.name != "pid":
            yield Family(f"{name}_total", said, COUNTER, (), (((), value),))
