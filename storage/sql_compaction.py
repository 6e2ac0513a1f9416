"""Compaction: the oldest minutes, and later the oldest hours, are let go; longer spans have their counts.

Every span is kept up to date by the projector, so compaction adds up nothing: it says from when on a span is
complete, and deletes what is older. Reports plan their windows by that, and never see half of it.

What is old is told by the data as well as by the clock. A clock that jumps ahead by a year would otherwise
take all minutes and hours with it; so the newest days in which something happened are always kept.
"""

from __future__ import annotations

from sqlalchemy import Table, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.projections.fold import DAY_S, HOUR_S, MINUTE_S, begin_of
from storage.sql_engine import dialect_of, transaction
from storage.sql_generations import RANGE_ROWS
from storage.sql_projector import first_kept, live_generation
from storage.sql_tables import PRUNED, compactions, rollups

KEPT_DAYS = {MINUTE_S: 3, HOUR_S: 93}
"""chosen: minutes are for what happens now and happened last night; hours for a quarter, in any time zone."""

_DAYS = next(table for rollup, table in rollups if rollup.name == "health")
"""Says in which days something happened: each call that ended is counted there."""


class SqlCompaction:
    """Compacts the rollups of a writer's engine, in steps; any number of recorders may do so."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._dialect = dialect_of(engine)

    async def step(self, now: float) -> bool:
        """Do a bounded part of the work; tells whether nothing is left. `now` is epoch seconds.

        Raises EventLogUnavailable; then nothing of this step is done.
        """
        async with transaction(self._engine) as connection:
            if not await self._dialect.lock_rollups(connection):
                return False
            live = await live_generation(connection)
            for span_s, days in KEPT_DAYS.items():
                kept_from = await self._advance(
                    connection, span_s, await _border(connection, live, days, now)
                )
                for rollup, table in rollups:
                    if span_s not in rollup.spans_s:
                        continue
                    for generation in (live, PRUNED):
                        if await _delete_some(connection, table, generation, span_s, kept_from):
                            return False
        return True

    async def _advance(self, connection: AsyncConnection, span_s: int, border: int) -> int:
        """Say that a span is complete from the border on, unless it was said of a later moment already."""
        known = (await first_kept(connection)).get(span_s, 0)
        if border > known:
            await self._dialect.upsert(connection, compactions, [(span_s, border)], sets=("kept_from",))
        return max(border, known)


async def _border(connection: AsyncConnection, live: int, days: int, now: float) -> int:
    """The beginning of the oldest day to be kept, 0 if there are not that many days."""
    query = (
        select(_DAYS.c.start)
        .distinct()
        .where(_DAYS.c.generation == live, _DAYS.c.span_s == DAY_S)
        .order_by(_DAYS.c.start.desc())
        .offset(days - 1)
        .limit(1)
    )
    oldest: int = (await connection.execute(query)).scalar() or 0
    return max(min(oldest, begin_of(now, DAY_S) - (days - 1) * DAY_S), 0)


async def _delete_some(
    connection: AsyncConnection, table: Table, generation: int, span_s: int, kept_from: int
) -> bool:
    """Delete the oldest rows of a span, not many more than `RANGE_ROWS`; tells whether there were any."""
    old = (table.c.generation == generation, table.c.span_s == span_s, table.c.start < kept_from)
    query = select(table.c.start).where(*old).order_by(table.c.start).offset(RANGE_ROWS - 1).limit(1)
    last = (await connection.execute(query)).scalar()
    some = old if last is None else (*old, table.c.start <= last)
    return (await connection.execute(delete(table).where(*some))).rowcount > 0
