"""Counts all frames again beside the figures in use, compares the two, and takes the new ones if told to.

The recount is a further generation of the rollups, begun as a copy of what pruned frames had added. Reports
and the recorder go on with the live generation meanwhile. Rows are compared while nobody projects and both
generations have counted exactly the same frames, a range at a time, so whatever differs is an error.

Killed at any moment it leaves rows of a generation that nobody reads; the next run deletes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from sqlalchemy import Integer, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.sql_comparison import Difference, differences
from storage.sql_engine import transaction
from storage.sql_generations import (
    BEGINNING,
    Range,
    begin_generation,
    delete_generation,
    delete_leftovers,
    next_range,
    of_range,
)
from storage.sql_projector import UNREADABLE, SqlProjector, first_kept, live_generation
from storage.sql_series import Hole, find_doubled, find_holes
from storage.sql_tables import checkpoints, frames, parked, projection_state, rollups
from storage.sql_upkeep import Upkeep, upkeep

LISTED_MAX = 100
"""chosen: of each kind of fault so many are named; who has more needs a replay and no list."""

BATCH_FRAMES = 1_000
"""chosen: frames counted in one transaction, so that SQLite's only writer is needed for 0.1 s at a time."""


class Parked(msgspec.Struct, frozen=True):
    """A frame in which `events` events could not be counted (0: it cannot be read at all), and why."""

    position: int
    reason: str
    events: int


class Verdict(msgspec.Struct, kw_only=True):
    """What a recount found. Of each kind at most `LISTED_MAX` are listed; the numbers are exact.

    `frames` were counted, up to `position`, and `rows` compared. `differences` is how many rows differ.
    `missing_frames` is how many frames are missing in `holes`, `spoiled_frames` how many were counted once
    and cannot be read any more. `parked` and `unknown_events` are in the log
    and in no figure, neither live nor recounted. `doubled` are executions that ended twice.
    """

    frames: int = 0
    position: int = 0
    rows: int = 0
    differences: int = 0
    differing: list[Difference] = msgspec.field(default_factory=list)
    missing_frames: int = 0
    holes: list[Hole] = msgspec.field(default_factory=list)
    spoiled_frames: int = 0
    doubled: list[str] = msgspec.field(default_factory=list)
    parked_frames: int = 0
    parked: list[Parked] = msgspec.field(default_factory=list)
    unknown_events: int = 0
    is_replaced: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether every figure is what the frames add up to, and no frame is missing or doubled."""
        return not (self.differences or self.missing_frames or self.doubled)


class Tell(Protocol):
    """Hears how far the work is."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """`done` of about `total` frames or rows of this phase are done."""


async def verify(database_url: str, tell: Tell) -> Verdict:
    """Count again and compare; what reports read is left alone. Raises UpkeepBusy, EventLogUnavailable."""
    return await _recount(database_url, tell, is_replacing=False)


async def replay(database_url: str, tell: Tell, *, despite_holes: bool = False) -> Verdict:
    """Count again, compare, and let reports read the new figures. Raises UpkeepBusy, EventLogUnavailable.

    If frames are missing or spoiled and rows differ nothing is replaced unless told so: the figures in use
    may be all that is left of those frames.
    """
    return await _recount(database_url, tell, is_replacing=True, despite_holes=despite_holes)


async def _recount(
    database_url: str, tell: Tell, *, is_replacing: bool, despite_holes: bool = False
) -> Verdict:
    async with upkeep(database_url) as work:
        verdict = Verdict()
        await _look_at_the_log(work, verdict)
        await delete_leftovers(work)
        recount = _Recount(work, await begin_generation(work), verdict, tell)
        await recount.count()
        await recount.compare()
        is_loss = bool((verdict.missing_frames or verdict.spoiled_frames) and verdict.differences)
        is_replacing = is_replacing and (despite_holes or not is_loss)
        obsolete = await recount.swap() if is_replacing else recount.generation
        await delete_generation(work, obsolete)
        return verdict


async def _look_at_the_log(work: Upkeep, verdict: Verdict) -> None:
    async with transaction(work.reader) as connection:
        verdict.missing_frames, verdict.holes = await find_holes(connection, LISTED_MAX)
        verdict.doubled = await find_doubled(connection, LISTED_MAX)


class _Recount:
    """One further generation on its way from the first frame to a verdict."""

    def __init__(self, work: Upkeep, generation: int, verdict: Verdict, tell: Tell) -> None:
        self.generation = generation
        self._work = work
        self._projector = SqlProjector(work.engine)
        self._verdict = verdict
        self._tell = tell

    async def count(self) -> None:
        """Count every frame that the live generation has counted."""
        total = await self._frames_to_count()
        is_done = False
        while not is_done:
            async with self._work.transaction() as connection:
                # No further than the live generation: what is ahead of it cannot be compared with it.
                reached = await self._projector.reached(connection, await live_generation(connection))
                is_done = await self._count_on(connection, min(reached.values()))
            self._tell("counting", self._verdict.frames, max(total, self._verdict.frames))

    async def compare(self) -> None:
        """Compare all rows, a range at a time, then take down what could not be counted."""
        total = await self._rows()
        for rollup, table in rollups:
            stretch = Range(BEGINNING, BEGINNING)
            while stretch.upto is not None:
                async with self._level() as (connection, live):
                    generations = (live, self.generation)
                    stretch = await next_range(connection, table, generations, stretch.upto)
                    found = await differences(
                        connection,
                        rollup,
                        table,
                        live=live,
                        recounted=self.generation,
                        stretch=stretch,
                        kept_from=await first_kept(connection),
                    )
                    within = select(func.count()).where(of_range(table, self.generation, stretch))
                    self._verdict.rows += (await connection.execute(within)).scalar() or 0
                self._note(found)
                self._tell("comparing", self._verdict.rows, max(total, self._verdict.rows))
        await self._list_parked()

    async def swap(self) -> int:
        """Let reports read this generation; returns the one they have read so far."""
        async with self._level() as (connection, live):
            names = [rollup.name for rollup, _ in rollups]
            others = select(
                checkpoints.c.projection, literal(self.generation, Integer), checkpoints.c.position
            ).where(checkpoints.c.generation == live, checkpoints.c.projection.not_in(names))
            columns = ["projection", "generation", "position"]
            await connection.execute(insert(checkpoints).from_select(columns, others))
            await connection.execute(update(projection_state).values(generation=self.generation))
        self._verdict.is_replaced = True
        return live

    @asynccontextmanager
    async def _level(self) -> AsyncIterator[tuple[AsyncConnection, int]]:
        """A transaction in which this generation and the live one have counted the same frames.

        Nobody projects until its end. Gives the live generation too.
        """
        while True:
            async with self._work.still() as connection:
                live = await live_generation(connection)
                reached = (await self._projector.reached(connection, live)).values()
                if min(reached) < max(reached):  # a rollup that is new, and catching up
                    await self._projector.fold(connection, live, limit=BATCH_FRAMES)
                elif await self._count_on(connection, max(reached)):
                    self._verdict.position = max(reached)
                    yield connection, live
                    return

    async def _count_on(self, connection: AsyncConnection, upto: int) -> bool:
        """Count one batch, not beyond a position; tells whether it is reached."""
        done = await self._projector.fold(connection, self.generation, limit=BATCH_FRAMES, upto=upto)
        self._verdict.frames += done.frames
        self._verdict.unknown_events += done.unknown
        return done.is_done

    def _note(self, found: list[Difference]) -> None:
        self._verdict.differences += len(found)
        self._verdict.differing += found[: LISTED_MAX - len(self._verdict.differing)]

    async def _frames_to_count(self) -> int:
        async with transaction(self._work.reader) as connection:
            reached = await self._projector.reached(connection, await live_generation(connection))
            counted = frames.c.position <= min(reached.values())
            return (await connection.execute(select(func.count()).where(counted))).scalar() or 0

    async def _rows(self) -> int:
        total = 0
        async with transaction(self._work.reader) as connection:
            for _, table in rollups:
                query = select(func.count()).where(table.c.generation == self.generation)
                total += (await connection.execute(query)).scalar() or 0
        return total

    async def _list_parked(self) -> None:
        ours = parked.c.generation == self.generation
        async with transaction(self._work.reader) as connection:
            query = select(func.count()).where(ours)
            self._verdict.parked_frames = (await connection.execute(query)).scalar() or 0
            known = select(parked.c.position).where(parked.c.generation == await live_generation(connection))
            spoiled = query.where(parked.c.reason == UNREADABLE, parked.c.position.not_in(known))
            self._verdict.spoiled_frames = (await connection.execute(spoiled)).scalar() or 0
            listed = select(parked.c.position, parked.c.reason, parked.c.events).where(ours)
            rows = await connection.execute(listed.order_by(parked.c.position).limit(LISTED_MAX))
            self._verdict.parked = [Parked(*row) for row in rows]
