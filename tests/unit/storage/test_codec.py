"""The codec: every event comes back as it was, and what is not known stays what it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.event_types import EVENT_TYPES
from orchestrator.events import (
    Cost,
    Envelope,
    Frame,
    UnknownEvent,
)
from storage.codec import QueryText, UnreadableFrame, decode_events, read_frame, row_frame
from tests.support.histories import NOON, answered, fallback, hit, numbered, refused

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(min_value=-(2**63), max_value=2**63 - 1) | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
VALUES = {
    str: TEXT,
    int: st.integers(min_value=-(2**63), max_value=2**63 - 1),
    float: NUMBER,
    bool: st.booleans(),
    tuple[str, ...]: st.lists(TEXT, max_size=3).map(tuple),
    dict[str, str]: st.dictionaries(TEXT, TEXT, max_size=3),
    dict[str, Any]: st.dictionaries(TEXT, JSON, max_size=3),
    Cost: st.builds(Cost, amount=NUMBER, unit=TEXT, usd_micros=st.integers(min_value=0, max_value=2**40)),
}


def any_of(event_type):
    """Any event of a type, made from the types of its fields."""
    fields = msgspec.structs.fields(event_type)
    return st.builds(event_type, **{field.name: VALUES[field.type] for field in fields})


ENVELOPES = st.builds(
    Envelope,
    st.integers(min_value=1, max_value=2**31),
    st.floats(min_value=0, max_value=1e11),
    st.one_of([any_of(event_type) for event_type in EVENT_TYPES]),
)


def frame_of(events, texts=None):
    """A frame with these events."""
    return Frame(
        instance="i-1",
        instance_seq=7,
        stream="e-1",
        recorded_at=NOON,
        events=tuple(events),
        texts=texts or {},
    )


@given(st.lists(ENVELOPES, max_size=5))
def test_a_frame_survives_journal_and_row(events):
    """Whatever events a frame holds, they are the same after JSON, row and back."""
    frame = frame_of(events)

    row, texts, _ = read_frame(msgspec.json.encode(frame))

    assert row_frame(row.instance, row.instance_seq, row.stream, row.recorded_at, row.events) == frame
    assert texts == []


def test_an_answered_execution_fills_the_columns():
    """What reports filter by comes from the last word, even if a later event stands behind it."""
    row = read_frame(msgspec.json.encode(frame_of(numbered((*fallback(), *fallback()[4:5]))))).row

    assert (row.operation, row.door, row.client, row.topic) == ("search", "http", "local-operator", "general")
    assert (row.provider, row.cache, row.outcome, row.error) == ("local", "miss", "answered", "")
    assert row.duration_s == 0.215


def test_a_failed_execution_fills_the_columns_with_its_error():
    """A call without an answer has an error and no provider."""
    row = read_frame(msgspec.json.encode(frame_of(numbered((refused("rate_limited"),))))).row

    assert (row.outcome, row.error, row.provider, row.cache) == ("failed", "rate_limited", "", "")


def test_an_intent_leaves_the_columns_empty():
    """A frame that closes nothing is found by its stream only."""
    row = read_frame(msgspec.json.encode(frame_of(numbered(fallback()[:4])))).row

    assert (row.operation, row.outcome, row.duration_s) == ("", "", None)


def test_what_else_was_asked_is_handed_out_with_its_text():
    """Options belong to the text of the same key; a text without any has none."""
    frame = frame_of(numbered(hit()), {"k1": "the question", "k2": "a page"})
    frame = msgspec.structs.replace(frame, requests={"k1": '{"topic":"news"}', "k3": "{}"})

    row, texts, _ = read_frame(msgspec.json.encode(frame))

    assert [(text.text, text.request) for text in texts] == [
        ("the question", '{"topic":"news"}'),
        ("a page", ""),
    ]
    assert "news" not in row.events


def test_texts_are_handed_out_and_not_in_the_row():
    """The text of a query is no part of the event log."""
    row, texts, _ = read_frame(msgspec.json.encode(frame_of(numbered(hit()), {"k1": "the question"})))

    assert texts == [QueryText("k1", "the question", NOON, "", "i-1", 7)]
    assert "the question" not in repr(row)


def test_an_event_of_a_later_version_is_kept_and_named():
    """A type that is not known is an UnknownEvent among known ones; the row keeps its JSON untouched."""
    later = {"type": "amos.request.completed.v2", "shape": "new"}
    events = [{"seq": 1, "at": NOON, "event": later}, *msgspec.to_builtins(numbered((answered(),), first=2))]
    payload = msgspec.json.encode(
        {"instance": "i", "instance_seq": 1, "stream": "e", "recorded_at": NOON, "events": events}
    )

    row = read_frame(payload).row
    unknown, known = decode_events(row.events)

    assert unknown.event == UnknownEvent("amos.request.completed.v2")
    assert known.event == answered()
    assert msgspec.json.decode(row.events)[0]["event"] == later


def frame_named(**names):
    """The JSON of an empty frame with other names."""
    frame = {"instance": "i", "instance_seq": 1, "stream": "e", "recorded_at": NOON, "events": []}
    return msgspec.json.encode({**frame, **names})


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"null", b"{}", b'{"instance":1}', b"\xff\xfe", b'{"instance":"i","instance_seq":1,'),
        frame_named(stream="s" * 257),
        frame_named(texts={"k" * 257: "more than an index of PostgreSQL takes"}),
    ],
)
def test_what_is_no_frame_is_said_to_be_none(payload):
    """Bytes with a right checksum and no frame in them are refused, without being shown."""
    with pytest.raises(UnreadableFrame) as refusal:
        read_frame(payload)

    assert "instance" not in str(refusal.value)
