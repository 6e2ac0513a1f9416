"""Brings lines to a place in a thread of its own, so that nobody who logs ever waits for a disk or a pipe.

What waits is bounded. A place that does not keep up, or takes nothing at all, loses lines; how many, it is
told when it takes some again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from typing_extensions import override

from api.logs.formats import Format
from api.logs.places import Place

WAITING_BYTES_MAX = 8_388_608
"""chosen: what waits for a slow place, some 12,000 calls; six times what one batch of the recorder has."""

CLOSE_S = 2.0
"""chosen: so long the end of a process waits for what has not been written; the supervisor waits for 35 s."""

_log = logging.getLogger("amos.logs")


class _Item(NamedTuple):
    lines: Sequence[bytes]
    written: threading.Event


class Output:
    """One place and the thread that writes there. `lost` makes the line that tells how many are missing."""

    def __init__(self, place: Place, name: str, lost: Callable[[int], bytes]) -> None:
        self._place = place
        self._name = name
        self._lost_line = lost
        self._waiting: deque[_Item] = deque()
        self._waiting_bytes = 0
        self._news = threading.Condition()
        self._is_closed = False
        self._lost = 0
        self._fault = ""
        self._thread = threading.Thread(target=self._run, name=f"log to {name}", daemon=True)
        self._thread.start()

    def put(self, lines: Sequence[bytes]) -> threading.Event:
        """Have lines written; never waits and never raises. The event is set when they are, or are lost."""
        item = _Item(lines, threading.Event())
        size = sum(map(len, lines))
        with self._news:
            if self._is_closed or self._waiting_bytes + size > WAITING_BYTES_MAX:
                self._lost += len(lines)
                item.written.set()
            else:
                self._waiting.append(item)
                self._waiting_bytes += size
                self._news.notify()
        return item.written

    def close(self) -> None:
        """Write what waits, within `CLOSE_S`, and take nothing more."""
        with self._news:
            self._is_closed = True
            self._news.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while items := self._take():
            lines = [line for item in items for line in item.lines]
            for piece in _pieces(lines, self._place.piece_bytes_max):
                self._write(piece)
            for item in items:
                item.written.set()

    def _take(self) -> list[_Item]:
        """All that waits; nothing when it is over."""
        with self._news:
            while not self._waiting and not self._is_closed:
                self._news.wait()
            items = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        return items

    def _write(self, piece: Sequence[bytes]) -> None:
        try:
            if self._lost:
                lost = self._lost
                self._place.write(self._lost_line(lost))
                with self._news:
                    self._lost -= lost
            self._place.write(b"".join(piece))
        except OSError as error:
            with self._news:
                self._lost += len(piece)
            self._note(error.strerror or type(error).__name__)
        else:
            self._note("")

    def _note(self, fault: str) -> None:
        """Tell the other places when this one begins or ends to be at fault."""
        if fault == self._fault:
            return
        self._fault = fault
        if fault:
            _log.error("the log cannot be written to %s: %s", self._name, fault)
        else:
            _log.info("the log is written to %s again", self._name)


class OutputHandler(logging.Handler):
    """Sends what is logged to one output, in its format."""

    def __init__(self, place: Place, name: str, form: Format) -> None:
        super().__init__()
        self.form = form
        self._output = Output(place, name, self._lost_line)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Have the record written; never waits and never raises."""
        with contextlib.suppress(Exception):
            self._output.put([self._rendered(record)])

    def put(self, lines: Sequence[bytes]) -> threading.Event:
        """Have lines written that are in this format already; as `Output.put`."""
        return self._output.put(lines)

    @override
    def close(self) -> None:
        """Write what waits."""
        super().close()
        self._output.close()

    def _rendered(self, record: logging.LogRecord) -> bytes:
        try:
            return self.form.record(record)
        except Exception:  # noqa: BLE001 - arguments that do not fit, or whose own text cannot be had
            plain = _record(record.levelno, "a line of the log cannot be shown: its arguments do not fit it")
            plain.name = record.name
            return self.form.record(plain)

    def _lost_line(self, lost: int) -> bytes:
        return self.form.record(_record(logging.WARNING, f"{lost} lines of the log are lost before this one"))


def _record(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord(_log.name, level, "", 0, message, None, None)


def _pieces(lines: Sequence[bytes], bytes_max: int) -> list[list[bytes]]:
    """The lines in groups of at most so many bytes; a longer line is one of its own."""
    pieces: list[list[bytes]] = []
    size = bytes_max
    for line in lines:
        if size + len(line) > bytes_max:
            pieces.append([])
            size = 0
        pieces[-1].append(line)
        size += len(line)
    return pieces
