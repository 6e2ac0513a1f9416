"""Keeps the rollups up to date: folds the frames behind a checkpoint, adds the counts, moves the checkpoint.

Counts and checkpoint commit together, so a crash at any moment neither loses nor doubles a count. Each
rollup has a checkpoint of its own: a new one begins at zero and catches up beside the others. Of the
recorders of one database one projects at a time, for all of them.

What cannot be folded, a row that is no frame or an event with absurd numbers, is passed over and told: the
frame stays in the log, and everything behind it is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.events import Envelope, UnknownEvent
from orchestrator.projections.fold import Rollup
from storage.sql_engine import Dialect, dialect_of, transaction
from storage.sql_event_log import StoredFrame, read_rows, stored_frame
from storage.sql_tables import checkpoints, frames, rollups

BATCH_FRAMES = 1_000
"""chosen: large enough for the commit not to matter, small enough to hold the write lock for milliseconds."""


class Projected(NamedTuple):
    """What was done: `frames` were read, 0 when all is folded; `passed_over` events could not be folded.

    `unknown` events are of types this version does not know. `is_elsewhere` says that nothing was done,
    because another recorder is at it.
    """

    frames: int
    passed_over: int
    unknown: int = 0
    is_elsewhere: bool = False


class SqlProjector:
    """Projects the event log of a writer's engine; any number of them may do so at once."""

    def __init__(self, engine: AsyncEngine, projections: Sequence[tuple[Rollup, Table]] = rollups) -> None:
        self._engine = engine
        self._projections = projections
        self._dialect = dialect_of(engine)
        self._upserts = {
            rollup.name: str(_add(self._dialect, rollup, table).compile(dialect=engine.dialect))
            for rollup, table in projections
        }
        self._move = str(_move(self._dialect).compile(dialect=engine.dialect))

    async def project(self) -> Projected:
        """Fold one batch into every rollup. Raises EventLogUnavailable; then nothing of it is counted."""
        async with transaction(self._engine) as connection:
            if not await self._dialect.lock_rollups(connection):
                return Projected(0, 0, is_elsewhere=True)
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
            return Projected(len(rows), unreadable + len(passed_over), _unknown(batch))

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
            rows = [self._dialect.storable(key + value) for key, value in counts.items()]
            await connection.exec_driver_sql(self._upserts[rollup.name], rows)


async def frames_behind(engine: AsyncEngine) -> int:
    """How many frames the slowest rollup has not counted. Raises EventLogUnavailable."""
    async with transaction(engine) as connection:
        rows = await connection.execute(select(checkpoints.c.projection, checkpoints.c.position))
        reached = {row.projection: row.position for row in rows}
        slowest: int = min(reached.get(rollup.name, 0) for rollup, _ in rollups)
        behind = select(func.count()).where(frames.c.position > slowest)
        return (await connection.execute(behind)).scalar() or 0


def _readable(rows: Sequence[Row[Any]]) -> tuple[list[StoredFrame], int]:
    """The frames of the rows, and how many rows are none."""
    found: list[StoredFrame] = []
    for row in rows:
        with suppress(msgspec.MsgspecError, RecursionError):
            found.append(stored_frame(row))
    return found, len(rows) - len(found)


def _unknown(batch: list[StoredFrame]) -> int:
    """How many events are of types this version does not know."""
    return sum(isinstance(e.event, UnknownEvent) for stored in batch for e in stored.frame.events)


def _add(dialect: Dialect, rollup: Rollup, table: Table) -> Any:
    """Insert counts, or add them to those that are there."""
    statement = dialect.insert(table).values(dict.fromkeys(rollup.dimensions + rollup.measures))
    return statement.on_conflict_do_update(
        index_elements=list(rollup.dimensions),
        set_={name: table.c[name] + statement.excluded[name] for name in rollup.measures},
    )


def _move(dialect: Dialect) -> Any:
    statement = dialect.insert(checkpoints).values({"projection": None, "position": None})
    return statement.on_conflict_do_update(
        index_elements=["projection"], set_={"position": statement.excluded.position}
    )
