"""Frames and events as JSON and as rows: the only place that knows how the record is spelled.

A frame's JSON is `msgspec.json.encode(Frame)`; an event carries its type name with the version, so a reader
knows what it reads. Past versions are brought to the present one (upcasting.py). A type this version does not
know becomes an `UnknownEvent`: it stays in the log as it is, and every fold passes over it.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from orchestrator.event_types import EVENT_TYPES
from orchestrator.events import (
    Envelope,
    Event,
    Frame,
    RequestCompleted,
    RequestFailed,
    UnknownEvent,
)
from orchestrator.history import last_word
from orchestrator.limits import FRAME_NAME_CHARS_MAX
from storage.upcasting import UPCASTERS, Upcaster, upcast

SourceT = TypeVar("SourceT")
ResultT = TypeVar("ResultT")


class UnreadableFrame(ValueError):
    """The bytes are whole, by their checksum, and still no frame. The message shows none of them."""


class QueryText(NamedTuple):
    """The text behind a cache key as its row in SQL, and which frame brought it.

    `request` is what else was asked, `""` if that was not kept.
    """

    key_hash: str
    text: str
    first_seen_at: float
    request: str
    instance: str
    instance_seq: int


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


_Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=FRAME_NAME_CHARS_MAX)]


class _RawFrame(msgspec.Struct):
    """A frame whose events stay the bytes they are."""

    instance: _Name
    instance_seq: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]  # as large as an integer of SQL
    stream: _Name
    recorded_at: float
    events: msgspec.Raw
    texts: dict[_Name, str] = {}
    requests: dict[_Name, str] = {}


class RawEnvelope(msgspec.Struct, frozen=True):
    """An envelope whose event stays the bytes it is."""

    seq: int
    at: float
    event: msgspec.Raw


class EventHead(msgspec.Struct, frozen=True):
    """What can be said of an event of any type: its name, whose it is, and which cache key it is about.

    `""` if it does not say; a type we do not know may put anything there.
    """

    type: str
    client: Any = ""
    key: Any = ""


class EventDecoder:
    """Reads the events of a row, as the given event types after the given steps."""

    def __init__(self, types: Sequence[type[Event]], upcasters: Mapping[str, Upcaster]) -> None:
        # A union made at run time, so that a new event class is known here by being defined.
        event: Any = functools.reduce(operator.or_, types)
        envelope = msgspec.defstruct("KnownEnvelope", [("seq", int), ("at", float), ("event", event)])
        self._decode_known = msgspec.json.Decoder(list[envelope]).decode  # type: ignore[valid-type]
        self._decode_event = msgspec.json.Decoder(event).decode
        self._upcasters = upcasters

    def decode(self, events: str) -> tuple[Envelope, ...]:
        """The envelopes of a row's JSON, oldest first. Raises msgspec.MsgspecError."""
        try:
            known: list[Any] = self._decode_known(events)
        except msgspec.ValidationError:
            # Rare, and several times slower: some event is of another version, or of one we have given up.
            return tuple(Envelope(raw.seq, raw.at, self._event(raw.event)) for raw in decode_raw(events))
        return tuple(Envelope(envelope.seq, envelope.at, envelope.event) for envelope in known)

    def _event(self, raw: msgspec.Raw) -> Event | UnknownEvent:
        type_name = decode_head(raw).type
        event: Event
        try:
            if type_name in self._upcasters:
                fields = upcast(msgspec.json.decode(raw), self._upcasters)
                event = self._decode_event(msgspec.json.encode(fields))  # ten times faster than to convert
            else:
                event = self._decode_event(raw)
        except (msgspec.ValidationError, LookupError, TypeError, ValueError):
            return UnknownEvent(type_name)
        return event


def _of_any_depth(decode: Callable[[SourceT], ResultT]) -> Callable[[SourceT], ResultT]:
    """The same, for which JSON nested more deeply than it can follow is as broken as any other."""

    def decoded(source: SourceT) -> ResultT:
        try:
            return decode(source)
        except RecursionError as error:
            raise msgspec.DecodeError("JSON is nested too deeply") from error

    return decoded


_decode_frame = _of_any_depth(msgspec.json.Decoder(_RawFrame).decode)

decode_raw = _of_any_depth(msgspec.json.Decoder(list[RawEnvelope]).decode)
"""The envelopes of a row's JSON with their events as they were written. Raises msgspec.MsgspecError."""

decode_head = _of_any_depth(msgspec.json.Decoder(EventHead).decode)
"""The head of an event's JSON. Raises msgspec.MsgspecError."""

decode_events = _of_any_depth(EventDecoder(EVENT_TYPES, UPCASTERS).decode)
"""The envelopes of a row's JSON in their present version, oldest first. Raises msgspec.MsgspecError."""


class ReadFrame(NamedTuple):
    """What a frame's JSON holds: its row, the texts that go to a table of their own, and its events."""

    row: FrameRow
    texts: list[QueryText]
    envelopes: tuple[Envelope, ...]


def read_frame(payload: bytes) -> ReadFrame:
    """Everything of a frame's JSON. Raises UnreadableFrame."""
    try:
        frame = _decode_frame(payload)
        events = str(frame.events, "utf-8")
        envelopes = decode_events(events)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableFrame("A record of the journal is no frame.") from error
    whose = (frame.instance, frame.instance_seq)
    texts = [
        QueryText(key, text, frame.recorded_at, frame.requests.get(key, ""), *whose)
        for key, text in frame.texts.items()
    ]
    return ReadFrame(_row(frame, events, last_word(envelopes)), texts, envelopes)


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
