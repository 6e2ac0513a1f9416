"""The event log, its erasable texts, the checkpoints and the first rollups.

Revision 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQLITE_VIEW = """
CREATE VIEW events AS
SELECT
    frames.position AS position,
    frames.stream AS stream,
    json_extract(item.value, '$.seq') AS seq,
    json_extract(item.value, '$.at') AS occurred_at,
    json_extract(item.value, '$.event.type') AS type,
    json_extract(item.value, '$.event') AS event,
    frames.instance AS instance,
    frames.recorded_at AS recorded_at
FROM frames, json_each(frames.events) AS item
"""

POSTGRESQL_VIEW = """
CREATE VIEW events AS
SELECT
    frames.position AS position,
    frames.stream AS stream,
    CAST(item.value ->> 'seq' AS bigint) AS seq,
    CAST(item.value ->> 'at' AS double precision) AS occurred_at,
    item.value -> 'event' ->> 'type' AS type,
    item.value -> 'event' AS event,
    frames.instance AS instance,
    frames.recorded_at AS recorded_at
FROM frames, json_array_elements(CAST(frames.events AS json)) AS item (value)
"""


def upgrade() -> None:
    """Create everything."""
    _create_frames()
    op.create_table(
        "queries",
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name="pk_queries"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("projection", name="pk_checkpoints"),
    )
    _create_rollup(
        "rollup_health",
        names=("subject", "operation", "provider", "outcome", "reason"),
        measures=("calls", "degraded", "fallback", "stale", "empty"),
    )
    _create_rollup(
        "rollup_hit_rate",
        names=("operation", "door", "client", "topic", "provider", "cache"),
        measures=("requests", "results", "stale", "saved_usd_micros", "cost_usd_micros"),
    )
    _create_rollup(
        "rollup_latency",
        names=("stage", "operation", "provider", "client"),
        numbers=("bucket",),
        measures=("calls", "total_us"),
    )


def downgrade() -> None:
    """Drop everything: the record is gone."""
    for table in ("rollup_latency", "rollup_hit_rate", "rollup_health", "checkpoints", "queries"):
        op.drop_table(table)
    op.execute("DROP VIEW events")
    op.drop_table("frames")


def _create_frames() -> None:
    names = ("operation", "door", "client", "topic", "provider", "cache", "outcome", "error")
    op.create_table(
        "frames",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=True),
            nullable=False,
        ),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("instance_seq", sa.BigInteger(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in names),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_frames"),
        sa.UniqueConstraint("instance", "instance_seq", name="uq_frames_instance_instance_seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_frames_stream", "frames", ["stream"])
    op.create_index("ix_frames_recorded_at", "frames", ["recorded_at"])
    op.execute(SQLITE_VIEW if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_VIEW)


def _create_rollup(
    table: str, *, names: tuple[str, ...], numbers: tuple[str, ...] = (), measures: tuple[str, ...]
) -> None:
    op.create_table(
        table,
        sa.Column("minute", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in names),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in numbers),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in measures),
        sa.PrimaryKeyConstraint("minute", *names, *numbers, name=f"pk_{table}"),
        sqlite_with_rowid=False,
    )
