"""Reports read from the rollups: SQL adds up the minutes of a window, the projection makes the report.

The same function makes a report from a fold by hand, so a report can be checked against the events
themselves.
"""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Table, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.errors import InvalidRequest
from orchestrator.events import Frame
from orchestrator.projections.fold import MINUTE_S, SPANS, Counts, Key, Rollup
from storage.sql_engine import NoEventLog, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_tables import health, hit_rate, latency, rollups

_TABLES: dict[str, Table] = {rollup.name: table for rollup, table in rollups}

HIT_RATE_BY = ("operation", "door", "client", "topic", "provider", "cache", *SPANS)
"""What the hit rate can be grouped by, besides `""` for the totals alone."""

LATENCY_BY = ("operation", "provider", "client", *SPANS)
"""What latency can be grouped by within its stages, besides `""` for the stages alone."""


class SqlReports:
    """The ReportStore over the rollups of one database. The engine stays the caller's; a reader's is enough.

    Windows are widened to whole minutes, the grain of the rollups; `since` and `until` of a report say to
    which.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._log = SqlEventLog(engine)

    async def health(self, since: float, until: float) -> dict[str, Any]:
        """How calls and providers did. Raises EventLogUnavailable."""
        window = _whole_minutes(since, until)
        return {**_named(window), **health.report(await self._counts(health, window), "")}

    async def hit_rate(self, since: float, until: float, by: str = "") -> dict[str, Any]:
        """How often the cache answered. Raises EventLogUnavailable, InvalidRequest for an unknown `by`."""
        return await self._report(hit_rate, since, until, by, HIT_RATE_BY)

    async def latency(self, since: float, until: float, by: str = "") -> dict[str, Any]:
        """How long calls took. Raises EventLogUnavailable, InvalidRequest for an unknown `by`."""
        return await self._report(latency, since, until, by, LATENCY_BY)

    async def execution(self, execution_id: str) -> list[Frame]:
        """All frames of one execution, oldest first; empty if there are none. Raises EventLogUnavailable."""
        try:
            return await self._log.read_stream(execution_id)
        except NoEventLog:
            return []

    async def _report(
        self, rollup: Rollup, since: float, until: float, by: str, known: tuple[str, ...]
    ) -> dict[str, Any]:
        if by and by not in known:
            raise InvalidRequest(f"by: expected one of {', '.join(known)}.", field="by")
        window = _whole_minutes(since, until)
        return {**_named(window), **rollup.report(await self._counts(rollup, window, by), by)}

    async def _counts(self, rollup: Rollup, window: tuple[int, int], by: str = "") -> dict[Key, Counts]:
        """The counts of the window; all its minutes become one, or one for each span asked for."""
        table = _TABLES[rollup.name]
        names = [table.c[name] for name in rollup.dimensions[1:]]
        when = _spans(table, by)
        query = (
            select(when, *names, *(cast(func.sum(table.c[name]), BigInteger) for name in rollup.measures))
            .where(table.c.minute >= window[0], table.c.minute < window[1])
            .group_by("span", *names)
        )
        size = len(rollup.dimensions)
        try:
            async with transaction(self._engine) as connection:
                rows = (await connection.execute(query)).all()
        except NoEventLog:
            return {}
        return {tuple(row[:size]): tuple(row[size:]) for row in rows}


def _spans(table: Table, by: str) -> ColumnElement[int]:
    span_s = SPANS.get(by)
    span = literal(0, BigInteger) if span_s is None else table.c.minute - table.c.minute % span_s
    return span.label("span")


def _whole_minutes(since: float, until: float) -> tuple[int, int]:
    return math.floor(since / MINUTE_S) * MINUTE_S, math.ceil(until / MINUTE_S) * MINUTE_S


def _named(window: tuple[int, int]) -> dict[str, Any]:
    return {"since": window[0], "until": window[1]}
