"""Whoever logs never waits and never fails, whatever the place does; what was lost is told."""

from __future__ import annotations

import logging
import os
import re
import time

import pytest

from api.logs import output
from api.logs.formats import TextFormat
from api.logs.output import Output, OutputHandler
from api.logs.places import Console
from tests.support.shelf import WAIT_S, Shelf


@pytest.fixture
def shelf():
    """A place that works."""
    return Shelf()


@pytest.fixture
def out(shelf):
    """An output to it."""
    made = Output(shelf, "the shelf", lambda count: f"{count} lost\n".encode())
    yield made
    shelf.may_go.set()
    made.close()


def numbered(count: int) -> list[bytes]:
    """So many lines."""
    return [f"line {number}\n".encode() for number in range(count)]


def test_lines_arrive_in_order_and_in_pieces_that_are_not_mixed(out, shelf):
    """No piece is larger than a pipe takes at once."""
    assert out.put(numbered(2_000)).wait(WAIT_S)

    assert shelf.lines == [f"line {number}" for number in range(2_000)]
    assert max(map(len, shelf.pieces)) <= 4_096
    assert all(piece.endswith(b"\n") for piece in shelf.pieces)


def test_nobody_waits_for_a_place_that_hangs(out, shelf, monkeypatch):
    """What waits is bounded; what was too much is counted and told when the place goes on."""
    monkeypatch.setattr(output, "WAITING_BYTES_MAX", 10_000)
    shelf.may_go.clear()
    out.put([b"first\n"])
    assert shelf.is_asked.wait(WAIT_S)
    begun = time.monotonic()
    kept = [out.put([b"x" * 99 + b"\n"]) for _ in range(500)]
    took_s = time.monotonic() - begun

    shelf.may_go.set()
    assert all(event.wait(WAIT_S) for event in kept)
    assert out.put([b"last\n"]).wait(WAIT_S)

    assert took_s < 1.0
    assert shelf.lines == ["first", "400 lost", *["x" * 99] * 100, "last"]


def test_what_a_disk_refuses_is_told_when_it_is_back(out, shelf, caplog):
    """The other places hear at once that it does not work, and once only; then that it works again."""
    caplog.set_level(logging.INFO, "amos.logs")
    shelf.fault = OSError(28, "No space left on device")
    for _ in range(3):
        assert out.put(numbered(5)).wait(WAIT_S)
    shelf.fault = None
    assert out.put([b"back\n"]).wait(WAIT_S)

    assert shelf.lines == ["15 lost", "back"]
    assert [one.getMessage() for one in caplog.records] == [
        "the log cannot be written to the shelf: No space left on device",
        "the log is written to the shelf again",
    ]


@pytest.mark.parametrize("how", ["closed", "nobody reads", "full"])
def test_a_console_that_is_gone_harms_nobody(how):
    """EBADF, EPIPE, ENOSPC: logging goes on, into nothing."""
    if how == "full":
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        if how == "closed":
            os.close(writer)
    made = Output(Console(writer), "nowhere", lambda count: b"lost\n")

    assert made.put([b"x\n"]).wait(WAIT_S)
    assert made.put([b"y\n"]).wait(WAIT_S)

    assert made._lost == 2
    made.close()
    if how != "closed":
        os.close(writer)


def test_what_waits_is_written_at_the_end(out, shelf):
    """Closing waits for it; what comes later is lost and waits for nothing."""
    out.put(numbered(100))
    out.close()

    assert len(shelf.lines) == 100
    assert out.put([b"late\n"]).is_set()
    assert len(shelf.lines) == 100


def test_the_end_does_not_wait_for_ever(out, shelf, monkeypatch):
    """A place that hangs holds up no end of the process."""
    monkeypatch.setattr(output, "CLOSE_S", 0.1)
    shelf.may_go.clear()
    out.put([b"x\n"])
    begun = time.monotonic()

    out.close()

    assert time.monotonic() - begun < 1.0


class Nameless:
    """Something whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("arguments", [(1, 2), (Nameless(),)])
def test_arguments_that_do_not_fit_are_told_and_raise_nothing(shelf, arguments):
    """A bug in a line of the log must not become one of the program."""
    handler = OutputHandler(shelf, "the shelf", TextFormat())
    handler.handle(logging.LogRecord("amos.test", logging.ERROR, "", 0, "%s", arguments, None))
    handler.close()

    (line,) = shelf.lines
    assert re.search(r"ERROR   amos.test\[\d+\] a line of the log cannot be shown", line)
