"""What must be true of the record whatever happened to the processes that wrote it.

Reads the database with the standard library's sqlite3 and counts again by hand: nothing of the machinery
that stored and projected the frames is asked.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.events import Envelope
from storage.codec import decode_events
from storage.sql_tables import rollups

SHOWN = 5
"""Of each kind of fault so many are shown; one is enough to fail."""


class _Frame(NamedTuple):
    position: int
    instance: str
    number: int
    stream: str
    envelopes: tuple[Envelope, ...]


def audit(database: Path, answered: Iterable[str] = (), spans: Iterable[str] = ()) -> list[str]:
    """Every fault of the record, as sentences; none if all is well.

    `answered` are the execution ids that clients received, `spans` the span ids that reached a provider.
    """
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        frames = _frames(db)
        return [
            *_unrecorded(db, set(answered)),
            *_unintended(db, set(spans)),
            *_doubled_or_missing(frames),
            *_broken_streams(frames),
            *_wrong_rollups(db, frames),
            *_unprojected(db),
        ]


def stored_frames(database: Path) -> int:
    """How many frames are in SQL; 0 without a schema."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM frames").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def spans_of(calls: Iterable[dict[str, Any]]) -> list[str]:
    """The span id with which each call reached the simulator. Raises KeyError for a call without one."""
    return [call["headers"]["traceparent"].split("-")[2] for call in calls]


def _frames(db: sqlite3.Connection) -> list[_Frame]:
    rows = db.execute("SELECT position, instance, instance_seq, stream, events FROM frames ORDER BY position")
    return [
        _Frame(position, instance, number, stream, decode_events(events))
        for position, instance, number, stream, events in rows
    ]


def _unrecorded(db: sqlite3.Connection, answered: set[str]) -> Iterator[str]:
    rows = db.execute("SELECT stream FROM events WHERE type = 'amos.request.completed.v1'").fetchall()
    done = {stream for (stream,) in rows}
    if len(done) < len(rows):
        yield f"{len(rows) - len(done)} executions have two ends"
    if lost := answered - done:
        yield f"{len(lost)} answered executions are not in SQL: {sorted(lost)[:SHOWN]}"


def _unintended(db: sqlite3.Connection, spans: set[str]) -> Iterator[str]:
    rows = db.execute(
        "SELECT json_extract(event, '$.span_id') FROM events WHERE type = 'amos.attempt.started.v1'"
    )
    if unknown := spans - {span for (span,) in rows}:
        yield f"{len(unknown)} calls reached a provider without an intent in SQL: {sorted(unknown)[:SHOWN]}"


def _doubled_or_missing(frames: list[_Frame]) -> Iterator[str]:
    series: dict[str, list[int]] = defaultdict(list)
    for frame in frames:
        series[frame.instance].append(frame.number)
    for instance, numbers in series.items():
        # In the order of positions: a writer's frames are stored as it wrote them.
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"the series of {instance} has a hole, a double or a wrong order: {numbers[:SHOWN]}..."


def _broken_streams(frames: list[_Frame]) -> Iterator[str]:
    streams: dict[tuple[str, str], list[int]] = defaultdict(list)
    for frame in frames:
        # A stream that is no execution may be written by several instances, each with numbers of its own.
        streams[frame.instance, frame.stream].extend(envelope.seq for envelope in frame.envelopes)
    broken = [
        stream for (_, stream), seqs in streams.items() if sorted(seqs) != list(range(1, len(seqs) + 1))
    ]
    if broken:
        yield f"{len(broken)} streams have holes or doubles: {broken[:SHOWN]}"


def _wrong_rollups(db: sqlite3.Connection, frames: list[_Frame]) -> Iterator[str]:
    envelopes = [envelope for frame in frames for envelope in frame.envelopes]
    for rollup, table in rollups:
        columns = ", ".join((*rollup.dimensions, *rollup.measures))
        size = len(rollup.dimensions)
        counted = {row[:size]: row[size:] for row in db.execute(f"SELECT {columns} FROM {table.name}")}
        if counted != rollup.total(envelopes):
            yield f"{table.name} differs from a fold over the frames"


def _unprojected(db: sqlite3.Connection) -> Iterator[str]:
    (last,) = db.execute("SELECT max(position) FROM frames").fetchone()
    for projection, position in db.execute("SELECT projection, position FROM checkpoints"):
        if position != last:
            yield f"{projection} was projected up to {position} of {last}"
