"""Streams the events of the log as they were written, page by page, for whoever takes all of them elsewhere.

However long the log is, no statement reads more than a page and nothing is kept but a page: a reader may
stop for hours between two of them. What is recorded after the start is not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Double, Row, Select, case, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.codec import EventHead, decode_head, decode_raw
from storage.sql_engine import dialect_of, transaction
from storage.sql_tables import frames

PAGE_FRAMES = 1_000
"""chosen: about a megabyte; a page of larger size is not faster."""


class RawEvent(NamedTuple):
    """An event with its place. `event` is its JSON on one line, in the version in which it was recorded."""

    position: int
    stream: str
    seq: int
    at: float
    head: EventHead
    event: bytes


class Page(NamedTuple):
    """Some events, oldest first; `unreadable` are positions of rows that hold no events.

    `share` of the selected time is read by now, from 0 to 1.
    """

    events: list[RawEvent]
    unreadable: list[int]
    share: float


class Selection(NamedTuple):
    """Which frames: recorded from `since` to before `until` (epoch seconds), of one stream, of one client.

    `""` is every stream or client. Of a client are the frames with an event that names it.
    """

    since: float = 0.0
    until: float = float("inf")
    stream: str = ""
    client: str = ""


class Place(NamedTuple):
    """A frame in the order in which they are read: by the moment of recording, then by position."""

    recorded_at: float
    position: int


def behind(place: Place) -> ColumnElement[bool]:
    """The condition for the frames behind a place; an index on the moment finds them on either engine."""
    return tuple_(frames.c.recorded_at, frames.c.position) > tuple_(
        literal(place.recorded_at, Double), literal(place.position, BigInteger)
    )


async def raw_events(engine: AsyncEngine, selection: Selection) -> AsyncIterator[Page]:
    """The selected events that were in the log at the start. Raises EventLogUnavailable."""
    reached = Place(selection.since, 0)
    async with transaction(engine) as connection:
        newest = (await connection.execute(select(func.max(frames.c.position)))).scalar() or 0
        first, last = await _ends(connection, selection)
    while True:
        async with transaction(engine) as connection:
            rows = await _page(connection, engine, selection, reached, newest)
        if not rows:
            return
        reached = Place(rows[-1].recorded_at, rows[-1].position)
        share = (reached.recorded_at - first) / (last - first) if last > first else 1.0
        yield _read(rows, selection, share)


async def _ends(connection: AsyncConnection, selection: Selection) -> tuple[float, float]:
    """When the first and the last frame of the time was recorded."""
    moments = select(frames.c.recorded_at).where(
        frames.c.recorded_at >= selection.since, frames.c.recorded_at < selection.until
    )
    first = await connection.execute(moments.order_by(frames.c.recorded_at).limit(1))
    last = await connection.execute(moments.order_by(frames.c.recorded_at.desc()).limit(1))
    return first.scalar() or 0.0, last.scalar() or 0.0


async def _page(
    connection: AsyncConnection, engine: AsyncEngine, selection: Selection, reached: Place, newest: int
) -> Sequence[Row[Any]]:
    wanted: ColumnElement[Any] = frames.c.events
    if selection.client:
        # Not in the WHERE: a client with few events would make one statement read the whole log.
        named = '"client":' + msgspec.json.encode(selection.client).decode()
        wanted = case((frames.c.events.contains(named, autoescape=True), frames.c.events), else_=None)
    query: Select[Any] = (
        select(frames.c.position, frames.c.stream, frames.c.recorded_at, wanted.label("events"))
        .where(
            behind(reached),
            frames.c.recorded_at < selection.until,
            frames.c.position <= newest,
        )
        .order_by(frames.c.recorded_at, frames.c.position)
        .limit(PAGE_FRAMES)
    )
    if selection.stream:
        query = query.where(frames.c.stream == dialect_of(engine).storable((selection.stream,))[0])
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return rows


def _read(rows: Sequence[Row[Any]], selection: Selection, share: float) -> Page:
    events: list[RawEvent] = []
    unreadable: list[int] = []
    for row in rows:
        if row.events is None:
            continue
        try:
            found = _events(row)
        except msgspec.MsgspecError:
            unreadable.append(row.position)
            continue
        if not selection.client or any(event.head.client == selection.client for event in found):
            events += found
    return Page(events, unreadable, share)


def _events(row: Row[Any]) -> list[RawEvent]:
    # Formatted, so that each is on one line, also where a person has written it.
    return [
        RawEvent(
            row.position,
            row.stream,
            raw.seq,
            raw.at,
            decode_head(raw.event),
            msgspec.json.format(bytes(raw.event), indent=-1),
        )
        for raw in decode_raw(row.events)
    ]
