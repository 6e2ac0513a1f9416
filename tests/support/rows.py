"""Histories as rows of the event log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from orchestrator.events import Envelope, Event, Frame
from storage.codec import FrameRow, QueryText, ReadFrame, read_frame
from tests.support.histories import NOON, numbered


def row(
    number: int,
    events: Iterable[Event],
    *,
    instance: str = "i-1",
    at: float = NOON,
    stream: str = "",
    first: int = 1,
) -> FrameRow:
    """Frame `number` of a writer, of the execution `e-<number>` or `stream`, with events from `first` on."""
    frame = Frame(
        instance=instance,
        instance_seq=number,
        stream=stream or f"e-{number}",
        recorded_at=at,
        events=numbered(events, at, first),
    )
    return read_frame(msgspec.json.encode(frame)).row


def read(
    envelopes: tuple[Envelope, ...], *, stream: str, instance: str = "i-1", number: int = 1
) -> ReadFrame:
    """A frame with these envelopes, read from its JSON as the recorder does."""
    frame = Frame(
        instance=instance,
        instance_seq=number,
        stream=stream,
        recorded_at=envelopes[-1].at,
        events=envelopes,
    )
    return read_frame(msgspec.json.encode(frame))


def text_of(
    number: int, key: str, text: str, *, instance: str = "i-1", at: float = NOON, request: str = ""
) -> QueryText:
    """A text that frame `number` of a writer brings, and what else was asked."""
    return QueryText(key, text, at, request, instance, number)


def rows(histories: Sequence[Sequence[Event]], *, apart_s: float = 40.0) -> list[FrameRow]:
    """One frame for each history, so far apart that they fall into different minutes."""
    return [row(number, events, at=NOON + number * apart_s) for number, events in enumerate(histories, 1)]
