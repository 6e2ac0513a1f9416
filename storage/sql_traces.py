"""What is to be exported as traces: the log behind two checkpoints of its own, for one exporter at a time.

The first checkpoint follows the end of the log: what has ended is exported from there. The second follows the
first at a distance in time: there is looked for what never ended, because its process died.

Reading is a reader's, so that on SQLite it never waits for the recorder nor lets it wait; only moving a
checkpoint takes the write lock, for the time of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.events import Envelope
from orchestrator.projections.spans import is_execution
from storage.sql_engine import dialect_of, explained, open_engine, transaction
from storage.sql_event_log import (
    StoredFrame,
    frames_in_order,
    newest_position,
    read_rows,
    readable_frames,
)
from storage.sql_projector import read_checkpoints
from storage.sql_tables import checkpoints, frames

ENDED, NEVER_ENDED = "traces", "traces:never_ended"
"""The checkpoints' names."""

NO_GENERATION = -1
"""Where their checkpoints stand: what was exported does not change when rollups are counted again."""

STREAMS_MAX = 500
"""chosen: streams named in one statement; SQLite takes 32766 parameters, versions before 3.32 999."""


class Marks(NamedTuple):
    """The positions up to which was exported what has ended, and looked at for what never did."""

    ended: int
    never_ended: int


class History(NamedTuple):
    """What is known of one execution; events from the number `first_new` on were not looked at before."""

    execution_id: str
    instance: str
    envelopes: tuple[Envelope, ...]
    first_new: int


class SqlTraces:
    """The log as an exporter of traces reads it. Opens engines of its own; `aclose` ends them.

    Every method raises EventLogUnavailable. A row that cannot be read is passed over.
    """

    def __init__(self, database_url: str) -> None:
        self._reader = open_engine(database_url)
        self._writer = open_engine(database_url, writer=True)
        self._dialect = dialect_of(self._writer)
        self._session: AsyncConnection | None = None

    async def reserve(self) -> bool:
        """Become the only exporter of this database, or stay it; tells whether it is. `release` ends it."""
        async with transaction(self._reader) as connection:  # whether there is a log at all
            await connection.execute(select(checkpoints.c.position).limit(1))
        try:
            with explained(self._writer):
                if self._session is None:
                    self._session = await self._writer.connect()
                return await self._dialect.lock_traces(self._session)
        except BaseException:
            await self.release()
            raise

    async def release(self) -> None:
        """Leave the database to another exporter."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):
                # Thrown away and not put back: a lock of the session ends with the session.
                await session.invalidate()
            with suppress(Exception):
                await session.close()

    async def begin(self, *, first_since: float, ended_since: float, never_since: float) -> Marks:
        """Where to go on: at the checkpoints, but not with frames recorded before `…_since`.

        Without checkpoints it is the first time: begin with what was recorded since `first_since`.
        """
        async with transaction(self._reader) as connection:
            known = await read_checkpoints(connection, NO_GENERATION)
            last = await newest_position(connection)
            marks = []
            for name, since in ((ENDED, ended_since), (NEVER_ENDED, never_since)):
                begun = frames.c.recorded_at >= (since if name in known else first_since)
                # Machines differ in clocks and delays: it need not be the one recorded first. Plus nothing,
                # because the least of a bare column would be sought from the log's beginning.
                least = func.min(frames.c.position + 0, type_=BigInteger)
                first = (await connection.execute(select(least).where(begun))).scalar()
                fresh = last if first is None else first - 1
                marks.append(min(max(known.get(name, 0), fresh), last))
        await self.move(Marks(*marks))
        return Marks(*marks)

    async def read(self, after: int, limit: int) -> tuple[list[StoredFrame], int]:
        """The next frames behind a position, at most `limit`, and the position up to which they go.

        That is before `after` in a log that ends before it: it is another log than it was.
        """
        async with transaction(self._reader) as connection:
            rows = await read_rows(connection, after, limit)
            if not rows:
                return [], min(after, await newest_position(connection))
        return readable_frames(rows), rows[-1].position

    async def histories(self, new: Sequence[StoredFrame], until: int) -> list[History]:
        """The executions of these frames, each with all its events up to the position `until`."""
        found: dict[str, list[StoredFrame]] = {}
        for stored in new:
            if is_execution(stored.frame.stream) and stored.frame.events:
                found.setdefault(stored.frame.stream, []).append(stored)
        first_new = {stream: parts[0].frame.events[0].seq for stream, parts in found.items()}
        # Most executions are one frame; of the others the beginning may have been read before.
        torn = [stream for stream, first in first_new.items() if first != 1]
        for stream in torn:
            found[stream] = []
        for stored in await self._of_streams(torn, frames.c.position <= until):
            found[stored.frame.stream].append(stored)
        return [_history(parts, first_new[stream]) for stream, parts in found.items() if parts]

    async def open_ends(self, after: int, until: int) -> list[History]:
        """All executions with a last frame between the positions that were not answered."""
        candidate = frames.c.outcome != "answered"
        between = (frames.c.position > after, frames.c.position <= until)
        query = select(frames.c.stream).where(candidate, *between).distinct()
        async with transaction(self._reader) as connection:
            rows = (await connection.execute(query)).all()
        streams = [row.stream for row in rows if is_execution(row.stream)]
        found: dict[str, list[StoredFrame]] = {}
        for stored in await self._of_streams(streams):
            found.setdefault(stored.frame.stream, []).append(stored)
        # One that goes on behind `until` is looked at when that has come of age.
        return [_history(parts, 1) for parts in found.values() if parts[-1].position <= until]

    async def move(self, marks: Marks) -> None:
        """Move both checkpoints."""
        async with transaction(self._writer) as connection:
            rows = [(ENDED, NO_GENERATION, marks.ended), (NEVER_ENDED, NO_GENERATION, marks.never_ended)]
            await self._dialect.upsert(connection, checkpoints, rows, sets=("position",))

    async def aclose(self) -> None:
        """Let go of the database."""
        await self.release()
        await self._reader.dispose()
        await self._writer.dispose()

    async def _of_streams(
        self, streams: Sequence[str], *conditions: ColumnElement[bool]
    ) -> list[StoredFrame]:
        found: list[StoredFrame] = []
        for start in range(0, len(streams), STREAMS_MAX):
            of_streams = frames.c.stream.in_(streams[start : start + STREAMS_MAX])
            async with transaction(self._reader) as connection:
                rows = (await connection.execute(frames_in_order().where(of_streams, *conditions))).all()
            found += readable_frames(rows)
        return found


def _history(parts: Sequence[StoredFrame], first_new: int) -> History:
    first = parts[0].frame
    envelopes = tuple(envelope for stored in parts for envelope in stored.frame.events)
    return History(first.stream, first.instance, envelopes, first_new)
