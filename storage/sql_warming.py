"""What warming reads of the record: the searches that are asked most, and when was last warmed."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.facts import WarmingFinished
from orchestrator.projections.queries import QueriesRollup
from orchestrator.reports.report import Question
from orchestrator.reports.windows import plan
from orchestrator.warming_plan import Asked
from storage.codec import decode_events
from storage.sql_engine import NoEventLog, transaction
from storage.sql_projector import first_kept, live_generation
from storage.sql_rankings import Ranking
from storage.sql_sums import merged
from storage.sql_tables import frames, queries

LAST_RUNS = 20
"""chosen: so many of the last runs by schedule are looked at; those that were cancelled are passed over."""


class SqlAsked:
    """The AskedStore over one database. The engine stays the caller's; a reader's is enough."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def most_asked(self, since: float, until: float, limit: int) -> list[Asked]:
        """The searches with the most calls between two moments; none where there is no log yet.

        Raises EventLogUnavailable.
        """
        try:
            async with transaction(self._engine) as connection:
                return await _most_asked(connection, since, until, limit)
        except NoEventLog:
            return []

    async def warmed_at(self) -> float:
        """When the last warming by schedule came to its end, 0 if none did. Raises EventLogUnavailable."""
        query = select(frames.c.events).where(frames.c.stream == "warming:schedule")
        try:
            async with transaction(self._engine) as connection:
                newest = query.order_by(frames.c.position.desc()).limit(LAST_RUNS)
                rows = (await connection.execute(newest)).all()
        except NoEventLog:
            return 0.0
        ended = [0.0]
        for row in rows:
            with suppress(msgspec.MsgspecError):
                ended += (
                    envelope.at
                    for envelope in decode_events(row.events)
                    if isinstance(envelope.event, WarmingFinished) and envelope.event.ended_by != "cancelled"
                )
        return max(ended)


async def _most_asked(connection: AsyncConnection, since: float, until: float, limit: int) -> list[Asked]:
    rollup = QueriesRollup()
    window = plan(Question(since=since, until=until), await first_kept(connection), rollup.spans_s)
    ranking = Ranking(rollup, "calls", limit, await live_generation(connection))
    totals = await ranking.totals(connection, merged(window.pieces))
    query = select(queries.c.key_hash, queries.c.text, queries.c.request)
    rows = await connection.execute(query.where(queries.c.key_hash.in_([key for key, _ in totals])))
    words = {row.key_hash: (row.text, row.request) for row in rows}
    found = []
    for key, counts in totals:
        sums = dict(zip(rollup.measures, counts, strict=True))
        text, options = words.get(key, (None, ""))
        found.append(
            Asked(
                key=key,
                calls=sums["calls"],
                fetched=sums["fetched"],
                duration_us=sums["duration_us"],
                text=text,
                options=options,
            )
        )
    return found
