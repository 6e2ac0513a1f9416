"""Generations of the rollups as a whole: which there are, how one is begun, and how one is thrown away.

A generation may have millions of rows. It is copied and deleted in ranges of whole beginnings of spans, each
in a transaction of its own, so that neither memory nor the time of a lock grows with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Table,
    delete,
    func,
    insert,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.sql_projector import first_kept, live_generation
from storage.sql_tables import PRUNED, checkpoints, parked, rollups
from storage.sql_upkeep import Upkeep

RANGE_ROWS = 10_000
"""chosen: rows handled in one transaction, about 0.1 s; the rows of one beginning are never divided."""

TABLES = tuple(table for _, table in rollups)


class Place(NamedTuple):
    """A span of time and its beginning: what rows are ordered by within a generation."""

    span_s: int
    start: int


BEGINNING = Place(-1, 0)
"""Before every row."""


class Range(NamedTuple):
    """Rows behind a place, up to another one and with it; `None` is the end."""

    after: Place
    upto: Place | None


async def next_range(
    connection: AsyncConnection, table: Table, generations: Sequence[int], after: Place
) -> Range:
    """The next range in which none of the generations has many more than `RANGE_ROWS` rows."""
    ends: list[Place] = []
    for generation in generations:
        query = (
            select(table.c.span_s, table.c.start)
            .where(table.c.generation == generation, *_within(table, Range(after, None)))
            .order_by(table.c.span_s, table.c.start)
            .offset(RANGE_ROWS - 1)
            .limit(1)
        )
        if found := (await connection.execute(query)).first():
            ends.append(Place(*found))
    return Range(after, min(ends, default=None))


def of_range(table: FromClause, generation: int, stretch: Range) -> ColumnElement[bool]:
    """The condition for the rows of a generation in a range."""
    return (table.c.generation == generation) & _all(_within(table, stretch))


def still_kept(table: FromClause, kept_from: dict[int, int]) -> ColumnElement[bool]:
    """The condition for rows of spans that are complete at their beginning."""
    return _all(
        [(table.c.span_s != span_s) | (table.c.start >= moment) for span_s, moment in kept_from.items()]
    )


async def delete_leftovers(upkeep: Upkeep) -> None:
    """Delete every generation but the live one and that of pruned frames: what a run left half done."""
    async with upkeep.transaction() as connection:
        found = await _generations(connection) - {PRUNED, await live_generation(connection)}
    for generation in sorted(found):
        await delete_generation(upkeep, generation)


async def delete_generation(upkeep: Upkeep, generation: int) -> None:
    """Delete all rows of a generation."""
    for table in TABLES:
        stretch = Range(BEGINNING, BEGINNING)
        while stretch.upto is not None:
            async with upkeep.transaction() as connection:
                stretch = await next_range(connection, table, [generation], stretch.upto)
                await connection.execute(delete(table).where(of_range(table, generation, stretch)))
    async with upkeep.transaction() as connection:
        for small in (checkpoints, parked):
            await connection.execute(delete(small).where(small.c.generation == generation))


async def begin_generation(upkeep: Upkeep) -> int:
    """A further generation, in which is what pruned frames had added."""
    async with upkeep.transaction() as connection:
        generation = max(*await _generations(connection), await live_generation(connection)) + 1
    for table in TABLES:
        stretch = Range(BEGINNING, BEGINNING)
        while stretch.upto is not None:
            async with upkeep.transaction() as connection:
                stretch = await next_range(connection, table, [PRUNED], stretch.upto)
                kept = still_kept(table, await first_kept(connection))
                columns = [column for column in table.columns if column.name != "generation"]
                rows = select(literal(generation, Integer), *columns).where(
                    of_range(table, PRUNED, stretch), kept
                )
                names = ["generation", *(column.name for column in columns)]
                await connection.execute(insert(table).from_select(names, rows))
    return generation


async def _generations(connection: AsyncConnection) -> set[int]:
    """All that have a row somewhere. Each look is one step into an index, however many rows there are."""
    found = {PRUNED}
    for table in (*TABLES, checkpoints, parked):
        generation: int | None = PRUNED
        while generation is not None:
            found.add(generation)
            query = select(func.min(table.c.generation)).where(table.c.generation > generation)
            generation = (await connection.execute(query)).scalar()
    return found


def _within(table: FromClause, stretch: Range) -> list[ColumnElement[bool]]:
    """The conditions for a range, whatever the generation."""
    place = tuple_(table.c.span_s, table.c.start)
    bounds = [place > _literal(stretch.after)]
    if stretch.upto is not None:
        bounds.append(place <= _literal(stretch.upto))
    return bounds


def _literal(place: Place) -> ColumnElement[tuple[int, int]]:
    return tuple_(literal(place.span_s, Integer), literal(place.start, BigInteger))


def _all(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    whole: ColumnElement[bool] = true()
    for condition in conditions:
        whole &= condition
    return whole
