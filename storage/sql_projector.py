"""Keeps the rollups up to date: folds the frames behind a checkpoint, adds the counts, moves the checkpoint.

Counts and checkpoint commit together, so a crash at any moment neither loses nor doubles a count. Each
rollup has a checkpoint of its own: a new one begins at zero and catches up before the others go on. Of the
recorders of one database one projects at a time, for all of them.

What cannot be folded, a row that is no frame or an event with absurd numbers, is parked: the frame stays in
the log, its position and the reason stand in `parked`, and everything behind it is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.projections.fold import Counts, Key, Rollup, Tally, by_span
from storage.sql_engine import dialect_of, transaction
from storage.sql_event_log import StoredFrame, read_rows, stored_frame
from storage.sql_tables import FIRST, checkpoints, compactions, frames, parked, projection_state, rollups

BATCH_FRAMES = 2_000
"""chosen: large enough for the commit not to matter, small enough to hold the write lock for 0.1 s."""

UNREADABLE = "unreadable"
"""Why a frame is parked whose row is none, or none any more."""


class Projected(NamedTuple):
    """What was done: `frames` were read; `is_done` says that none is left.

    `parked` frames have something in them that could not be counted, `unknown` events are of types of a later
    version. `is_elsewhere` says that nothing was done, because another recorder is at it.
    """

    frames: int = 0
    parked: int = 0
    unknown: int = 0
    is_done: bool = False
    is_elsewhere: bool = False


class SqlProjector:
    """Projects the event log of a writer's engine; any number of them may do so at once."""

    def __init__(self, engine: AsyncEngine, projections: Sequence[tuple[Rollup, Table]] = rollups) -> None:
        self._engine = engine
        self._projections = projections
        self._dialect = dialect_of(engine)

    async def project(self) -> Projected:
        """Fold one batch into the live generation. Raises EventLogUnavailable; then nothing is counted."""
        async with transaction(self._engine) as connection:
            if not await self._dialect.lock_rollups(connection):
                return Projected(is_elsewhere=True)
            return await self.fold(connection, await live_generation(connection))

    async def fold(
        self,
        connection: AsyncConnection,
        generation: int,
        *,
        limit: int = BATCH_FRAMES,
        upto: int | None = None,
    ) -> Projected:
        """Fold one batch into a generation, within a transaction that holds the lock of the rollups.

        At most `limit` frames, and none beyond the position `upto`. Rollups that are behind the others are
        counted alone until they have caught up.
        """
        reached = await self.reached(connection, generation)
        behind = min(reached.values())
        ahead = min((position for position in reached.values() if position > behind), default=None)
        stop = min((position for position in (ahead, upto) if position is not None), default=None)
        rows = await read_rows(connection, behind, limit, upto=stop)
        is_cut = len(rows) == limit
        due = [one for one in self._projections if reached[one[0].name] == behind]
        # In all of them, also those that are ahead: what one cannot count counts nowhere, whoever is due.
        tally = Tally([rollup for rollup, _ in self._projections])
        marks = count_rows(tally, rows)
        await self.add(connection, generation, {rollup.name: tally.counts[rollup.name] for rollup, _ in due})
        if marks:
            parking = [(generation, *mark) for mark in marks]
            await self._dialect.upsert(connection, parked, parking)
        # What lies before a stop has been committed: gaps up to it stay gaps.
        end = rows[-1].position if is_cut or (rows and stop is None) else stop or behind
        if end > behind:
            moved = [(rollup.name, generation, end) for rollup, _ in due]
            await self._dialect.upsert(connection, checkpoints, moved, sets=("position",))
        is_done = not is_cut and (ahead is None or stop != ahead)
        return Projected(len(rows), len(marks), tally.unknown, is_done=is_done)

    async def add(
        self, connection: AsyncConnection, generation: int, counts: Mapping[str, Mapping[Key, Counts]]
    ) -> None:
        """Add counts by the minute, of rollups by their names, to a generation, for every span of time.

        Rows that only longer spans still have are not begun anew.
        """
        kept_from = await first_kept(connection)
        for rollup, table in self._projections:
            rows: list[tuple[Any, ...]] = []
            of_span: Mapping[Key, Counts] = counts.get(rollup.name, {})
            for span_s in rollup.spans_s:  # each from the one before, which has fewer rows than the minutes
                of_span, first = by_span(of_span, span_s), kept_from.get(span_s, 0)
                rows += [
                    (generation, span_s, *key, *value)
                    for key, value in of_span.items()
                    if int(key[0]) >= first
                ]
            if rows:
                await self._dialect.upsert(connection, table, rows, adds=rollup.measures)

    async def reached(self, connection: AsyncConnection, generation: int) -> dict[str, int]:
        """Up to which position each rollup of a generation has counted."""
        known = await read_checkpoints(connection, generation)
        return {rollup.name: known.get(rollup.name, 0) for rollup, _ in self._projections}


async def live_generation(connection: AsyncConnection) -> int:
    """Which generation of the rollups reports read."""
    return (await connection.execute(select(projection_state.c.generation))).scalar() or FIRST


async def first_kept(connection: AsyncConnection) -> dict[int, int]:
    """From which moment on the rows of a span are complete; a span that is not named is."""
    return {row.span_s: row.kept_from for row in await connection.execute(select(compactions))}


async def read_checkpoints(connection: AsyncConnection, generation: int) -> dict[str, int]:
    """The checkpoints of a generation, by the names of what has got there."""
    query = select(checkpoints.c.projection, checkpoints.c.position)
    rows = await connection.execute(query.where(checkpoints.c.generation == generation))
    return {row.projection: row.position for row in rows}


async def counted_position(connection: AsyncConnection, generation: int) -> int:
    """Up to which position every rollup of a generation has counted."""
    reached = await read_checkpoints(connection, generation)
    slowest: int = min(reached.get(rollup.name, 0) for rollup, _ in rollups)
    return slowest


async def frames_behind(engine: AsyncEngine) -> int:
    """How many frames the slowest rollup has not counted. Raises EventLogUnavailable."""
    async with transaction(engine) as connection:
        slowest = await counted_position(connection, await live_generation(connection))
        behind = select(func.count()).where(frames.c.position > slowest)
        return (await connection.execute(behind)).scalar() or 0


def count_rows(tally: Tally, rows: Sequence[Row[Any]]) -> list[tuple[int, str, int]]:
    """Count the events of the rows; position, reason and number of events of those that cannot be counted."""
    marks: list[tuple[int, str, int]] = []
    for row in rows:
        try:
            stored: StoredFrame = stored_frame(row)
        except msgspec.MsgspecError:
            marks.append((row.position, UNREADABLE, 0))
            continue
        uncounted = sum(not tally.add(envelope) for envelope in stored.frame.events)
        if uncounted:
            marks.append((row.position, "uncountable", uncounted))
    return marks
