"""Finds and erases the texts of queries, the only words of callers that are kept; events hold none.

A text stands in the table `queries` once for each cache key. What is erased stays so: a frame that is
appended a second time does not bring its texts again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.canonical import normalize
from storage.sql_engine import dialect_of, transaction
from storage.sql_raw_events import Selection, raw_events
from storage.sql_tables import queries

PAGE_TEXTS = 500
"""chosen: as many keys as a statement takes on either engine, and some hundred kilobytes of texts."""


class SqlTexts:
    """The texts in a database; the engine must be a writer's to erase, and stays the caller's."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def keys_of(self, texts: Iterable[str]) -> set[str]:
        """The cache keys whose text asks the same as one of these, whatever its case, blanks, Unicode form.

        Reads all texts. Raises EventLogUnavailable.
        """
        wanted = set(map(normalize, texts))
        found: set[str] = set()
        reached = ""
        while True:
            page = select(queries.c.key_hash, queries.c.text).where(queries.c.key_hash > reached)
            async with transaction(self._engine) as connection:
                query = page.order_by(queries.c.key_hash).limit(PAGE_TEXTS)
                rows = (await connection.execute(query)).all()
            if not rows:
                return found
            reached = rows[-1].key_hash
            found |= {row.key_hash for row in rows if normalize(row.text) in wanted}

    async def keys_of_client(self, client: str) -> set[str]:
        """The cache keys with a text that calls of this client have used; others may have used them too.

        Reads all events. Raises EventLogUnavailable.
        """
        found: set[str] = set()
        async for page in raw_events(self._engine, Selection(client=client)):
            used = {event.head.key for event in page.events if isinstance(event.head.key, str)} - found
            for keys in _pages(used):
                present = select(queries.c.key_hash).where(queries.c.key_hash.in_(keys))
                async with transaction(self._engine) as connection:
                    found |= set((await connection.execute(present)).scalars())
        return found

    async def erase(self, keys: Collection[str]) -> int:
        """Erase the texts of these keys; returns how many there were. Raises EventLogUnavailable.

        An error may leave some of them erased; calling it again erases the rest.
        """
        count = 0
        for some in _pages(keys):
            async with transaction(self._engine) as connection:
                await dialect_of(self._engine).overwrite_deleted(connection)
                erased = await connection.execute(delete(queries).where(queries.c.key_hash.in_(some)))
                count += erased.rowcount
        return count


def _pages(keys: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(keys)
    return (ordered[i : i + PAGE_TEXTS] for i in range(0, len(ordered), PAGE_TEXTS))
