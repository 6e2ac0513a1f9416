"""The event store: is everything that happens recorded, counted, and small enough to be kept?"""

from __future__ import annotations

from grafana.model import dashboard, row
from grafana.panels import (
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Json,
    override,
    promql,
    sql,
    stat,
    table,
    thresholds,
    time_series,
)
from grafana.parts import sources

LATE = thresholds((None, GREEN), (10, YELLOW), (30, RED))
"""Seconds; beyond 30 /metrics answers 503 rather than with old figures."""

NONE_AT_BEST = thresholds((None, GREEN), (1, RED))


def _figures() -> tuple[tuple[int, Json], ...]:
    store = "SELECT {} FROM dashboard_store"
    return (
        (
            4,
            stat(
                "Newest position",
                "How far the log reaches. Positions rise, and gaps mean nothing.",
                sql(store.format("position")),
                unit="none",
            ),
        ),
        (
            4,
            stat(
                "Not counted",
                "Positions between the newest frame and the newest that every report counts.",
                sql(store.format("position - counted_position AS behind")),
                unit="none",
            ),
        ),
        (
            4,
            stat(
                "Projection lag",
                "The age of the oldest frame in the database that is not counted. Beyond 30 s /metrics"
                " answers 503.",
                sql(store.format("lag_s")),
                unit="s",
                thresholds=LATE,
            ),
        ),
        (
            4,
            stat(
                "Parked frames",
                "Frames with something that cannot be counted; they stay in the log. Each is listed below.",
                sql(store.format("parked")),
                unit="none",
                thresholds=NONE_AT_BEST,
            ),
        ),
        (
            4,
            stat(
                "Log begins",
                "When the oldest frame was recorded that was not pruned.",
                sql(store.format("oldest_at * 1000 AS oldest_ms")),
                unit="dateTimeAsLocal",
            ),
        ),
        (
            4,
            stat(
                "Newest frame",
                "When the newest frame was recorded.",
                sql(store.format("newest_at * 1000 AS newest_ms")),
                unit="dateTimeFromNow",
            ),
        ),
    )


def _frames() -> Json:
    return time_series(
        "Frames recorded",
        "Frames a second that each instance's recorder has written to the database.",
        promql("sum by (instance) (rate(amos_recorder_frames_total[$__rate_interval]))", "{{instance}}"),
        unit="wps",
    )


def _journal() -> Json:
    return time_series(
        "Journal backlog",
        "Bytes in each instance's journal that are not in the database yet, as a share of what it may"
        " hold. A full journal ends the service.",
        promql("max by (instance) (amos_journal_backlog_bytes / amos_journal_max_bytes)", "{{instance}}"),
        unit="percentunit",
        thresholds=thresholds((None, "transparent"), (0.5, ORANGE)),
    )


def _lag() -> Json:
    return time_series(
        "Recorder lag",
        "How old the figures from each instance's journal may be; it grows when its recorder is stuck or"
        " dead.",
        promql("max by (instance) (amos_recorder_lag_seconds)", "{{instance}}"),
        promql("max(amos_projection_lag_seconds)", "projection"),
        unit="s",
        thresholds=thresholds((None, "transparent"), (30, RED)),
    )


def _writable() -> Json:
    return time_series(
        "Trouble",
        "1 where a journal cannot be written, a recorder says that something is wrong, or Redis is out"
        " of reach.",
        promql("1 - min by (instance) (amos_journal_writable)", "{{instance}} journal"),
        promql("max by (instance) (amos_recorder_faulty)", "{{instance}} recorder"),
        promql("1 - min by (instance) (amos_redis_up)", "{{instance}} Redis"),
        unit="none",
        max=1,
    )


def _segments() -> Json:
    return time_series(
        "Set aside",
        "Since the recorder's start: damaged segments that were set aside, frames that were parked,"
        " events of types of a later version. All at zero is as it should be.",
        *(
            promql(f"sum by (instance) (amos_recorder_{what}_total)", f"{{{{instance}}}} {what}")
            for what in ("damaged", "parked", "unknown")
        ),
        unit="short",
    )


def _traces() -> Json:
    return time_series(
        "Traces exported",
        "Spans a second that a collector took, and calls a second of which none went out. Empty where"
        " traces are not exported.",
        promql("sum(rate(amos_recorder_traces_exported_total[$__rate_interval]))", "spans exported"),
        promql("sum(rate(amos_recorder_traces_dropped_total[$__rate_interval]))", "calls dropped"),
        unit="ops",
    )


def _memory() -> Json:
    return time_series(
        "Cache in memory",
        "Bytes of answers that the processes hold, and what they may hold now; the bound falls when"
        " memory is short.",
        promql("sum by (instance) (amos_cache_l1_bytes)", "{{instance}}"),
        promql("sum by (instance) (amos_cache_l1_max_bytes)", "{{instance}} at most"),
        unit="bytes",
    )


def _checkpoints() -> Json:
    return table(
        "Projections",
        "How far each projection has counted, and how many positions are behind it.",
        sql(
            "SELECT projection, position, behind FROM dashboard_checkpoints ORDER BY behind DESC, projection"
        ),
    )


def _sizes() -> Json:
    return table(
        "Tables",
        "The space that tables and their indexes take, and about how many rows there are; the estimate"
        " is PostgreSQL's.",
        sql(
            "SELECT name, rows_estimate, table_bytes, index_bytes FROM dashboard_tables"
            " ORDER BY table_bytes + index_bytes DESC"
        ),
        tuple(override(name, ("unit", "bytes")) for name in ("table_bytes", "index_bytes")),
    )


def _parked() -> Json:
    return table(
        "What is parked",
        "What could not be counted and why, the newest first. `amos events show` has the frame.",
        sql(
            "SELECT time, position, stream, reason, events FROM dashboard_parked ORDER BY position DESC"
            " LIMIT 100"
        ),
    )


def build() -> Json:
    """The whole dashboard."""
    return dashboard(
        "amos-event-store",
        "AMOS · Event store",
        "Whether everything is recorded and counted: journals, recorders, projections, and the space"
        " they take.",
        variables=sources(),
        annotations=(),
        rows=(
            row("Now", (4, _figures())),
            row(
                "Writing",
                (8, [(8, _frames()), (8, _journal()), (8, _lag())]),
                (7, [(8, _writable()), (8, _segments()), (8, _traces())]),
            ),
            row("Keeping", (9, [(8, _checkpoints()), (8, _sizes()), (8, _memory())]), (7, [(24, _parked())])),
        ),
    )
