"""The schema as SQLAlchemy Core tables: what the code uses, and what migrations are compared with.

`frames` is the event log, one row a frame; the view `events` (made by the first migration) shows one row an
event. Rollups have one row for each span of time and combination of their dimensions; `rollup_table` spells
out what their definition in orchestrator/projections says, so that fold and table cannot drift apart.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import Index

from orchestrator.api_keys import CLIENT_CHARS_MAX
from orchestrator.projections.clients import ClientsRollup
from orchestrator.projections.fold import DAY_S, Rollup
from orchestrator.projections.health import HealthRollup
from orchestrator.projections.hit_rate import HitRateRollup
from orchestrator.projections.latency import ClientLatencyRollup, LatencyRollup, StageLatencyRollup
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.projections.providers import ProvidersRollup
from orchestrator.projections.queries import QueriesRollup

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

HAS_ENDED, HAS_FAILED = text("outcome <> ''"), text("outcome = 'failed'")
"""The last frames of executions, and of those the failed, which have an index of their own."""

HAS_ENDED_OF_CLIENT = text(f"outcome <> '' AND length(client) <= {CLIENT_CHARS_MAX}")
"""The last frames of executions of clients, which an index has. A longer name can come from a damaged record
only, and PostgreSQL would refuse to store a frame whose name does not fit into an index."""

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
    # A client's executions and the failed ones are found among all the others: see sql_executions.py.
    Index(
        "ix_frames_client",
        *("client", "recorded_at", "position"),
        sqlite_where=HAS_ENDED_OF_CLIENT,
        postgresql_where=HAS_ENDED_OF_CLIENT,
    ),
    Index(
        "ix_frames_failed",
        *("recorded_at", "position"),
        sqlite_where=HAS_FAILED,
        postgresql_where=HAS_FAILED,
    ),
    sqlite_autoincrement=True,
)

queries = Table(
    "queries",
    metadata,
    Column("key_hash", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("first_seen_at", Double, nullable=False),
    # What else was asked, as JSON (`asked.options_of`); "" for pages, and in rows of before there was this.
    Column("request", Text, nullable=False, server_default=""),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
)

projection_state = Table(
    "projection_state",
    metadata,
    # One row, made by the migration: which generation of the rollups is the one that reports read.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", Integer, nullable=False),
)

compactions = Table(
    "compactions",
    metadata,
    # From which moment on the rows of a span are complete; older ones are only in the longer spans.
    Column("span_s", Integer, primary_key=True, autoincrement=False),
    Column("kept_from", BigInteger, nullable=False),
)

pruned_series = Table(
    "pruned_series",
    metadata,
    # Which frames of a writer were pruned on purpose: they are no holes, and are not stored a second time.
    Column("instance", Text, primary_key=True),
    Column("first_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),
)

parked = Table(
    "parked",
    metadata,
    # Frames in which something could not be counted; they stay in the log, and the others go on.
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("events", Integer, nullable=False),
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

_INTEGERS = frozenset({"bucket"})
"""Dimensions that are numbers; all others are names."""

PRUNED, FIRST = 0, 1
"""Generations of the rollups: what pruned frames had added, and the first that reports read.

A rebuild counts into a further one, begun as a copy of `PRUNED`; then it becomes the one that is read.
"""


def rollup_table(rollup: Rollup) -> Table:
    """The table of a rollup: generation, span, its beginning and the dimensions are the key."""
    return Table(
        f"rollup_{rollup.name}",
        metadata,
        Column("generation", Integer, primary_key=True, autoincrement=False),
        Column("span_s", Integer, primary_key=True, autoincrement=False),
        Column("start", BigInteger, primary_key=True, autoincrement=False),
        *(
            Column(name, BigInteger if name in _INTEGERS else Text, primary_key=True, autoincrement=False)
            for name in rollup.dimensions
        ),
        *(Column(name, BigInteger, nullable=False) for name in rollup.measures),
        *(_rank_index(rollup, measure) for measure in rollup.ranked_by),
        # The rows are their own index, ordered by time: half the size, and a window is one range.
        sqlite_with_rowid=False,
    )


def _rank_index(rollup: Rollup, measure: str) -> Index:
    """The rows of each day that have any of a measure, in its order: see sql_rankings.py."""
    where = text(f"span_s = {DAY_S} AND {measure} > 0")
    return Index(
        f"ix_rollup_{rollup.name}_{measure}",
        *("generation", "start", measure, *rollup.dimensions),
        sqlite_where=where,
        postgresql_where=where,
    )


rollups: tuple[tuple[Rollup, Table], ...] = tuple(
    (rollup, rollup_table(rollup))
    for rollup in (
        HealthRollup(),
        HitRateRollup(),
        LatencyRollup(),
        StageLatencyRollup(),
        ClientLatencyRollup(),
        QueriesRollup(),
        LedgerRollup(),
        ClientsRollup(),
        ProvidersRollup(),
    )
)
"""Every rollup and its table, in the order in which they are projected."""
