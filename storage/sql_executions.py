"""Past executions found in the log, newest first, in bounded steps: however large it is, none takes long.

A page is looked for among so many executions and no more. If it is not full by then it ends there, and its
cursor says where to go on. Pages follow each other by time and position, so what is recorded meanwhile moves
nothing: each execution is found once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, TextClause, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.canonical import normalize
from orchestrator.errors import InvalidRequest
from orchestrator.executions import ExecutionQuery, FoundExecution, FoundExecutions
from storage.sql_engine import dialect_of, transaction
from storage.sql_tables import HAS_ENDED, HAS_ENDED_OF_CLIENT, HAS_FAILED, frames, queries

LOOKED_AT_MAX = 5_000
"""chosen: executions looked at for a page, where their rows lie side by side: 20 ms of a core."""

SCATTERED_MAX = 1_000
"""chosen: the same where each row, or its text, is in a place of its own."""

KEY_CHARS = 32
"""A cache key is 32 hex digits (canonical.py)."""

_SAME = ("operation", "door", "provider", "cache", "outcome", "error")
_SHOWN = (*_SAME, "position", "recorded_at", "client", "topic", "duration_s")


class _Place(NamedTuple):
    """Where an execution stands among all of them."""

    recorded_at: float
    position: int


async def find_executions(engine: AsyncEngine, query: ExecutionQuery) -> FoundExecutions:
    """A page of what is wanted. Raises EventLogUnavailable, InvalidRequest for an unknown cursor."""
    async with transaction(engine) as connection:
        return await _Search(connection, query).page()


class _Search:
    """One search within a transaction."""

    def __init__(self, connection: AsyncConnection, query: ExecutionQuery) -> None:
        self._connection = connection
        self._query = query
        self._is_of_failed = query.outcome == "failed" or bool(query.error)
        is_scattered = self._is_of_failed or query.client is not None or bool(query.text)
        self._looked_at_max = SCATTERED_MAX if is_scattered else LOOKED_AT_MAX

    async def page(self) -> FoundExecutions:
        """The page that answers the query."""
        query = self._query
        looked_at = self._looked_at(await self._end())
        positions = await self._matching(looked_at)
        page = await self._rows(positions[: query.limit])
        reached: _Place | None
        if len(positions) > len(page):
            reached = _Place(page[-1].recorded_at, page[-1].position)
        else:
            last = looked_at.limit(1).offset(self._looked_at_max - 1)
            found = (await self._connection.execute(last)).first()
            reached = None if found is None else _Place(*found)
        return FoundExecutions(
            executions=tuple(page),
            next=None if reached is None else reached.position,
            searched_since=query.since if reached is None else reached.recorded_at,
        )

    async def _end(self) -> _Place:
        """Where the page begins, going back."""
        query = self._query
        end = _Place(query.until, 0)
        if query.before is None:
            return end
        of_cursor = select(frames.c.recorded_at).where(frames.c.position == query.before)
        recorded_at = (await self._connection.execute(of_cursor)).scalar()
        if recorded_at is None:
            raise InvalidRequest(
                "before: there is no such place in the record, or no longer; leave it out to begin anew.",
                field="before",
            )
        return min(end, _Place(recorded_at, query.before))

    def _looked_at(self, end: _Place) -> Select[Any]:
        """The places of the executions that may be looked at, newest first.

        Those that failed, or those of the client, if that is asked for, else all: exactly these an index has
        in this order, so no row is read that does not count. Each bound of the time stands once: of two
        SQLite takes any for the index, perhaps the wide one.
        """
        query = self._query
        which: list[ColumnElement[bool] | TextClause] = [HAS_FAILED if self._is_of_failed else HAS_ENDED]
        if query.client is not None and not self._is_of_failed:
            which = [HAS_ENDED_OF_CLIENT, frames.c.client == query.client]
        return (
            select(frames.c.recorded_at, frames.c.position)
            .where(
                *which,
                frames.c.recorded_at >= query.since,
                frames.c.recorded_at <= end.recorded_at,
                or_(frames.c.recorded_at < end.recorded_at, frames.c.position < end.position),
            )
            .order_by(frames.c.recorded_at.desc(), frames.c.position.desc())
        )

    async def _matching(self, looked_at: Select[Any]) -> list[int]:
        """The positions of those of them that fit: as many as the page takes, and one more if there is.

        Texts are compared here, because the engines differ in what they take for the same letter.
        """
        query, filters = self._query, self._filters()
        enough = query.limit + 1
        if not (filters or query.text):
            newest = looked_at.limit(min(enough, self._looked_at_max))
            return [row.position for row in await self._connection.execute(newest)]
        places = looked_at.limit(self._looked_at_max).subquery()
        columns = (frames.c.position, self._text()) if query.text else (frames.c.position,)
        fitting = select(*columns).join(places, places.c.position == frames.c.position).where(*filters)
        fitting = fitting.order_by(places.c.recorded_at.desc(), places.c.position.desc())
        rows = await self._connection.execute(fitting if query.text else fitting.limit(enough))
        sought = normalize(query.text)
        is_wanted = (row for row in rows.all() if not sought or sought in normalize(row.text or ""))
        return [row.position for row in islice(is_wanted, enough)]

    def _filters(self) -> list[ColumnElement[bool]]:
        """What they are looked at for."""
        query = self._query
        found = [frames.c[name] == wanted for name in _SAME if (wanted := getattr(query, name))]
        if self._is_of_failed and query.client is not None:
            found.append(frames.c.client == query.client)
        if query.duration_s_min:
            found.append(frames.c.duration_s >= query.duration_s_min)
        return found

    async def _rows(self, positions: Sequence[int]) -> list[FoundExecution]:
        """What is shown of these executions, newest first."""
        shown = (*(frames.c[name] for name in _SHOWN), frames.c.stream.label("execution_id"), self._text())
        page = select(*shown).where(frames.c.position.in_(positions))
        page = page.order_by(frames.c.recorded_at.desc(), frames.c.position.desc())
        return [FoundExecution(**row) for row in (await self._connection.execute(page)).mappings()]

    def _text(self) -> ColumnElement[Any]:
        """The text behind the first cache key of an execution's last frame.

        Within a text of JSON a quote is escaped, so the name is never part of a value. It is a subquery and
        no join, so that it is looked up row by row: PostgreSQL would rather read all texts for a join.
        """
        events, name = frames.c.events, '"key":"'
        begin = dialect_of(self._connection.engine).index_of(events, name) + len(name)
        key = func.substr(events, begin, KEY_CHARS)
        return select(queries.c.text).where(queries.c.key_hash == key).scalar_subquery().label("text")
