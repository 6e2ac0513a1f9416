"""Adds up the rows of a rollup over a window: one statement for each range of rows that lie side by side.

What decides the time of a report is how many rows leave the database. So groups of time are not spelled out
for it, it groups by the beginnings of rows, which are a few more at most; and the buckets of a duration come
as two lists in one row: a month by the hour is then five thousand rows and not four hundred thousand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from operator import add
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.projections.buckets import SCALE
from orchestrator.projections.fold import Key
from orchestrator.reports.report import TIMES, Buckets, Need, Sums
from orchestrator.reports.totals import DOUBLING
from orchestrator.reports.windows import Piece
from storage.sql_tables import rollups

_TABLES = {rollup.name: table for rollup, table in rollups}
_integers = msgspec.json.Decoder(list[int]).decode


async def read_sums(
    connection: AsyncConnection, need: Need, pieces: Sequence[Piece], generation: int
) -> Sums:
    """The sums of a need over the pieces of a window."""
    table = _TABLES[need.rollup.name]
    has_groups = need.dimensions[0] in TIMES
    names = need.dimensions[has_groups:]
    query = _query(table, [*["start"][:has_groups], *names], need)
    group_of = _group_of(pieces)
    size, end = len(need.dimensions), len(need.dimensions) + len(need.measures)
    sums: dict[Key, tuple[Any, ...]] = {}
    for _, span_s, low, high in merged(pieces):
        asked = {"generation": generation, "span_s": span_s, "low": low, "high": high}
        for row in (await connection.execute(query, asked)).all():  # one by one they take twice as long
            key = (group_of(row[0]), *row[1:size]) if has_groups else tuple(row[:size])
            counts, buckets = tuple(row[size:end]), row[end:]
            known = sums.get(key)
            if known is not None:
                counts = tuple(map(add, known, counts))
            if need.has_buckets:
                more = Buckets(*(_integers(f"[{listed}]") for listed in buckets))
                counts = (*counts, known[-1].plus(more) if known else more)
            sums[key] = counts
    return sums


def _query(table: Table, keys: Sequence[str], need: Need) -> Select[Any]:
    among = [table.c[need.among[0]].in_(need.among[1])] if need.among else []
    rows: FromClause = table
    where: Sequence[ColumnElement[bool]] = (
        table.c.generation == bindparam("generation"),
        table.c.span_s == bindparam("span_s"),
        table.c.start >= bindparam("low"),
        table.c.start < bindparam("high"),
        *among,
    )
    if need.has_buckets and "start" not in keys:
        # Few groups of many rows: each bucket once, instead of once for every row.
        of_bucket = [table.c[name] for name in (*keys, "bucket")]
        sums = [func.sum(table.c[name]).label(name) for name in dict.fromkeys((*need.measures, "calls"))]
        rows, where = select(*of_bucket, *sums).where(*where).group_by(*of_bucket).subquery(), ()
    names = [_key(rows, name) for name in keys]
    measures = [cast(func.sum(rows.c[name]), BigInteger) for name in need.measures]
    # Both lists are made of the same rows in one go, so they are in the same order, whichever it is.
    lists = [
        func.aggregate_strings(cast(rows.c[name], Text), ",")
        for name in (("bucket", "calls") if need.has_buckets else ())
    ]
    return select(*names, *measures, *lists).where(*where).group_by(*names)


def _key(rows: FromClause, name: str) -> ColumnElement[Any]:
    # As buckets.doubling_of: both engines shift negative numbers as Python does.
    # A parameter would not do: PostgreSQL takes the one selected and the one grouped by for two.
    return rows.c.bucket.op(">>")(literal_column(str(SCALE))) if name == DOUBLING else rows.c[name]


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """The same rows without their groups, neighbours as one."""
    ranges: list[Piece] = []
    for piece in pieces:
        last = ranges[-1] if ranges else None
        if last is not None and (last.span_s, last.high) == (piece.span_s, piece.low):
            ranges[-1] = last._replace(high=piece.high)
        else:
            ranges.append(piece._replace(group=0))
    return ranges


def _group_of(pieces: Sequence[Piece]) -> Callable[[int], int]:
    """To which group the rows belong that begin at a moment."""
    ordered = sorted(pieces, key=lambda piece: piece.low)
    lows = [piece.low for piece in ordered]

    @cache
    def group_of(start: int) -> int:
        return ordered[bisect_right(lows, start) - 1].group

    return group_of
