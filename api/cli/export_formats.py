"""Recorded events as JSON lines, CSV and Parquet: bytes from events, whoever writes them where.

All formats have the same columns, `COLUMNS`, one event a line or row. docs/events.md describes them.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from api.cli.failure import CommandError
from api.spreadsheet import csv_lines, harmless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage.sql_raw_events import RawEvent

COLUMNS = ("position", "stream", "seq", "at", "time", "type", "event")

ROW_GROUP_EVENTS = 20_000
"""chosen: some fifty megabytes in memory; readers skip whole groups by position and time."""


class Format(Protocol):
    """Turns pages of events into the bytes of a file."""

    def begin(self) -> bytes:
        """What stands before the first event."""

    def page(self, events: Iterable[RawEvent]) -> bytes:
        """What can be written after these events; perhaps nothing yet."""

    def end(self) -> bytes:
        """What is left to be written behind the last event."""


class JsonLines:
    """One JSON object a line."""

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def page(self, events: Iterable[RawEvent]) -> bytes:
        """A line for each event; the event is the JSON it was recorded as."""
        return _encode_lines(map(_line, events))

    def end(self) -> bytes:
        """Nothing."""
        return b""


class _Line(msgspec.Struct):
    position: int
    stream: str
    seq: int
    at: float
    time: str
    type: str
    event: msgspec.Raw


_encode_lines = msgspec.json.Encoder().encode_lines


class Csv:
    """RFC 4180, in UTF-8, with a heading; no cell is a formula to a spreadsheet."""

    def begin(self) -> bytes:
        """The heading."""
        return csv_lines([COLUMNS])

    def page(self, events: Iterable[RawEvent]) -> bytes:
        """A line for each event; the event is the JSON it was recorded as."""
        return csv_lines(map(_cells, events))

    def end(self) -> bytes:
        """Nothing."""
        return b""


class Parquet:
    """Parquet, with `time` as a timestamp in UTC and the event as its JSON. Needs pyarrow."""

    def __init__(self) -> None:
        try:
            arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError as error:
            raise CommandError(
                "Parquet needs the package pyarrow, which is not installed.",
                "Install it beside the others: `.venv/bin/python -m pip install 'pyarrow>=22'`, or with uv "
                "`uv pip install --python .venv/bin/python 'pyarrow>=22'`.",
            ) from error
        self._arrow: Any = arrow
        text = arrow.string()
        self._schema = arrow.schema(
            zip(
                COLUMNS,
                (
                    arrow.int64(),
                    text,
                    arrow.int64(),
                    arrow.float64(),
                    arrow.timestamp("us", "UTC"),
                    text,
                    text,
                ),
                strict=True,
            )
        )
        self._written = _Pending()
        self._writer = parquet.ParquetWriter(self._written, self._schema, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []

    def begin(self) -> bytes:
        """The first bytes that tell what it is."""
        return self._written.take()

    def page(self, events: Iterable[RawEvent]) -> bytes:
        """A row group as soon as there are enough events for one."""
        self._rows += map(_row, events)
        if len(self._rows) >= ROW_GROUP_EVENTS:
            self._write_group()
        return self._written.take()

    def end(self) -> bytes:
        """The last row group, and the directory of all."""
        if self._rows:
            self._write_group()
        self._writer.close()
        return self._written.take()

    def _write_group(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [
            self._arrow.array(list(column), field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


class _Pending(io.RawIOBase):
    """A file that keeps what is written until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Keep the bytes."""
        self._chunks.append(bytes(data))
        return len(self._chunks[-1])

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


FORMATS: dict[str, type[Format]] = {"jsonl": JsonLines, "csv": Csv, "parquet": Parquet}


def _line(event: RawEvent) -> _Line:
    position, stream, seq, at, head, raw = event
    return _Line(position, stream, seq, at, _iso(at), head.type, msgspec.Raw(raw))


def _cells(event: RawEvent) -> tuple[Any, ...]:
    position, stream, seq, at, head, raw = event
    return position, harmless(stream), seq, at, _iso(at), harmless(head.type), raw.decode()


def _row(event: RawEvent) -> tuple[Any, ...]:
    position, stream, seq, at, head, raw = event
    return position, stream, seq, at, _moment(at), head.type, raw.decode()


def _iso(at: float) -> str:
    moment = _moment(at)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else ""


def _moment(at: float) -> datetime | None:
    """The moment in UTC; `None` for a number that is none, as damage may leave it."""
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None
