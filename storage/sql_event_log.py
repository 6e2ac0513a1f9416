"""The event log in SQL: frames are appended once each, and read back by position or by stream.

An append is idempotent by (instance, instance_seq), so whoever is not sure whether a batch was committed
appends it again. Positions rise in the order of commits; gaps between them mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, Select, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Frame
from storage.codec import FrameRow, row_frame
from storage.sql_engine import transaction
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
        self._append = str(_insert_frames().compile(dialect=engine.dialect))
        self._remember = str(_insert_queries().compile(dialect=engine.dialect))

    async def append(self, rows: Sequence[FrameRow], texts: Mapping[str, str] | None = None) -> None:
        """Add the frames that are not there yet, in this order, and the texts of queries not seen before.

        Raises EventLogUnavailable; then nothing of the batch is stored, as far as anybody can tell.
        """
        if not rows:
            return
        async with transaction(self._engine) as connection:
            await connection.exec_driver_sql(self._append, list(rows))
            if texts:
                seen_at = rows[0].recorded_at
                await connection.exec_driver_sql(
                    self._remember, [(key, text, seen_at) for key, text in texts.items()]
                )

    async def read(self, after: int, limit: int) -> list[StoredFrame]:
        """At most `limit` frames behind the position `after`, oldest first. Raises EventLogUnavailable."""
        async with transaction(self._engine) as connection:
            return _stored(await read_rows(connection, after, limit))

    async def read_stream(self, stream: str) -> list[Frame]:
        """All frames of a stream, oldest first; empty if there are none. Raises EventLogUnavailable."""
        query = _frames().where(frames.c.stream == stream)
        async with transaction(self._engine) as connection:
            return [stored.frame for stored in _stored(await connection.execute(query))]

    async def last_position(self) -> int:
        """The position of the newest frame, 0 in an empty log. Raises EventLogUnavailable."""
        async with transaction(self._engine) as connection:
            return (await connection.execute(select(func.max(frames.c.position)))).scalar() or 0


async def read_rows(connection: AsyncConnection, after: int, limit: int) -> Sequence[Row[Any]]:
    """What `SqlEventLog.read` reads, within a transaction that does more; to be decoded by `stored_frame`."""
    query = _frames().where(frames.c.position > after).limit(limit)
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return rows


def stored_frame(row: Row[Any]) -> StoredFrame:
    """The frame of a row. Raises msgspec.MsgspecError."""
    return StoredFrame(row.position, row_frame(*tuple(row)[1:]))


def _frames() -> Select[Any]:
    return select(frames.c.position, *_COLUMNS).order_by(frames.c.position)


def _stored(rows: Iterable[Row[Any]]) -> list[StoredFrame]:
    try:
        return [stored_frame(row) for row in rows]
    except msgspec.MsgspecError as error:
        raise EventLogUnavailable("A row of the event log cannot be read.") from error


def _insert_frames() -> Any:
    values = dict.fromkeys(FrameRow._fields)
    return insert(frames).values(values).on_conflict_do_nothing(index_elements=["instance", "instance_seq"])


def _insert_queries() -> Any:
    values = {"key_hash": None, "text": None, "first_seen_at": None}
    return insert(queries).values(values).on_conflict_do_nothing(index_elements=["key_hash"])
