"""What the log says about itself: frames that are missing in a series, executions that ended twice."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.sql_tables import frames, pruned_series


class Hole(msgspec.Struct, frozen=True):
    """Frames `first` to `last` of a writer, which it has written and the log does not have."""

    instance: str
    first: int
    last: int


class Holes(NamedTuple):
    """How many frames are missing, and where, as far as they are listed."""

    frames: int
    listed: list[Hole]


async def find_holes(connection: AsyncConnection, limit: int) -> Holes:
    """Which frames are missing between those that are there; what was pruned on purpose is not.

    That a writer's last frames are missing no number can tell.
    """
    pruned = func.coalesce(pruned_series.c.instance_seq, 0)
    last, there = func.max(frames.c.instance_seq), func.count()
    query = (
        select(frames.c.instance, func.max(pruned).label("pruned"), last, there)
        .select_from(frames.outerjoin(pruned_series, frames.c.instance == pruned_series.c.instance))
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
