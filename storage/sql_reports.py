"""Reports read from the rollups: SQL adds up the rows of a window, the report says what they mean."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.events import Frame
from orchestrator.reports.catalogue import report_for
from orchestrator.reports.report import Question
from orchestrator.reports.windows import plan
from storage.sql_engine import NoEventLog, transaction
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import live_generation
from storage.sql_sums import read_sums
from storage.sql_tables import compactions


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
                generation = await live_generation(connection)
                sums = [await read_sums(connection, need, window.pieces, generation) for need in needs]
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
