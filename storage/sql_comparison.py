"""Compares two generations of a rollup row by row, in SQL: only rows that differ leave the database."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Table, false, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.projections.fold import Rollup
from storage.sql_generations import Range, of_range, still_kept


class Difference(msgspec.Struct, frozen=True):
    """A row that is not what the frames add up to; `None` where one side has no such row."""

    table: str
    span_s: int
    start: int
    dimensions: dict[str, str | int]
    live: dict[str, int] | None
    recounted: dict[str, int] | None


async def differences(
    connection: AsyncConnection,
    rollup: Rollup,
    table: Table,
    *,
    live: int,
    recounted: int,
    stretch: Range,
    kept_from: dict[int, int],
) -> list[Difference]:
    """Every row of a range that differs between the live generation and the recounted one.

    Rows of spans that are no longer complete are left out.
    """
    mine, other = table.alias("mine"), table.alias("other")
    measures = rollup.measures
    differs = _any([mine.c[name] != other.c[name] for name in measures])
    kept = still_kept(mine, kept_from)
    absent = other.c.generation.is_(None)
    both = _pairs(rollup, mine, other, recounted).where(of_range(mine, live, stretch), kept, absent | differs)
    only = _pairs(rollup, mine, other, live).where(of_range(mine, recounted, stretch), kept, absent)
    found = [_difference(rollup, table, tuple(row)) for row in await connection.execute(both)]
    for row in await connection.execute(only):
        lost = _difference(rollup, table, tuple(row))
        found.append(msgspec.structs.replace(lost, live=None, recounted=lost.live))
    return found


def _pairs(rollup: Rollup, mine: Any, other: Any, generation: int) -> Select[Any]:
    """Rows of one generation, each with the one of the other generation, if it has it."""
    same = [mine.c[name] == other.c[name] for name in ("span_s", "start", *rollup.dimensions)]
    condition: ColumnElement[bool] = other.c.generation == generation
    for equal in same:
        condition &= equal
    return select(
        mine.c.span_s,
        mine.c.start,
        *(mine.c[name] for name in rollup.dimensions),
        *(mine.c[name] for name in rollup.measures),
        *(other.c[name] for name in rollup.measures),
    ).select_from(mine.outerjoin(other, condition))


def _difference(rollup: Rollup, table: Table, row: tuple[Any, ...]) -> Difference:
    size = 2 + len(rollup.dimensions)
    count = len(rollup.measures)
    other = row[size + count :]
    return Difference(
        table=str(table.name),
        span_s=row[0],
        start=row[1],
        dimensions=dict(zip(rollup.dimensions, row[2:size], strict=True)),
        live=dict(zip(rollup.measures, row[size : size + count], strict=True)),
        recounted=None if other[0] is None else dict(zip(rollup.measures, other, strict=True)),
    )


def _any(conditions: list[ColumnElement[bool]]) -> ColumnElement[bool]:
    one: ColumnElement[bool] = false()
    for condition in conditions:
        one |= condition
    return one
