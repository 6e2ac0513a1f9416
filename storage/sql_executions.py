"""Past executions found in the log, newest first, in bounded steps: however large it is, none takes long.

A page is looked for among so many executions and no more. If it is not full by then it ends there, and its
cursor says where to go on. Pages follow each other by time and position, so what is recorded meanwhile moves
nothing: each execution is found once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, RowMapping, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.canonical import normalize
from orchestrator.errors import InvalidRequest
from orchestrator.executions import ExecutionQuery, FoundExecution, FoundExecutions
from storage.sql_engine import dialect_of, transaction
from storage.sql_tables import frames, queries

LOOKED_AT_MAX = 20_000
"""chosen: executions looked at for a page."""

TEXTS_LOOKED_AT_MAX = 5_000
"""chosen: the same if their texts are looked at too."""

KEY_CHARS = 32
"""A cache key is 32 hex digits (canonical.py)."""

_SAME = ("operation", "door", "provider", "cache", "outcome", "error")
_SHOWN = (*_SAME, "position", "recorded_at", "client", "topic", "duration_s")


class _Place(NamedTuple):
    """Where an execution stands among all of them."""

    recorded_at: float
    position: int


class _Stretch(NamedTuple):
    """The executions from one place on, up to but not including another."""

    first: _Place
    end: _Place


async def find_executions(engine: AsyncEngine, query: ExecutionQuery) -> FoundExecutions:
    """A page of what is wanted. Raises EventLogUnavailable, InvalidRequest for an unknown cursor."""
    async with transaction(engine) as connection:
        return await _Search(connection, query).page()


class _Search:
    """One search within a transaction."""

    def __init__(self, connection: AsyncConnection, query: ExecutionQuery) -> None:
        self._connection = connection
        self._query = query
        # What was stored last is found by position; by time it could be anywhere in the window.
        fresh = select(frames).where(frames.c.position > query.after).order_by(frames.c.position.desc())
        self._frames = fresh.limit(LOOKED_AT_MAX).subquery() if query.after else frames
        self._newest_first = (self._frames.c.recorded_at.desc(), self._frames.c.position.desc())

    async def page(self) -> FoundExecutions:
        """The page that answers the query."""
        query = self._query
        window = await self._window()
        floor = await self._floor(window, TEXTS_LOOKED_AT_MAX if query.text else LOOKED_AT_MAX)
        stretch = window if floor is None else window._replace(first=floor)
        wanted = [*self._looked_at(stretch), *self._filters()]
        found = await (self._with_text(wanted) if query.text else self._newest(wanted))
        page, reached = found[: query.limit], floor
        if len(found) > len(page):
            reached = _Place(page[-1]["recorded_at"], page[-1]["position"])
        return FoundExecutions(
            executions=tuple(FoundExecution(**row) for row in page),
            next=None if reached is None else reached.position,
            searched_since=query.since if reached is None else reached.recorded_at,
        )

    async def _window(self) -> _Stretch:
        """What the query's window has before its cursor."""
        query = self._query
        end = _Place(query.until, 0)
        if query.before is not None:
            of_cursor = select(frames.c.recorded_at).where(frames.c.position == query.before)
            recorded_at = (await self._connection.execute(of_cursor)).scalar()
            if recorded_at is None:
                raise InvalidRequest(
                    "before: there is no such place in the record, or no longer; leave it out to begin anew.",
                    field="before",
                )
            end = min(end, _Place(recorded_at, query.before))
        return _Stretch(_Place(query.since, 0), end)

    async def _floor(self, window: _Stretch, looked_at_max: int) -> _Place | None:
        """The last of the executions that may be looked at, `None` if that is all of them."""
        columns = self._frames.c
        last = select(columns.recorded_at, columns.position).where(*self._looked_at(window))
        last = last.order_by(*self._newest_first).limit(1).offset(looked_at_max - 1)
        found = (await self._connection.execute(last)).first()
        return None if found is None else _Place(*found)

    def _looked_at(self, stretch: _Stretch) -> list[ColumnElement[bool]]:
        """The executions of a stretch.

        Each bound of the time stands once: of two SQLite takes any for the index, perhaps the wide one.
        """
        recorded_at, position = self._frames.c.recorded_at, self._frames.c.position
        (since, first), (until, end) = stretch
        return [
            self._frames.c.outcome != "",
            recorded_at >= since,
            recorded_at <= until,
            or_(recorded_at > since, position >= first),
            or_(recorded_at < until, position < end),
        ]

    def _filters(self) -> list[ColumnElement[bool]]:
        """What they are looked at for."""
        query, columns = self._query, self._frames.c
        found = [columns[name] == wanted for name in _SAME if (wanted := getattr(query, name))]
        if query.client is not None:
            found.append(columns.client == query.client)
        if query.duration_s_min:
            found.append(columns.duration_s >= query.duration_s_min)
        return found

    async def _newest(self, wanted: Sequence[ColumnElement[bool]]) -> Sequence[RowMapping]:
        """As many as the page takes, and one more if there is."""
        columns = self._frames.c
        page = select(*(columns[name] for name in _SHOWN), columns.stream.label("execution_id"), self._text())
        page = page.where(*wanted).order_by(*self._newest_first).limit(self._query.limit + 1)
        return (await self._connection.execute(page)).mappings().all()

    async def _with_text(self, wanted: Sequence[ColumnElement[bool]]) -> Sequence[RowMapping]:
        """The same of those whose text contains the query's.

        Texts are compared here, because the engines differ in what they take for the same letter.
        """
        texts = select(self._frames.c.position, self._text()).where(*wanted).order_by(*self._newest_first)
        sought = normalize(self._query.text)
        positions: list[int] = []
        for position, text in (await self._connection.execute(texts)).all():
            if text is not None and sought in normalize(text):
                positions.append(position)
            if len(positions) > self._query.limit:
                break
        return await self._newest([self._frames.c.position.in_(positions)])

    def _text(self) -> ColumnElement[Any]:
        """The text behind the first cache key of an execution's last frame.

        Within a text of JSON a quote is escaped, so the name is never part of a value. It is a subquery and
        no join, so that it is looked up row by row: PostgreSQL would rather read all texts for a join.
        """
        events, name = self._frames.c.events, '"key":"'
        begin = dialect_of(self._connection.engine).index_of(events, name) + len(name)
        key = func.substr(events, begin, KEY_CHARS)
        return select(queries.c.text).where(queries.c.key_hash == key).scalar_subquery().label("text")
