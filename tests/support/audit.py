"""What must be true of the record whatever happened to the processes that wrote it.

Reads the database with the bare drivers and counts again by hand: nothing of the machinery that stored and
projected the frames is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.events import Envelope, Frame
from orchestrator.projections.fold import Tally
from storage.codec import decode_events
from storage.sql_tables import rollups
from tests.support.database import NoTable, query
from tests.support.reported import spans_of_minutes

SHOWN = 5
"""Of each kind of fault so many are shown; one is enough to fail."""

LIVE = "generation = (SELECT generation FROM projection_state)"
"""Of the generation that reports read."""


class _Frame(NamedTuple):
    position: int
    instance: str
    number: int
    stream: str
    envelopes: tuple[Envelope, ...]


def audit(
    database: Path | str,
    answered: Iterable[str] = (),
    spans: Iterable[str] = (),
    destroyed: Sequence[Frame] = (),
) -> list[str]:
    """Every fault of the record, as sentences; none if all is well.

    `answered` are the execution ids that clients received, `spans` the span ids that reached a provider.
    Exactly the `destroyed` frames must be missing.
    """
    frames = _frames(database)
    return [
        *_unrecorded(database, set(answered)),
        *_unintended(database, set(spans)),
        *_doubled_or_missing(frames, destroyed),
        *_broken_streams(frames, destroyed),
        *_wrong_rollups(database, frames),
        *_unprojected(database),
    ]


def stored_frames(database: Path | str) -> int:
    """How many frames are in SQL; 0 without a schema."""
    try:
        return int(query(database, "SELECT count(*) AS frames FROM frames")[0]["frames"])
    except NoTable:
        return 0


def spans_of(calls: Iterable[dict[str, Any]]) -> list[str]:
    """The span id with which each call reached the simulator. Raises KeyError for a call without one."""
    return [call["headers"]["traceparent"].split("-")[2] for call in calls]


def _frames(db: Path | str) -> list[_Frame]:
    columns = "position, instance, instance_seq, stream, events"
    return [
        _Frame(*row, decode_events(events))
        for *row, events in _values(db, f"SELECT {columns} FROM frames ORDER BY position")
    ]


def _values(db: Path | str, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in query(db, statement)]


def _unrecorded(db: Path | str, answered: set[str]) -> Iterator[str]:
    rows = _values(db, "SELECT stream FROM events WHERE type = 'amos.request.completed.v1'")
    done = {stream for (stream,) in rows}
    if len(done) < len(rows):
        yield f"{len(rows) - len(done)} executions have two ends"
    if lost := answered - done:
        yield f"{len(lost)} answered executions are not in SQL: {sorted(lost)[:SHOWN]}"


def _unintended(db: Path | str, spans: set[str]) -> Iterator[str]:
    rows = _values(db, "SELECT event ->> 'span_id' FROM events WHERE type = 'amos.attempt.started.v1'")
    if unknown := spans - {span for (span,) in rows}:
        yield f"{len(unknown)} calls reached a provider without an intent in SQL: {sorted(unknown)[:SHOWN]}"


def _doubled_or_missing(frames: list[_Frame], destroyed: Sequence[Frame]) -> Iterator[str]:
    gone: dict[str, set[int]] = defaultdict(set)
    for lost in destroyed:
        gone[lost.instance].add(lost.instance_seq)
    series: dict[str, list[int]] = defaultdict(list)
    for frame in frames:
        series[frame.instance].append(frame.number)
    for instance, numbers in series.items():
        # In the order of positions: a writer's frames are stored as it wrote them.
        if numbers != [number for number in range(1, max(numbers) + 1) if number not in gone[instance]]:
            yield f"the series of {instance} has a hole, a double or a wrong order: {numbers[:SHOWN]}..."


def _broken_streams(frames: list[_Frame], destroyed: Sequence[Frame]) -> Iterator[str]:
    streams: dict[tuple[str, str], list[int]] = defaultdict(list)
    for frame in frames:
        # A stream that is no execution may be written by several instances, each with numbers of its own.
        streams[frame.instance, frame.stream].extend(envelope.seq for envelope in frame.envelopes)
    for lost in destroyed:
        streams[lost.instance, lost.stream].extend(envelope.seq for envelope in lost.events)
    broken = [
        stream for (_, stream), seqs in streams.items() if sorted(seqs) != list(range(1, len(seqs) + 1))
    ]
    if broken:
        yield f"{len(broken)} streams have holes or doubles: {broken[:SHOWN]}"


def _wrong_rollups(db: Path | str, frames: list[_Frame]) -> Iterator[str]:
    tally = Tally([rollup for rollup, _ in rollups])
    for frame in frames:
        for envelope in frame.envelopes:
            tally.add(envelope)
    # Below these a compaction may have taken rows, or not yet.
    kept_from = dict(_values(db, "SELECT span_s, kept_from FROM compactions"))
    for rollup, table in rollups:
        columns = ", ".join(("span_s", "start", *rollup.dimensions, *rollup.measures))
        size = 2 + len(rollup.dimensions)
        rows = _values(db, f"SELECT {columns} FROM {table.name} WHERE {LIVE}")
        found = {row[:size]: row[size:] for row in rows}
        counted = spans_of_minutes(rollup, tally.counts[rollup.name])
        for state in (found, counted):
            for key in [key for key in state if key[1] < kept_from.get(key[0], 0)]:
                del state[key]
        if found != counted:
            yield f"{table.name} differs from a fold over the frames"


def _unprojected(db: Path | str) -> Iterator[str]:
    ((last,),) = _values(db, "SELECT max(position) FROM frames")
    for projection, position in _values(db, f"SELECT projection, position FROM checkpoints WHERE {LIVE}"):
        if position != last:
            yield f"{projection} was projected up to {position} of {last}"
