"""Keeps the rollups up to date: folds the frames behind a checkpoint, adds the counts, moves the checkpoint.

Counts and checkpoint commit together, so a crash at any moment neither loses nor doubles a count. Each
rollup has a checkpoint of its own: a new one begins at zero and catches up beside the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.projections.fold import Counts, Key, Rollup
from storage.sql_engine import transaction
from storage.sql_event_log import StoredFrame, read_frames
from storage.sql_tables import checkpoints, rollups

BATCH_FRAMES = 1_000
"""chosen: large enough for the commit not to matter, small enough to hold the write lock for milliseconds."""


class SqlProjector:
    """Projects the event log of a writer's engine. Two of them at once are slow, not wrong."""

    def __init__(self, engine: AsyncEngine, projections: Sequence[tuple[Rollup, Table]] = rollups) -> None:
        self._engine = engine
        self._projections = projections
        self._upserts = {
            rollup.name: str(_add(rollup, table).compile(dialect=engine.dialect))
            for rollup, table in projections
        }
        self._move = str(_move().compile(dialect=engine.dialect))

    async def project(self) -> int:
        """Fold one batch into every rollup; returns how many frames that were, 0 when all is folded.

        Raises EventLogUnavailable; then nothing of the batch is counted.
        """
        async with transaction(self._engine) as connection:
            reached = await self._checkpoints(connection)
            batch = await read_frames(connection, min(reached.values()), BATCH_FRAMES)
            if batch:
                for rollup, _ in self._projections:
                    await self._fold(connection, rollup, batch, reached[rollup.name])
                moved = [(name, max(position, batch[-1].position)) for name, position in reached.items()]
                await connection.exec_driver_sql(self._move, moved)
            return len(batch)

    async def _checkpoints(self, connection: AsyncConnection) -> dict[str, int]:
        rows = await connection.execute(select(checkpoints.c.projection, checkpoints.c.position))
        known = {row.projection: row.position for row in rows}
        return {rollup.name: known.get(rollup.name, 0) for rollup, _ in self._projections}

    async def _fold(
        self, connection: AsyncConnection, rollup: Rollup, batch: list[StoredFrame], reached: int
    ) -> None:
        counts = rollup.total(
            envelope for stored in batch if stored.position > reached for envelope in stored.frame.events
        )
        if counts:
            rows = [_row(key, value) for key, value in counts.items()]
            await connection.exec_driver_sql(self._upserts[rollup.name], rows)


def _row(key: Key, counts: Counts) -> tuple[Any, ...]:
    return key + counts


def _add(rollup: Rollup, table: Table) -> Any:
    """Insert counts, or add them to those that are there."""
    statement = insert(table).values(dict.fromkeys(rollup.dimensions + rollup.measures))
    return statement.on_conflict_do_update(
        index_elements=list(rollup.dimensions),
        set_={name: table.c[name] + statement.excluded[name] for name in rollup.measures},
    )


def _move() -> Any:
    statement = insert(checkpoints).values({"projection": None, "position": None})
    return statement.on_conflict_do_update(
        index_elements=["projection"], set_={"position": statement.excluded.position}
    )
