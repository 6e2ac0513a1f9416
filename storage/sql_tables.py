"""The schema as SQLAlchemy Core tables: what the code uses, and what migrations are compared with.

`frames` is the event log, one row a frame; the view `events` (made by the first migration) shows one row an
event. Rollups have one row for each combination of their dimensions; `rollup_table` spells out what their
definition in orchestrator/projections says, so that the fold and its table cannot drift apart.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Identity, Integer, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.schema import Index

from orchestrator.projections.fold import Rollup
from orchestrator.projections.health import HealthRollup
from orchestrator.projections.hit_rate import HitRateRollup
from orchestrator.projections.latency import LatencyRollup

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

frames = Table(
    "frames",
    metadata,
    # An identity, on SQLite AUTOINCREMENT: a position is never given twice, even after the newest rows were
    # pruned. As appends exclude each other positions rise in the order of commits, so a reader behind a
    # checkpoint misses nothing.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), primary_key=True),
    Column("instance", Text, nullable=False),
    Column("instance_seq", BigInteger, nullable=False),
    Column("stream", Text, nullable=False),
    Column("recorded_at", Double, nullable=False),
    Column("operation", Text, nullable=False),
    Column("door", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("cache", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("duration_s", Double),
    # JSON, and still text on both engines: it is written once and read back whole, byte for byte, while
    # jsonb would refuse what JSON allows (U+0000, large numbers) and with it the whole batch.
    Column("events", Text, nullable=False),
    UniqueConstraint("instance", "instance_seq"),
    Index(None, "stream"),
    Index(None, "recorded_at"),
    sqlite_autoincrement=True,
)

queries = Table(
    "queries",
    metadata,
    Column("key_hash", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("first_seen_at", Double, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("replaces", Text),
    Column("last_used_at", Double),
    Column("limit_burst", Integer),
    Column("limit_per_minute", Integer),
    Column("limit_per_hour", Integer),
)

api_key_changes = Table(
    "api_key_changes",
    metadata,
    # One row, made by the migration: it is counted up by every change, which makes changes queue for it.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

_INTEGERS = frozenset({"minute", "bucket"})
"""Dimensions that are numbers; all others are names."""


def rollup_table(rollup: Rollup) -> Table:
    """The table of a rollup: its dimensions are the key, its measures the counts."""
    return Table(
        f"rollup_{rollup.name}",
        metadata,
        *(
            Column(name, BigInteger if name in _INTEGERS else Text, primary_key=True, autoincrement=False)
            for name in rollup.dimensions
        ),
        *(Column(name, BigInteger, nullable=False) for name in rollup.measures),
        # The rows are their own index, ordered by minute: half the size, and a window is one range.
        sqlite_with_rowid=False,
    )


health = HealthRollup()
hit_rate = HitRateRollup()
latency = LatencyRollup()

rollups: tuple[tuple[Rollup, Table], ...] = tuple(
    (rollup, rollup_table(rollup)) for rollup in (health, hit_rate, latency)
)
"""Every rollup that is kept up to date, with its table."""
