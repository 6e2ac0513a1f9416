"""Frames and events as JSON and as rows: the only place that knows how the record is spelled.

A frame's JSON is `msgspec.json.encode(Frame)`; an event carries its type name with the version, so a reader
knows what it reads. A type this version does not know becomes an `UnknownEvent`: it stays in the log as it
is, and every fold passes over it.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import msgspec

from orchestrator.events import (
    EVENT_TYPES,
    Envelope,
    Event,
    Frame,
    RequestCompleted,
    RequestFailed,
    UnknownEvent,
)
from orchestrator.history import last_word


class UnreadableFrame(ValueError):
    """The bytes are whole, by their checksum, and still no frame. The message shows none of them."""


class FrameRow(NamedTuple):
    """A frame as its row in SQL, without the position, which the database gives.

    `operation` to `duration_s` are what reports and searches filter by. They come from the event that
    closes an execution; in other frames they are `""` and `None`. `outcome` is `answered` or `failed`,
    `events` is JSON.
    """

    instance: str
    instance_seq: int
    stream: str
    recorded_at: float
    operation: str
    door: str
    client: str
    topic: str
    provider: str
    cache: str
    outcome: str
    error: str
    duration_s: float | None
    events: str


if TYPE_CHECKING:
    _AnyEvent: TypeAlias = Event
else:
    # A union made at run time, so that a new event class is known here by being defined.
    _AnyEvent = functools.reduce(operator.or_, EVENT_TYPES)


class _RawFrame(msgspec.Struct):
    """A frame whose events stay the bytes they are."""

    instance: str
    instance_seq: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]  # as large as an integer of SQL
    stream: str
    recorded_at: float
    events: msgspec.Raw
    texts: dict[str, str] = {}


class _KnownEnvelope(msgspec.Struct):
    """An envelope whose event is of a type this version knows."""

    seq: int
    at: float
    event: _AnyEvent


class _RawEnvelope(msgspec.Struct):
    """An envelope whose event may be of any type."""

    seq: int
    at: float
    event: msgspec.Raw


class _Typed(msgspec.Struct):
    """What every event has, whatever else."""

    type: str


_decode_frame = msgspec.json.Decoder(_RawFrame).decode
_decode_known = msgspec.json.Decoder(list[_KnownEnvelope]).decode
_decode_raw = msgspec.json.Decoder(list[_RawEnvelope]).decode
_decode_event = msgspec.json.Decoder(_AnyEvent).decode
_decode_type = msgspec.json.Decoder(_Typed).decode


def frame_row(payload: bytes) -> tuple[FrameRow, dict[str, str]]:
    """The row of a frame's JSON, and the texts that go to a table of their own. Raises UnreadableFrame."""
    try:
        frame = _decode_frame(payload)
        events = str(frame.events, "utf-8")
        last = last_word(decode_events(events))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableFrame("A record of the journal is no frame.") from error
    return _row(frame, events, last), frame.texts


def decode_events(events: str) -> tuple[Envelope, ...]:
    """The envelopes of a row's JSON, oldest first. Raises msgspec.MsgspecError."""
    try:
        known = _decode_known(events)
    except msgspec.ValidationError:
        # Rare, and five times slower: some event is of a later version, or of one we have given up.
        return tuple(Envelope(raw.seq, raw.at, _event(raw.event)) for raw in _decode_raw(events))
    return tuple(Envelope(envelope.seq, envelope.at, envelope.event) for envelope in known)


def _event(raw: msgspec.Raw) -> Event | UnknownEvent:
    try:
        event: Event = _decode_event(raw)
    except msgspec.ValidationError:
        return UnknownEvent(_decode_type(raw).type)
    return event


def _row(frame: _RawFrame, events: str, last: RequestCompleted | RequestFailed | None) -> FrameRow:
    done = last if isinstance(last, RequestCompleted) else None
    failed = last if isinstance(last, RequestFailed) else None
    return FrameRow(
        instance=frame.instance,
        instance_seq=frame.instance_seq,
        stream=frame.stream,
        recorded_at=frame.recorded_at,
        operation=last.operation if last else "",
        door=last.door if last else "",
        client=last.client if last else "",
        topic=last.topic if last else "",
        provider=done.provider if done else "",
        cache=done.cache if done else "",
        outcome="answered" if done else "failed" if failed else "",
        error=failed.error if failed else "",
        duration_s=last.duration_s if last else None,
        events=events,
    )


def row_frame(instance: str, instance_seq: int, stream: str, recorded_at: float, events: str) -> Frame:
    """The frame of a row. Its texts are not part of the row. Raises msgspec.MsgspecError."""
    return Frame(
        instance=instance,
        instance_seq=instance_seq,
        stream=stream,
        recorded_at=recorded_at,
        events=decode_events(events),
    )
