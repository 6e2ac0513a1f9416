"""Totals from the rows that rollups keep for ever, and how much of the log has been counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Table, cast, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.projections.buckets import SCALE
from orchestrator.projections.fold import EVER
from orchestrator.reports.report import Need, Sums
from orchestrator.reports.totals import DOUBLING, Standing, Totals
from storage.sql_engine import transaction
from storage.sql_projector import counted_position, live_generation
from storage.sql_tables import frames, parked, rollups

_TABLES = {rollup.name: table for rollup, table in rollups}


async def read_totals(engine: AsyncEngine, needs: Sequence[Need]) -> Totals:
    """The sums of all history in the live generation. Raises EventLogUnavailable.

    All are of one moment if the engine is a reader's.
    """
    async with transaction(engine) as connection:
        generation = await live_generation(connection)
        return Totals(
            sums=[await _sums(connection, need, generation) for need in needs],
            standing=await _standing(connection, generation),
        )


async def read_standing(engine: AsyncEngine) -> Standing:
    """How much of the log the live generation has counted. Raises EventLogUnavailable."""
    async with transaction(engine) as connection:
        return await _standing(connection, await live_generation(connection))


async def _sums(connection: AsyncConnection, need: Need, generation: int) -> Sums:
    table = _TABLES[need.rollup.name]
    keys = [_key(table, name) for name in need.dimensions]
    measures = [cast(func.sum(table.c[name]), BigInteger) for name in need.rollup.measures]
    query = (
        select(*keys, *measures)
        .where(table.c.generation == generation, table.c.span_s == EVER, table.c.start == 0)
        .group_by(*keys)
    )
    size = len(keys)
    return {tuple(row[:size]): tuple(row[size:]) for row in await connection.execute(query)}


def _key(table: Table, name: str) -> ColumnElement[Any]:
    # As buckets.doubling_of: both engines shift negative numbers as Python does.
    # A parameter would not do: PostgreSQL takes the one selected and the one grouped by for two.
    return table.c.bucket.op(">>")(literal_column(str(SCALE))) if name == DOUBLING else table.c[name]


async def _standing(connection: AsyncConnection, generation: int) -> Standing:
    counted = await counted_position(connection, generation)
    newest = select(func.max(frames.c.position))
    # Positions rise in the order of commits, so the first one behind is the one that has waited longest.
    waiting = select(frames.c.recorded_at).where(frames.c.position > counted).order_by(frames.c.position)
    uncountable = select(func.count()).select_from(parked).where(parked.c.generation == generation)
    query = select(
        newest.scalar_subquery(), waiting.limit(1).scalar_subquery(), uncountable.scalar_subquery()
    )
    position, waiting_since, parked_frames = (await connection.execute(query)).one()
    return Standing(
        position=position or 0,
        counted_position=counted,
        waiting_since=waiting_since,
        parked=parked_frames,
    )
