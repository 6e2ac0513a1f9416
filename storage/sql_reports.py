"""Reports read from the rollups: SQL adds up the rows of a window, the report says what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer, cast, column, func, select, values
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.events import Frame
from orchestrator.reports.catalogue import report_for
from orchestrator.reports.report import TIMES, Need, Question, Sums
from orchestrator.reports.totals import Standing, Totals
from orchestrator.reports.windows import Piece, Window, plan
from storage.sql_engine import NoEventLog, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import live_generation
from storage.sql_tables import compactions, rollups
from storage.sql_totals import read_standing, read_totals

_TABLES = {rollup.name: table for rollup, table in rollups}


class SqlReports:
    """The ReportStore over the rollups of one database.

    The engine stays the caller's; a reader's is enough.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._log = SqlEventLog(engine)

    async def report(self, name: str, question: Question) -> dict[str, Any]:
        """The report `name`. `since` and `until` in it say to which window it was widened.

        Raises EventLogUnavailable, NotFound for another name, InvalidRequest for a question it cannot answer.
        """
        report = report_for(name, question)
        needs = report.needs(question.by)
        spans_s = min((need.rollup.spans_s for need in needs), key=len)
        try:
            async with transaction(self._engine) as connection:
                kept_from = {
                    row.span_s: row.kept_from for row in await connection.execute(select(compactions))
                }
                window = plan(question, kept_from, spans_s)
                sums = [await _sums(connection, need, window) for need in needs]
        except NoEventLog:
            window = plan(question, {}, spans_s)
            sums = [{} for _ in needs]
        figures = report.render(sums, question.by, question.limit)
        return {"since": window.since, "until": window.until, **figures}

    async def execution(self, execution_id: str) -> list[Frame]:
        """All frames of one execution, oldest first; empty if there are none. Raises EventLogUnavailable."""
        try:
            return await self._log.read_stream(execution_id)
        except NoEventLog:
            return []

    async def totals(self, needs: Sequence[Need]) -> Totals:
        """Sums over all of history; of nothing where there is no log yet. Raises EventLogUnavailable."""
        try:
            return await read_totals(self._engine, needs)
        except NoEventLog:
            return Totals(sums=[{} for _ in needs], standing=Standing())

    async def standing(self) -> Standing:
        """How much of the log has been counted. Raises EventLogUnavailable."""
        try:
            return await read_standing(self._engine)
        except NoEventLog:
            return Standing()


async def _sums(connection: AsyncConnection, need: Need, window: Window) -> Sums:
    """The sums of a need over the pieces of a window."""
    if not window.pieces:
        return {}
    table = _TABLES[need.rollup.name]
    has_groups = need.dimensions[0] in TIMES
    pieces = _pieces(window.pieces if has_groups else tuple(_merged(window.pieces)))
    names = [table.c[name] for name in need.dimensions if name not in TIMES]
    keys = [pieces.c.grp, *names] if has_groups else names
    measures = [cast(func.sum(table.c[name]), BigInteger) for name in need.rollup.measures]
    query = (
        select(*keys, *measures)
        .select_from(pieces)
        .join(
            table,
            (table.c.generation == await live_generation(connection))
            & (table.c.span_s == pieces.c.span_s)
            & (table.c.start >= pieces.c.low)
            & (table.c.start < pieces.c.high),
        )
        .group_by(*keys)
    )
    size = len(keys)
    return {tuple(row[:size]): tuple(row[size:]) for row in await connection.execute(query)}


def _pieces(pieces: Sequence[Piece]) -> Any:
    """The pieces as a table of constants."""
    names = (
        column("grp", BigInteger),
        column("span_s", Integer),
        column("low", BigInteger),
        column("high", BigInteger),
    )
    return (
        values(*names, name="piece", literal_binds=True)
        .data([tuple(piece) for piece in pieces])
        .cte("pieces")
    )


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """The same rows without their groups, neighbours as one."""
    merged: list[Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if last is not None and (last.span_s, last.high) == (piece.span_s, piece.low):
            merged[-1] = last._replace(high=piece.high)
        else:
            merged.append(piece._replace(group=0))
    return merged
