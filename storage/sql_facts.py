"""The facts of one stream, read from the event log as they arrive there."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.ports import FactPage
from storage.sql_engine import NoEventLog, transaction
from storage.sql_event_log import frames_in_order, readable_frames
from storage.sql_tables import frames

PAGE_FRAMES = 500
"""chosen: at most a megabyte or two in memory; a stream of facts that people make is rarely longer."""


class SqlFacts:
    """The FactReader of a stream over one database. The engine stays the caller's; a reader's is enough."""

    def __init__(self, engine: AsyncEngine, stream: str) -> None:
        self._engine = engine
        # By the index on `stream`, whose entries are in the order of positions on SQLite, and few elsewhere.
        self._query = frames_in_order().where(frames.c.stream == stream)

    async def read(self, after: int) -> FactPage:
        """The next frames behind a position, 0 where there is no log yet. Raises EventLogUnavailable."""
        try:
            async with transaction(self._engine) as connection:
                news = self._query.where(frames.c.position > after).limit(PAGE_FRAMES)
                rows = (await connection.execute(news)).all()
        except NoEventLog:
            return FactPage(position=0)
        return FactPage(
            position=rows[-1].position if rows else after,
            frames=tuple(stored.frame for stored in readable_frames(rows)),
            is_last=len(rows) < PAGE_FRAMES,
        )
