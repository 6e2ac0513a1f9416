"""What the log says about itself: which frames are missing or pruned, which executions have ended twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.sql_engine import dialect_of
from storage.sql_tables import frames, pruned_series


class Hole(msgspec.Struct, frozen=True):
    """Frames `first` to `last` of a writer, which it has written and the log does not have."""

    instance: str
    first: int
    last: int


class PrunedSeries(dict[str, list[tuple[int, int]]]):
    """Which frames of some writers were pruned, as first and last numbers.

    They may come again: a journal may still hold them.
    """

    def has(self, instance: str, number: int) -> bool:
        """Whether this frame was pruned."""
        return any(first <= number <= last for first, last in self.get(instance, ()))


async def find_pruned(connection: AsyncConnection, instances: Iterable[str]) -> PrunedSeries:
    """What was pruned of these writers."""
    found = PrunedSeries()
    query = select(pruned_series).where(pruned_series.c.instance.in_(list(instances)))
    for instance, first, last in await connection.execute(query):
        found.setdefault(instance, []).append((first, last))
    return found


async def note_pruned(connection: AsyncConnection, numbers: Iterable[tuple[str, int]]) -> None:
    """Note frames, by writer and number, as pruned; neighbours become one row."""
    added: dict[str, list[tuple[int, int]]] = {}
    for instance, number in numbers:
        added.setdefault(instance, []).append((number, number))
    known = await find_pruned(connection, added)
    rows: list[tuple[str, int, int]] = []
    for instance, ranges in added.items():
        for first, last in sorted([*ranges, *known.get(instance, ())]):
            if rows and rows[-1][0] == instance and first <= rows[-1][2] + 1:
                rows[-1] = (*rows[-1][:2], max(last, rows[-1][2]))
            else:
                rows.append((instance, first, last))
    await connection.execute(delete(pruned_series).where(pruned_series.c.instance.in_(list(added))))
    await dialect_of(connection.engine).upsert(connection, pruned_series, rows)


class Holes(NamedTuple):
    """How many frames are missing, and where, as far as they are listed."""

    frames: int
    listed: list[Hole]


async def find_holes(connection: AsyncConnection, limit: int) -> Holes:
    """Which frames are missing between those that are there; what was pruned on purpose is not.

    That a writer's last frames are missing no number can tell.
    """
    borders = (
        select(pruned_series.c.instance, func.max(pruned_series.c.last_seq).label("border"))
        .group_by(pruned_series.c.instance)
        .subquery()
    )
    pruned = func.coalesce(borders.c.border, 0)
    last, there = func.max(frames.c.instance_seq), func.count()
    query = (
        select(frames.c.instance, func.max(pruned).label("pruned"), last, there)
        .select_from(frames.outerjoin(borders, frames.c.instance == borders.c.instance))
        .where(frames.c.instance_seq > pruned)
        .group_by(frames.c.instance)
        .having(last - func.max(pruned) != there)
        .order_by(frames.c.instance)
    )
    missing, listed = 0, list[Hole]()
    for instance, upto, highest, count in (await connection.execute(query)).all():
        missing += highest - upto - count
        if len(listed) < limit:
            listed += await _holes_of(connection, instance, upto, limit - len(listed))
    return Holes(missing, listed)


async def _holes_of(connection: AsyncConnection, instance: str, after: int, limit: int) -> list[Hole]:
    before = func.lag(frames.c.instance_seq, 1, after).over(order_by=frames.c.instance_seq)
    neighbours = (
        select(frames.c.instance_seq.label("number"), before.label("before"))
        .where(frames.c.instance == instance, frames.c.instance_seq > after)
        .subquery()
    )
    query = (
        select(neighbours.c.before + 1, neighbours.c.number - 1)
        .where(neighbours.c.number > neighbours.c.before + 1)
        .order_by(neighbours.c.number)
        .limit(limit)
    )
    return [Hole(instance, first, last) for first, last in await connection.execute(query)]


async def find_doubled(connection: AsyncConnection, limit: int) -> list[str]:
    """Executions with two last words, at most `limit`: what they counted counts twice."""
    several = select(frames.c.stream).group_by(frames.c.stream).having(func.count() > 1).subquery()
    query = (
        select(frames.c.stream)
        .select_from(several.join(frames, frames.c.stream == several.c.stream))
        .where(frames.c.outcome != "")
        .group_by(frames.c.stream)
        .having(func.count() > 1)
        .limit(limit)
    )
    return list((await connection.execute(query)).scalars())
