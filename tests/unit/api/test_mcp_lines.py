"""Lines from pipes and files: whole, none of them without a bound, and the last one without its end."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from api.mcp_lines import LINE_BYTES_MAX, lines_of

WAIT_S = 5.0


def through_a_file(folder: Path, content: bytes) -> int:
    """A descriptor to read the content from, as `amos mcp < file` has."""
    path = folder / "requests"
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY)


def through_a_pipe(_folder: Path, content: bytes) -> int:
    """The same as clients do it; it is written meanwhile, because a pipe holds little."""
    ours, theirs = os.pipe()

    def write() -> None:
        with os.fdopen(theirs, "wb") as pipe:
            pipe.write(content)

    threading.Thread(target=write, daemon=True).start()
    return ours


@pytest.fixture(params=[through_a_file, through_a_pipe])
def through(request: pytest.FixtureRequest) -> Callable[[Path, bytes], int]:
    """Each way the requests may come."""
    chosen: Callable[[Path, bytes], int] = request.param
    return chosen


async def read(descriptor: int) -> list[bytes]:
    """Every line there is."""
    found = []
    with os.fdopen(descriptor, "rb") as source:
        async with asyncio.timeout(WAIT_S), lines_of(source) as read_line:
            while line := await read_line():
                found.append(line)
    return found


async def test_lines_come_whole(tmp_path: Path, through: Callable[[Path, bytes], int]):
    """In their order; empty ones too, and the last one whether it ends or not."""
    assert await read(through(tmp_path, b"one\n\ntwo\r\nthree")) == [b"one\n", b"\n", b"two\r\n", b"three"]
    assert await read(through(tmp_path, b"")) == []


@pytest.mark.parametrize("beyond", [1, 2, 70_000, LINE_BYTES_MAX, 3 * LINE_BYTES_MAX + 1])
async def test_a_line_that_is_too_long_is_one_line(
    tmp_path: Path, through: Callable[[Path, bytes], int], beyond: int
):
    """So much of it is given as tells so, never more than twice the bound; the next line is whole."""
    long = b"x" * (LINE_BYTES_MAX + beyond)

    before, found, after = await read(through(tmp_path, b"before\n" + long + b"\nafter\n"))

    assert (before, after) == (b"before\n", b"after\n")
    assert LINE_BYTES_MAX < len(found) <= 2 * LINE_BYTES_MAX + 70_000


async def test_a_line_at_its_bound_is_whole(tmp_path: Path, through: Callable[[Path, bytes], int]):
    """The bound counts its end."""
    line = b"x" * (LINE_BYTES_MAX - 1) + b"\n"

    assert await read(through(tmp_path, line + line)) == [line, line]


async def test_a_pipe_can_be_given_up():
    """Nothing keeps a reader that is not wanted any more."""
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as source:
        async with lines_of(source) as read_line:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read_line(), 0.05)
    os.close(theirs)
