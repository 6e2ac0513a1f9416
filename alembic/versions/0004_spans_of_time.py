"""Rollups by minute, hour, day and for ever, in generations; the ledger, clients, providers and queries.

Revision 0004, after 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROLLUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rollup_health": (
        ("operation", "outcome", "reason"),
        ("calls", "degraded", "fallback", "stale", "empty"),
    ),
    "rollup_hit_rate": (
        ("operation", "door", "client", "topic", "provider", "cache"),
        ("requests", "results", "stale"),
    ),
    "rollup_latency": (
        ("stage", "operation", "provider", "bucket"),
        ("calls", "total_us", "within_20ms", "within_9s"),
    ),
    "rollup_stage_latency": (("stage", "bucket"), ("calls", "total_us", "within_20ms", "within_9s")),
    "rollup_client_latency": (
        ("client", "stage", "bucket"),
        ("calls", "total_us", "within_20ms", "within_9s"),
    ),
    "rollup_queries": (
        ("key",),
        ("calls", "hits", "fetched", "empty", "failed", "slow", "duration_us", "cost_usd_micros"),
    ),
    "rollup_ledger": (
        ("provider", "client", "operation", "unit"),
        (
            "calls",
            "spent",
            "spent_usd_micros",
            "assumed",
            "assumed_usd_micros",
            "saved",
            "saved_usd_micros",
        ),
    ),
    "rollup_clients": (
        ("client", "operation", "door", "outcome", "error"),
        ("requests", "hits", "collapsed", "results", "stale", "degraded", "duration_us", "upstream_us"),
    ),
    "rollup_providers": (
        ("provider", "subject", "operation", "outcome", "reason"),
        ("calls", "executions", "results", "duration_us"),
    ),
}

RANKED_BY = ("calls", "fetched", "empty", "failed", "slow")

BEFORE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rollup_health": (
        ("subject", "operation", "provider", "outcome", "reason"),
        ("calls", "degraded", "fallback", "stale", "empty"),
    ),
    "rollup_hit_rate": (
        ("operation", "door", "client", "topic", "provider", "cache"),
        ("requests", "results", "stale", "saved_usd_micros", "cost_usd_micros", "assumed_usd_micros"),
    ),
    "rollup_latency": (("stage", "operation", "provider", "client", "bucket"), ("calls", "total_us")),
}


def upgrade() -> None:
    """Make the tables anew, empty; without checkpoints the recorder counts from the first frame again."""
    for table in (*BEFORE, "checkpoints"):
        op.drop_table(table)
    for table, (dimensions, measures) in ROLLUPS.items():
        _create(table, ("generation", "span_s", "start"), dimensions, measures)
    for measure in RANKED_BY:
        where = sa.text(f"span_s = 86400 AND {measure} > 0")
        op.create_index(
            f"ix_rollup_queries_{measure}",
            "rollup_queries",
            ["generation", "start", measure, "key"],
            sqlite_where=where,
            postgresql_where=where,
        )
    op.create_table(
        "checkpoints",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("projection", "generation", name="pk_checkpoints"),
    )
    state = op.create_table(
        "projection_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projection_state"),
    )
    op.bulk_insert(state, [{"id": 1, "generation": 1}])
    op.create_table(
        "compactions",
        sa.Column("span_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kept_from", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("span_s", name="pk_compactions"),
    )
    op.create_table(
        "pruned_series",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance", "first_seq", name="pk_pruned_series"),
    )
    op.create_table(
        "parked",
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "position", name="pk_parked"),
    )


def downgrade() -> None:
    """The tables as they were, empty."""
    for table in ("parked", "pruned_series", "compactions", "projection_state", "checkpoints", *ROLLUPS):
        op.drop_table(table)
    for table, (dimensions, measures) in BEFORE.items():
        _create(table, ("minute",), dimensions, measures)
    op.create_table(
        "checkpoints",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("projection", name="pk_checkpoints"),
    )


def _create(
    table: str, time: tuple[str, ...], dimensions: tuple[str, ...], measures: tuple[str, ...]
) -> None:
    op.create_table(
        table,
        *(sa.Column(name, _number(name), autoincrement=False, nullable=False) for name in time),
        *(sa.Column(name, _type(name), autoincrement=False, nullable=False) for name in dimensions),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in measures),
        sa.PrimaryKeyConstraint(*time, *dimensions, name=f"pk_{table}"),
        sqlite_with_rowid=False,
    )


def _number(name: str) -> sa.types.TypeEngine[int]:
    return sa.Integer() if name in {"generation", "span_s"} else sa.BigInteger()


def _type(name: str) -> sa.types.TypeEngine[int] | sa.types.TypeEngine[str]:
    return sa.BigInteger() if name == "bucket" else sa.Text()
