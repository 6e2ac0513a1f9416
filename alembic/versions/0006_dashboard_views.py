"""Views for dashboards: the rollups, executions and the standing of the log, without generations and spans.

Revision 0006, after 0005.

A dashboard must not know how counts are kept. So each view of a rollup shows the live generation alone,
follows when `amos events replay` puts another in its place, and covers all of time once for each
`resolution_s` (60, 3600, 86400): with the rows of that span as long as there are any, before that with the
next longer ones; `span_s` is how much time a row is really about, and a constant, so that a planner may
reckon with it. All columns that are times are epoch seconds; on PostgreSQL `time` is the same as a timestamp.

The views are ordinary ones: what is asked of them becomes ranges of the primary keys below. On PostgreSQL
they are read with the rights of their owner, so somebody may read them without reading the tables. The texts
of queries are shown only to those who may read the table of texts themselves.
"""

# ruff: noqa: S608 - what is put into the SQL is a name of ours

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LIVE = "(SELECT generation FROM projection_state)"
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
BY_MINUTE, BY_HOUR = (MINUTE_S, HOUR_S, DAY_S), (HOUR_S, DAY_S)
"""The spans that a rollup is kept by."""

TWO = "CAST(2 AS double precision)"
BUCKET = (
    f"power({TWO}, (bucket + 1) / 32.0) AS upper_s",
    f"2 * power({TWO}, (bucket + 1) / 32.0) / (1 + power({TWO}, 1 / 32.0)) AS estimate_s",
)
"""The longest duration in a bucket and the one that stands for it: orchestrator/projections/buckets.py."""

STAYS = ("calls", "total_us", "within_20ms", "within_9s")

ROLLUPS: dict[str, tuple[str, tuple[int, ...], tuple[str, ...], str]] = {
    "dashboard_outcomes": (
        "rollup_health",
        BY_MINUTE,
        ("operation", "outcome", "reason", "calls", "degraded", "fallback", "stale", "empty"),
        "How calls ended, and how many were turned away at the door.",
    ),
    "dashboard_requests": (
        "rollup_clients",
        BY_MINUTE,
        (
            *("client", "operation", "door", "outcome", "error", "requests", "hits", "collapsed"),
            *("results", "stale", "degraded", "duration_us", "upstream_us"),
        ),
        "Ends of calls by client and door.",
    ),
    "dashboard_cache": (
        "rollup_hit_rate",
        BY_MINUTE,
        ("operation", "door", "client", "topic", "provider", "cache", "requests", "results", "stale"),
        "Answered calls by how the cache served them.",
    ),
    "dashboard_latency": (
        "rollup_latency",
        BY_MINUTE,
        ("stage", "operation", "provider", "bucket", *BUCKET, *STAYS),
        "Durations by stage, provider and bucket.",
    ),
    "dashboard_stage_latency": (
        "rollup_stage_latency",
        BY_MINUTE,
        ("stage", "bucket", *BUCKET, *STAYS),
        "Durations by stage and bucket: the same in fewer rows.",
    ),
    "dashboard_client_latency": (
        "rollup_client_latency",
        BY_MINUTE,
        ("client", "stage", "bucket", *BUCKET, *STAYS),
        "Durations of whole calls by client and bucket.",
    ),
    "dashboard_providers": (
        "rollup_providers",
        BY_MINUTE,
        (
            *("provider", "subject", "operation", "outcome", "reason"),
            *("calls", "executions", "results", "duration_us"),
        ),
        "Facts about providers: attempts, answers, skips, retries, hedges, circuits.",
    ),
    "dashboard_ledger": (
        "rollup_ledger",
        BY_MINUTE,
        (
            *("provider", "client", "operation", "unit", "calls", "spent", "spent_usd_micros"),
            *("assumed", "assumed_usd_micros", "saved", "saved_usd_micros"),
        ),
        "What was spent, assumed and saved: money in millionths of USD, units in millionths.",
    ),
    "dashboard_queries": (
        "rollup_queries",
        BY_HOUR,
        ("key", "calls", "hits", "fetched", "empty", "failed", "slow", "duration_us", "cost_usd_micros"),
        "Ends of searches by cache key, by the hour at best.",
    ),
}

TRACE = {
    "postgresql": """substring(first.events FROM '"trace_id":"([0-9a-f]{32})"')""",
    "sqlite": "CASE WHEN json_valid(first.events) THEN json_extract(first.events, '$[0].event.trace_id') END",
}
"""From the first frame of an execution; a row that is no JSON must not end a query over all the others."""

STATE = {
    "postgresql": """substring(events FROM '"type":"amos\\.circuit\\.([a-z_]+)\\.v[0-9]+"')""",
    "sqlite": """CASE WHEN json_valid(events) THEN replace(replace(
        json_extract(events, '$[0].event.type'), 'amos.circuit.', ''), '.v1', '') END""",
}
REASON = {
    "postgresql": """substring(events FROM '"reason":"([^"]*)"')""",
    "sqlite": "CASE WHEN json_valid(events) THEN json_extract(events, '$[0].event.reason') END",
}
NOW = {
    "postgresql": "CAST(extract(epoch FROM now()) AS double precision)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400)",
}
TEXT = {
    "postgresql": "CASE WHEN has_table_privilege(current_user, 'queries'::regclass, 'SELECT') THEN text END",
    "sqlite": "text",
}
TABLES = {
    "postgresql": """
        SELECT CAST(c.relname AS text) AS name, CAST(greatest(c.reltuples, 0) AS bigint) AS rows_estimate,
               pg_table_size(c.oid) AS table_bytes, pg_indexes_size(c.oid) AS index_bytes
        FROM pg_class AS c
        WHERE c.relkind = 'r'
          AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'frames'::regclass)
    """,
    # SQLite tells the sizes of tables only where it was built to; that of the file it always tells.
    "sqlite": """
        SELECT 'database' AS name, NULL AS rows_estimate, page_count * page_size AS table_bytes,
               0 AS index_bytes
        FROM pragma_page_count, pragma_page_size
    """,
}


def upgrade() -> None:
    """Create the views."""
    engine = op.get_bind().dialect.name
    for name, (table, spans_s, columns, comment) in ROLLUPS.items():
        _create(engine, name, _of_rollup(engine, table, spans_s, columns), comment)
    for name, (query, comment) in _others(engine).items():
        _create(engine, name, query, comment)


def downgrade() -> None:
    """Drop the views; nothing is lost."""
    for name in reversed([*ROLLUPS, *_others("sqlite")]):
        op.execute(f"DROP VIEW {name}")


def _create(engine: str, name: str, query: str, comment: str) -> None:
    op.execute(f"CREATE VIEW {name} AS {query}")
    if engine == "postgresql":
        op.execute(f"COMMENT ON VIEW {name} IS '{comment}'")


def _time(engine: str, column: str) -> str:
    return f", to_timestamp({column}) AS time" if engine == "postgresql" else ""


def _of_rollup(engine: str, table: str, spans_s: tuple[int, ...], columns: tuple[str, ...]) -> str:
    """For each resolution the rows of its span, and before those begin the rows of the longer ones."""
    branches = []
    for resolution_s in BY_MINUTE:
        until = ""
        for span_s in (span_s for span_s in spans_s if span_s >= resolution_s):
            kept_from = f"coalesce((SELECT kept_from FROM compactions WHERE span_s = {span_s}), 0)"
            branches.append(
                f"SELECT {resolution_s} AS resolution_s, {span_s} AS span_s, start AS epoch_s"
                f"{_time(engine, 'start')}, {', '.join(columns)} FROM {table}"
                f" WHERE generation = {LIVE} AND span_s = {span_s} AND start >= {kept_from}{until}"
            )
            until = f" AND start < {kept_from}"
    return " UNION ALL ".join(branches)


def _others(engine: str) -> dict[str, tuple[str, str]]:
    """The views that are of no rollup, with their comments."""
    time = _time(engine, "recorded_at")
    return {
        "dashboard_executions": (
            f"""SELECT position, stream AS execution_id, coalesce(nullif((
                    SELECT {TRACE[engine]} FROM frames AS first
                    WHERE first.stream = frames.stream ORDER BY first.position LIMIT 1
                ), ''), replace(stream, '-', '')) AS trace_id, recorded_at{time}, operation, door, client,
                topic, provider, cache, outcome, error, duration_s
            FROM frames WHERE outcome <> ''""",
            "Executions that have ended, without what was asked.",
        ),
        "dashboard_circuits": (
            f"""SELECT position, recorded_at{time}, substr(stream, 9) AS provider, {STATE[engine]} AS state,
                coalesce({REASON[engine]}, '') AS reason, instance
            FROM frames WHERE stream IN (
                SELECT 'circuit:' || provider FROM rollup_providers
                WHERE generation = {LIVE} AND span_s = 0 AND subject = 'circuit'
            )""",
            "Changes of the circuits, as they happened.",
        ),
        "dashboard_texts": (
            f"SELECT key_hash AS key, {TEXT[engine]} AS text FROM queries",
            "What was asked, for those who may read the table queries; NULL for all others.",
        ),
        **_of_log(engine),
    }


def _of_log(engine: str) -> dict[str, tuple[str, str]]:
    """How the log itself stands."""
    counted = f"(SELECT min(position) FROM checkpoints WHERE generation = {LIVE})"
    waiting = f"(SELECT recorded_at FROM frames WHERE position > {counted} ORDER BY position LIMIT 1)"
    newest = "coalesce((SELECT max(position) FROM frames), 0)"
    return {
        "dashboard_store": (
            f"""SELECT {newest} AS position, coalesce({counted}, 0) AS counted_position,
                coalesce({NOW[engine]} - {waiting}, 0) AS lag_s,
                (SELECT min(recorded_at) FROM frames) AS oldest_at,
                (SELECT max(recorded_at) FROM frames) AS newest_at,
                (SELECT count(*) FROM parked WHERE generation = {LIVE}) AS parked""",
            "One row: how far the log reaches, and how much of it is counted.",
        ),
        "dashboard_checkpoints": (
            f"""SELECT projection, position, {newest} - position AS behind
            FROM checkpoints WHERE generation = {LIVE} OR projection LIKE 'traces%'""",
            "How far each projection has counted.",
        ),
        "dashboard_parked": (
            f"""SELECT parked.position AS position, recorded_at{_time(engine, "recorded_at")}, reason,
                parked.events AS events, stream
            FROM parked LEFT JOIN frames ON frames.position = parked.position WHERE generation = {LIVE}""",
            "Frames with something that could not be counted.",
        ),
        "dashboard_tables": (TABLES[engine], "How much space the tables take."),
    }
