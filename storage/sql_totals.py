"""Totals from the rows that rollups keep for ever, and how much of the log has been counted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.projections.fold import EVER
from orchestrator.reports.report import Need
from orchestrator.reports.totals import Standing, Totals
from orchestrator.reports.windows import Piece
from storage.sql_engine import transaction
from storage.sql_projector import counted_position, live_generation
from storage.sql_sums import read_sums
from storage.sql_tables import frames, parked

HISTORY = (Piece(0, EVER, 0, 1),)
"""All of history: the rows that are kept for ever begin at 0."""


async def read_totals(engine: AsyncEngine, needs: Sequence[Need]) -> Totals:
    """The sums of all history in the live generation. Raises EventLogUnavailable.

    All are of one moment if the engine is a reader's.
    """
    async with transaction(engine) as connection:
        generation = await live_generation(connection)
        return Totals(
            sums=[await read_sums(connection, need, HISTORY, generation) for need in needs],
            standing=await _standing(connection, generation),
        )


async def read_standing(engine: AsyncEngine) -> Standing:
    """How much of the log the live generation has counted. Raises EventLogUnavailable."""
    async with transaction(engine) as connection:
        return await _standing(connection, await live_generation(connection))


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
