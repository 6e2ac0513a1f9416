"""Prunes the log: deletes old frames and keeps what they had added to the reports.

The counts of pruned frames are added to a generation of their own, in the transaction that deletes them. A
recount begins with a copy of that generation, so it comes to the same figures before and after.

Only frames that are counted in full are deleted: what is parked, what no rollup has reached and what a later
version has written stay, because nothing else knows what they would add. And what was said of providers at
run time stays for good, because nothing else knows which there are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.facts import PROVIDERS_STREAM
from orchestrator.projections.fold import DAY_S, Tally
from storage.sql_engine import dialect_of, transaction
from storage.sql_event_log import frames_in_order
from storage.sql_projector import SqlProjector, count_rows, live_generation
from storage.sql_raw_events import Place, behind
from storage.sql_series import note_pruned
from storage.sql_tables import PRUNED, frames, parked, rollups
from storage.sql_upkeep import Upkeep, upkeep

AGE_S_MIN = DAY_S
"""chosen: traces are made of frames, and a collector may be away for hours. No figure depends on it."""

MAY_GO = frames.c.stream != PROVIDERS_STREAM
"""Which frames may go at all: the list of providers is told by this stream alone, from its first frame on."""

BATCH_FRAMES = 1_000
"""chosen: frames deleted in one transaction; SQLite takes 32766 parameters."""

SAMPLE_FRAMES = 1_000
"""chosen: so many frames are measured; to measure all would be to read them all."""


class Prunable(NamedTuple):
    """What is older than a moment: how many frames, and about how many bytes their events take."""

    frames: int
    event_bytes: int


class Pruned(NamedTuple):
    """What was done: `frames` are deleted; `kept` are as old and not counted in full, so they stay."""

    frames: int
    kept: int


async def survey(database_url: str, before: float) -> Prunable:
    """What a prune would look at. Raises UpkeepBusy, EventLogUnavailable."""
    async with upkeep(database_url) as work:
        return await _survey(work, before)


async def prune(database_url: str, before: float, tell: Callable[[int, int], None]) -> Pruned:
    """Delete the frames recorded before a moment, which is at least `AGE_S_MIN` ago, in batches.

    `tell` hears how many of about how many are gone through. Interrupted at any moment, what was deleted is
    counted and the rest is there. Raises UpkeepBusy, EventLogUnavailable.
    """
    async with upkeep(database_url) as work:
        total = (await _survey(work, before)).frames
        projector = SqlProjector(work.engine)
        seen = deleted = 0
        place: Place | None = Place(-sys.float_info.max, 0)
        while place is not None:
            async with work.still() as connection:
                rows = await _older(connection, place, before)
                whole = await _counted_in_full(connection, projector, rows)
                await _delete(connection, projector, whole)
            seen, deleted = seen + len(rows), deleted + len(whole)
            place = Place(rows[-1].recorded_at, rows[-1].position) if len(rows) == BATCH_FRAMES else None
            tell(seen, max(total, seen))
        return Pruned(deleted, seen - deleted)


async def _survey(work: Upkeep, before: float) -> Prunable:
    old = and_(frames.c.recorded_at < before, MAY_GO)
    sample = select(frames.c.events).where(old).order_by(frames.c.recorded_at).limit(SAMPLE_FRAMES).subquery()
    async with transaction(work.reader) as connection:
        count = (await connection.execute(select(func.count()).where(old))).scalar() or 0
        mean = (await connection.execute(select(func.avg(func.length(sample.c.events))))).scalar() or 0
    return Prunable(count, round(count * float(mean)))


async def _older(connection: AsyncConnection, place: Place, before: float) -> Sequence[Row[Any]]:
    """The next frames recorded before a moment."""
    query = (
        frames_in_order()
        .where(frames.c.recorded_at < before, MAY_GO, behind(place))
        .order_by(None)
        .order_by(frames.c.recorded_at, frames.c.position)
        .limit(BATCH_FRAMES)
    )
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return rows


async def _counted_in_full(
    connection: AsyncConnection, projector: SqlProjector, rows: Sequence[Row[Any]]
) -> list[Row[Any]]:
    """Those of the rows of which every event is counted in the live generation, or means nothing to it."""
    live = await live_generation(connection)
    reached = min((await projector.reached(connection, live)).values())
    positions = [row.position for row in rows]
    marked = select(parked.c.position).where(parked.c.generation == live, parked.c.position.in_(positions))
    uncounted = set((await connection.execute(marked)).scalars())
    counted = [row for row in rows if row.position <= reached and row.position not in uncounted]
    return counted if _are_countable(counted) else [row for row in counted if _are_countable([row])]


def _are_countable(rows: Sequence[Row[Any]]) -> bool:
    """Whether this version can count all there is in the rows."""
    trial = Tally([rollup for rollup, _ in rollups])
    return not count_rows(trial, rows) and not trial.unknown


async def _delete(connection: AsyncConnection, projector: SqlProjector, rows: Sequence[Row[Any]]) -> None:
    """Delete frames, keep their counts, and note which ones of each series are gone."""
    if not rows:
        return
    # An append sees a frame here, or it sees the note: it comes before this transaction or behind it.
    await dialect_of(connection.engine).lock_log(connection)
    tally = Tally([rollup for rollup, _ in rollups])
    count_rows(tally, rows)
    await projector.add(connection, PRUNED, tally.counts)
    await note_pruned(connection, [(row.instance, row.instance_seq) for row in rows])
    await connection.execute(delete(frames).where(frames.c.position.in_([row.position for row in rows])))
