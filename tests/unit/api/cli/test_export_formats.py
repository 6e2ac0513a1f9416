"""Exported events: every format holds the same, and none of them does harm where it is opened."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, datetime

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli import export_formats
from api.cli.export_formats import COLUMNS, FORMATS, Csv, JsonLines, Parquet
from api.cli.failure import CommandError
from api.spreadsheet import FORMULA_STARTS
from storage.codec import EventHead
from storage.sql_raw_events import RawEvent
from tests.support.histories import NOON

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def raw(type_="amos.tea.made.v1", *, stream="e-1", seq=1, at=NOON, position=7, **fields):
    """An event as it comes from the log."""
    event = json.dumps({"type": type_, **fields}, ensure_ascii=False, separators=(",", ":")).encode()
    return RawEvent(position, stream, seq, at, EventHead(type_), event)


EVENTS = st.lists(
    st.builds(
        raw,
        TEXT,
        stream=TEXT,
        seq=st.integers(1, 2**31),
        at=st.floats(0, 2e11),
        position=st.integers(1, 2**62),
        sort=TEXT,
    ),
    max_size=5,
)


def written(format_, *pages):
    """The bytes of a whole file."""
    return b"".join([format_.begin(), *map(format_.page, pages), format_.end()])


def cells(data):
    """The rows of a CSV file, without the heading."""
    heading, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    assert tuple(heading) == COLUMNS
    return rows


@given(EVENTS, EVENTS)
def test_json_lines_hold_every_event(first, second):
    """One object a line, in the order they came, with the event as it was."""
    lines = written(JsonLines(), first, second).decode().split("\n")

    assert lines.pop() == ""
    assert [json.loads(line)["event"] for line in lines] == [
        json.loads(event.event) for event in first + second
    ]
    assert all(tuple(json.loads(line)) == COLUMNS for line in lines)


@given(EVENTS)
def test_csv_holds_the_same_and_no_formula(events):
    """Whatever is in an event comes back, but for the sign before what a spreadsheet would run."""
    for row, event in zip(cells(written(Csv(), events)), events, strict=True):
        assert not any(cell.startswith(FORMULA_STARTS) for cell in row)
        assert row[1].removeprefix("'") == event.stream.removeprefix("'")
        assert (int(row[0]), int(row[2]), float(row[3])) == (event.position, event.seq, event.at)
        assert json.loads(row[6]) == json.loads(event.event)


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_a_formula_is_made_text(start):
    """A stream or type that a spreadsheet would run begins with an apostrophe; other text does not."""
    (row,) = cells(written(Csv(), [raw(f"{start}type", stream=f"{start}cmd|' /C calc'!A0")]))
    (plain,) = cells(written(Csv(), [raw(stream="provider:a=b")]))

    assert row[1].startswith(f"'{start}")
    assert row[5].startswith(f"'{start}")
    assert plain[1] == "provider:a=b"


def test_csv_is_as_rfc_4180_says():
    """Lines end in CRLF, what needs quotes has them, and quotes are doubled."""
    data = written(Csv(), [raw(sort='a "b", c')])

    assert data.decode() == (
        "position,stream,seq,at,time,type,event\r\n"
        "7,e-1,1,1800000000.0,2027-01-15T08:00:00.000000Z,amos.tea.made.v1,"
        '"{""type"":""amos.tea.made.v1"",""sort"":""a \\""b\\"", c""}"\r\n'
    )


@pytest.mark.parametrize("group", [1, 2, 1000])
def test_parquet_holds_the_same(monkeypatch, group):
    """A reader finds rows in order with numbers, a timestamp in UTC and the JSON, however many groups."""
    monkeypatch.setattr(export_formats, "ROW_GROUP_EVENTS", group)
    events = [raw(seq=number, sort="\U0001f375 é") for number in range(1, 6)]

    data = written(Parquet(), events[:2], [], events[2:])

    table = pyarrow.parquet.read_table(io.BytesIO(data))
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    assert [json.loads(row["event"]) for row in rows] == [json.loads(event.event) for event in events]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["time"] == datetime.fromtimestamp(NOON, UTC)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_to_export_is_a_file_all_the_same(name):
    """No event is no line; a heading and a Parquet schema are there."""
    data = written(FORMATS[name]())

    if name == "jsonl":
        assert data == b""
    elif name == "csv":
        assert cells(data) == []
    else:
        assert pyarrow.parquet.read_table(io.BytesIO(data)).num_rows == 0


@pytest.mark.parametrize("at", [1e300, 1e15, -1e15, float("inf")])
@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_a_moment_that_is_none_is_left_empty(name, at):
    """A number beyond all calendars stops nothing."""
    data = written(FORMATS[name](), [raw(at=at)])

    if name == "csv":
        assert cells(data)[0][4] == ""
    else:
        assert pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()[0]["time"] is None


def test_parquet_without_pyarrow_says_how_to_get_it(monkeypatch):
    """What is not installed is named, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(CommandError) as refusal:
        Parquet()

    assert "pyarrow" in refusal.value.failure.sentence
    assert "pip install 'pyarrow" in refusal.value.failure.next_step
