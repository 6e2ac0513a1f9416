"""Keeps the rollups up to date: folds the frames behind a checkpoint, adds the counts, moves the checkpoint.

Counts and checkpoint commit together, so a crash at any moment neither loses nor doubles a count. Each
rollup has a checkpoint of its own: a new one begins at zero and catches up beside the others.

What cannot be folded, a row that is no frame or an event with absurd numbers, is passed over and told: the
frame stays in the log, and everything behind it is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, Table, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.events import Envelope
from orchestrator.projections.fold import Counts, Key, Rollup
from storage.sql_engine import transaction
from storage.sql_event_log import StoredFrame, read_rows, stored_frame
from storage.sql_tables import checkpoints, frames, rollups

BATCH_FRAMES = 1_000
"""chosen: large enough for the commit not to matter, small enough to hold the write lock for milliseconds."""


class Projected(NamedTuple):
    """What was done: `frames` were read, 0 when all is folded; `passed_over` events could not be folded."""

    frames: int
    passed_over: int


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

    async def project(self) -> Projected:
        """Fold one batch into every rollup. Raises EventLogUnavailable; then nothing of it is counted."""
        async with transaction(self._engine) as connection:
            reached = await self._checkpoints(connection)
            rows = await read_rows(connection, min(reached.values()), BATCH_FRAMES)
            if not rows:
                return Projected(0, 0)
            batch, unreadable = _readable(rows)
            passed_over: dict[int, Envelope] = {}
            for rollup, _ in self._projections:
                await self._fold(connection, rollup, batch, reached[rollup.name], passed_over)
            moved = [(name, max(position, rows[-1].position)) for name, position in reached.items()]
            await connection.exec_driver_sql(self._move, moved)
            return Projected(len(rows), unreadable + len(passed_over))

    async def _checkpoints(self, connection: AsyncConnection) -> dict[str, int]:
        rows = await connection.execute(select(checkpoints.c.projection, checkpoints.c.position))
        known = {row.projection: row.position for row in rows}
        return {rollup.name: known.get(rollup.name, 0) for rollup, _ in self._projections}

    async def _fold(
        self,
        connection: AsyncConnection,
        rollup: Rollup,
        batch: list[StoredFrame],
        reached: int,
        passed_over: dict[int, Envelope],
    ) -> None:
        # By identity: an event that two rollups pass over is one, two equal events are two.
        counts = rollup.total(
            (envelope for stored in batch if stored.position > reached for envelope in stored.frame.events),
            lambda envelope: passed_over.setdefault(id(envelope), envelope),
        )
        if counts:
            rows = [_row(key, value) for key, value in counts.items()]
            await connection.exec_driver_sql(self._upserts[rollup.name], rows)


async def frames_behind(engine: AsyncEngine) -> int:
    """How many positions the slowest rollup is behind the newest frame. Raises EventLogUnavailable."""
    async with transaction(engine) as connection:
        last: int = (await connection.execute(select(func.max(frames.c.position)))).scalar() or 0
        rows = await connection.execute(select(checkpoints.c.projection, checkpoints.c.position))
    reached = {row.projection: row.position for row in rows}
    slowest: int = min(reached.get(rollup.name, 0) for rollup, _ in rollups)
    return max(last - slowest, 0)


def _readable(rows: Sequence[Row[Any]]) -> tuple[list[StoredFrame], int]:
    """The frames of the rows, and how many rows are none."""
    found: list[StoredFrame] = []
    for row in rows:
        with suppress(msgspec.MsgspecError, RecursionError):
            found.append(stored_frame(row))
    return found, len(rows) - len(found)


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
