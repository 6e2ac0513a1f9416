"""The event log in SQL: frames are appended once each, and read back by position or by stream.

An append is idempotent by (instance, instance_seq), so whoever is not sure whether a batch was committed
appends it again. Positions rise in the order of commits, however many recorders append to one database; gaps
between them mean nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Row, Select, Table, Text, bindparam, exists, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Frame
from storage.codec import FrameRow, QueryText, row_frame
from storage.sql_engine import dialect_of, transaction
from storage.sql_raw_events import Page, Selection, raw_events
from storage.sql_series import find_pruned
from storage.sql_tables import frames, queries

_COLUMNS = (frames.c.instance, frames.c.instance_seq, frames.c.stream, frames.c.recorded_at, frames.c.events)


class StoredFrame(NamedTuple):
    """A frame and its place in the log."""

    position: int
    frame: Frame


class SqlEventLog:
    """Appends to and reads from `frames`. The engine must be a writer's to append; it stays the caller's."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # Core builds the text once; handing rows to the driver directly costs half of handing them to Core.
        self._dialect = dialect_of(engine)
        self._append = self._insert(frames, FrameRow._fields, "instance", "instance_seq")
        self._remember = self._insert_texts()

    async def append(self, rows: Sequence[FrameRow], texts: Sequence[QueryText] = ()) -> None:
        """Add the frames that are not there yet, in this order, and the texts of queries not seen before.

        A frame that was pruned has been there: its counts are. A frame that is or was there brings no text
        again: it may have been erased since.
        Raises EventLogUnavailable; then nothing of the batch is stored, as far as anybody can tell.
        """
        if not rows:
            return
        storable = self._dialect.storable
        new, brought = [storable(row) for row in rows], [storable(text) for text in texts]
        async with transaction(self._engine) as connection:
            await self._dialect.lock_log(connection)
            if pruned := await find_pruned(connection, {instance for instance, *_ in new}):
                new = [row for row in new if not pruned.has(*row[:2])]
                brought = [text for text in brought if not pruned.has(*text[-2:])]
            if brought:  # first, because they ask whether their frame is there
                await connection.exec_driver_sql(self._remember, brought)
            if new:
                await connection.exec_driver_sql(self._append, new)

    async def read(self, after: int, limit: int) -> list[StoredFrame]:
        """At most `limit` frames behind the position `after`, oldest first. Raises EventLogUnavailable."""
        async with transaction(self._engine) as connection:
            return _stored(await read_rows(connection, after, limit))

    async def read_stream(self, stream: str) -> list[Frame]:
        """All frames of a stream, oldest first; empty if there are none. Raises EventLogUnavailable."""
        query = frames_in_order().where(frames.c.stream == self._dialect.storable((stream,))[0])
        async with transaction(self._engine) as connection:
            return [stored.frame for stored in _stored(await connection.execute(query))]

    def raw_events(self, selection: Selection) -> AsyncIterator[Page]:
        """The selected events as they were written, page by page. Raises EventLogUnavailable."""
        return raw_events(self._engine, selection)

    async def last_position(self) -> int:
        """The position of the newest frame, 0 in an empty log. Raises EventLogUnavailable."""
        async with transaction(self._engine) as connection:
            return await newest_position(connection)

    async def newest_numbers(self, instances: Sequence[str]) -> dict[str, int]:
        """The highest number of the frames that are stored of these writers. Raises EventLogUnavailable."""
        newest = func.max(frames.c.instance_seq).label("newest")
        query = select(frames.c.instance, newest).where(frames.c.instance.in_(instances))
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query.group_by(frames.c.instance))).all()
            return {row.instance: row.newest for row in rows}

    def _insert(self, table: Table, columns: Sequence[str], *key: str) -> str:
        """The text of an INSERT of these columns that leaves alone what is there."""
        statement = self._dialect.insert(table).values(dict.fromkeys(columns))
        dialect = self._engine.dialect
        return str(statement.on_conflict_do_nothing(index_elements=list(key)).compile(dialect=dialect))

    def _insert_texts(self) -> str:
        """The text of an INSERT of texts whose frame is not there, leaving alone the texts that are.

        A row of before requests were kept gets what it lacks.
        """
        of_frame = (
            frames.c.instance == bindparam("instance", type_=Text()),
            frames.c.instance_seq == bindparam("instance_seq", type_=BigInteger()),
        )
        values = [bindparam(column.name, type_=column.type) for column in queries.c]
        new = select(*values).where(~exists().where(*of_frame))
        statement = self._dialect.insert(queries).from_select(list(queries.c), new)
        lacking = statement.on_conflict_do_update(
            index_elements=["key_hash"],
            set_={"request": statement.excluded.request},
            where=(queries.c.request == literal_column("''"))
            & (statement.excluded.request != literal_column("''")),
        )
        return str(lacking.compile(dialect=self._engine.dialect))


async def newest_position(connection: AsyncConnection) -> int:
    """The position of the newest frame, 0 in an empty log."""
    return (await connection.execute(select(func.max(frames.c.position)))).scalar() or 0


async def newest_recorded_at(engine: AsyncEngine) -> float | None:
    """The latest moment that any frame was recorded at, in epoch seconds; `None` of an empty log.

    Raises EventLogUnavailable.
    """
    async with transaction(engine) as connection:
        found: float | None = (await connection.execute(select(func.max(frames.c.recorded_at)))).scalar()
        return found


async def read_rows(
    connection: AsyncConnection, after: int, limit: int, *, upto: int | None = None
) -> Sequence[Row[Any]]:
    """What `SqlEventLog.read` reads, within a transaction that does more; to be decoded by `stored_frame`.

    No row is behind the position `upto`.
    """
    query = frames_in_order().where(frames.c.position > after).limit(limit)
    if upto is not None:
        query = query.where(frames.c.position <= upto)
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return rows


def stored_frame(row: Row[Any]) -> StoredFrame:
    """The frame of a row. Raises msgspec.MsgspecError."""
    return StoredFrame(row.position, row_frame(*tuple(row)[1:]))


def readable_frames(rows: Iterable[Row[Any]]) -> list[StoredFrame]:
    """The frames of those rows that are frames."""
    found: list[StoredFrame] = []
    for row in rows:
        with suppress(msgspec.MsgspecError):
            found.append(stored_frame(row))
    return found


def frames_in_order() -> Select[Any]:
    """A SELECT of frames, oldest first, whose rows `stored_frame` decodes."""
    return select(frames.c.position, *_COLUMNS).order_by(frames.c.position)


def _stored(rows: Iterable[Row[Any]]) -> list[StoredFrame]:
    found = []
    for row in rows:
        try:
            found.append(stored_frame(row))
        except msgspec.MsgspecError as error:
            message = f"The frame at position {row.position} of the event log cannot be read."
            raise EventLogUnavailable(message) from error
    return found
