"""A file that is whole or not there: no fault leaves half of one, and nothing else loses its place."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from api.cli.failure import CommandError
from api.cli.output_file import whole_file


def test_a_file_appears_when_it_is_whole(tmp_path):
    """Until the end there is no file of that name, and then nothing else."""
    path = tmp_path / "events.csv"

    with whole_file(path) as write:
        write(b"one")
        assert not path.exists()
        write(b"two")

    assert path.read_bytes() == b"onetwo"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, ValueError, CommandError])
def test_what_goes_wrong_leaves_what_was_there(tmp_path, error):
    """The old file stays as it was, and no new one beside it."""
    path = tmp_path / "events.csv"
    path.write_bytes(b"old")

    def go_wrong() -> None:
        with whole_file(path) as write:
            write(b"new" * 10_000)
            raise error("no")

    with pytest.raises((error,)):
        go_wrong()

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path):
    """Whoever could read the last export can read this one."""
    path = tmp_path / "events.csv"
    path.touch()
    path.chmod(0o644)

    with whole_file(path) as write:
        write(b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_link_goes_on_pointing_there(tmp_path):
    """The file behind a symbolic link is replaced, not the link."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)

    with whole_file(link) as write:
        write(b"new")

    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_pipe_is_written_and_not_replaced(tmp_path):
    """What is no file gets the bytes as they come."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    with whole_file(pipe) as write:
        write(b"new")
        assert os.read(reader, 10) == b"new"

    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("name", "words"), [("missing/x", "No such file"), (".", "Is a directory"), ("x" * 300, "too long")]
)
def test_a_place_that_takes_no_file_is_named(tmp_path, name, words):
    """The failure says which file and why."""
    path = tmp_path / name

    with pytest.raises(CommandError) as refusal, whole_file(path) as write:
        write(b"new")

    assert str(path) in refusal.value.failure.sentence
    assert words in refusal.value.failure.sentence


def test_a_full_device_is_one_sentence():
    """A write that fails is told with the file's name."""
    with pytest.raises(CommandError, match="/dev/full: No space"), whole_file(Path("/dev/full")) as write:
        write(b"new")
