"""Reports read from the rollups: SQL adds up the rows of a window, the report says what they mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import structs
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.events import Frame
from orchestrator.executions import ExecutionQuery, FoundExecutions
from orchestrator.projections.fold import EVER
from orchestrator.reports.catalogue import report_for
from orchestrator.reports.report import TIMES, Fact, Facts, Need, Question, Sums
from orchestrator.reports.totals import Standing, Totals
from orchestrator.reports.windows import Window, in_its_zone, plan
from storage.codec import decode_events
from storage.sql_engine import NoEventLog, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_executions import find_executions
from storage.sql_projector import first_kept, live_generation
from storage.sql_rankings import Ranking
from storage.sql_sums import merged, read_sums
from storage.sql_tables import frames, queries, rollups
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
        spans_s = min((need.rollup.spans_s for need in needs if isinstance(need, Need)), key=len)
        try:
            async with transaction(self._engine) as connection:
                kept_from = await first_kept(connection)
                window = plan(question, kept_from, spans_s)
                # What is not grouped by time is read in the fewest rows: days, where groups need hours.
                whole = plan(structs.replace(question, by=""), kept_from, spans_s)
                found = [
                    await _found(connection, need, window if _has_times(need) else whole, question)
                    for need in needs
                ]
        except NoEventLog:
            window = plan(question, {}, spans_s)
            found = [{} for _ in needs]
        figures = report.render(found, question.by, question.limit)
        return in_its_zone({"since": window.since, "until": window.until, **figures}, question)

    async def sums(self, need: Need, since: float, until: float) -> Sums:
        """The sums of a need, which has no ranking; of nothing without a log. Raises EventLogUnavailable."""
        question = Question(since=since, until=until)
        try:
            async with transaction(self._engine) as connection:
                window = plan(question, await first_kept(connection), need.rollup.spans_s)
                return await read_sums(connection, need, window.pieces, await live_generation(connection))
        except NoEventLog:
            return {}

    async def execution(self, execution_id: str) -> list[Frame]:
        """All frames of one execution, oldest first; empty if there are none. Raises EventLogUnavailable."""
        try:
            return await self._log.read_stream(execution_id)
        except NoEventLog:
            return []

    async def executions(self, query: ExecutionQuery) -> FoundExecutions:
        """Past executions that fit; none without a log. Raises EventLogUnavailable, InvalidRequest."""
        try:
            return await find_executions(self._engine, query)
        except NoEventLog:
            return FoundExecutions(searched_since=query.since)

    async def texts(self, keys: Collection[str]) -> dict[str, str]:
        """The kept texts behind cache keys; none without a log. Raises EventLogUnavailable."""
        try:
            async with transaction(self._engine) as connection:
                return await _texts(connection, keys)
        except NoEventLog:
            return {}

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


def _has_times(need: Need | Facts) -> bool:
    return isinstance(need, Need) and need.dimensions[0] in TIMES


async def _found(connection: AsyncConnection, need: Need | Facts, window: Window, question: Question) -> Any:
    """What a report needs of a window."""
    if isinstance(need, Facts):
        return await _facts(connection, need, window, question.limit)
    if need.ranked_by:
        is_wanted = not question.ranked_by or need.ranked_by in question.ranked_by
        return await _ranked(connection, need, window, question.limit) if is_wanted else {}
    if question.among and question.among[0] in need.dimensions:
        need = need._replace(among=question.among)
    return await read_sums(connection, need, window.pieces, await live_generation(connection))


async def _facts(connection: AsyncConnection, need: Facts, window: Window, limit: int) -> list[Fact]:
    """The newest facts of some streams. A frame of such a stream holds one, recorded as it happened."""
    table = _TABLES[need.rollup.name]
    seen = select(table.c[need.dimension]).distinct()
    seen = seen.where(table.c.generation == await live_generation(connection), table.c.span_s == EVER)
    # By their whole names, which an index finds whatever the collation.
    streams = [need.stream_prefix + row[0] for row in await connection.execute(seen)]
    query = (
        select(frames.c.stream, frames.c.instance, frames.c.events)
        .where(frames.c.stream.in_(streams))
        .where(frames.c.recorded_at >= window.since, frames.c.recorded_at < window.until)
        .order_by(frames.c.recorded_at.desc(), frames.c.position.desc())
        .limit(limit)
    )
    facts: list[Fact] = []
    for row in await connection.execute(query):
        with suppress(msgspec.MsgspecError):  # it is parked, and no report counts it
            facts += (
                Fact(row.stream, row.instance, envelope.at, envelope.event)
                for envelope in decode_events(row.events)
            )
    return facts


async def _ranked(connection: AsyncConnection, need: Need, window: Window, limit: int) -> Sums:
    """The largest sums, with the text of each key."""
    ranking = Ranking(need.rollup, need.ranked_by, limit, await live_generation(connection))
    totals = await ranking.totals(connection, merged(window.pieces))
    texts = await _texts(connection, [key for key, _ in totals])
    return {(key, texts.get(key, "")): counts for key, counts in totals}


async def _texts(connection: AsyncConnection, keys: Collection[str]) -> dict[str, str]:
    query = select(queries.c.key_hash, queries.c.text).where(queries.c.key_hash.in_(keys))
    return {row.key_hash: row.text for row in await connection.execute(query)}
