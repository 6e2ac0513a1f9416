"""The file that several processes share: whole lines, none lost, none mixed, within its bounds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from api.logs.places import FILE_MODE, Console, SharedFile
from tests.support.processes import ROOT, environment

WRITERS, LINES = 4, 1_500

WRITE = """
import sys
import threading
from pathlib import Path
from api.logs.places import SharedFile
file = SharedFile(Path(sys.argv[1]), bytes_max=60_000, kept=40)
for number in range(int(sys.argv[3])):
    file.write(f"{sys.argv[2]} {number} {'x' * (number % 90)}.\\n".encode())
"""


def files_of(path: Path) -> list[Path]:
    """The file and what was rotated, the oldest first."""
    older = sorted(
        (one for one in path.parent.glob(f"{path.name}.*") if one.suffix[1:].isdigit()),
        key=lambda one: -int(one.suffix[1:]),
    )
    return [*older, path]


def open_files() -> set[str]:
    """What this process has open now."""
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the look itself
            found.add(f"{one.name} {one.readlink()}")
    return found


def test_processes_that_write_at_once_lose_and_mix_nothing(tmp_path: Path):
    """Every line of each is there once, whole and in order, over all rotations, and no file is too large."""
    path = tmp_path / "logs" / "amos.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, path, name, str(LINES)], cwd=ROOT, env=environment({}))
        for name in "abcd"[:WRITERS]
    ]
    assert [writer.wait(60) for writer in writers] == [0] * WRITERS

    files = files_of(path)
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert all(re.fullmatch(r"[a-d] \d+ x*\.", line) for line in lines)
    for name in "abcd"[:WRITERS]:
        assert [int(line.split()[1]) for line in lines if line[0] == name] == list(range(LINES))
    assert len(files) > 3
    assert max(file.stat().st_size for file in files) <= 60_000
    assert path.stat().st_mode & 0o777 == FILE_MODE & ~0o022


def test_the_oldest_file_goes(tmp_path: Path):
    """There are never more than the current one and so many older ones."""
    file = SharedFile(tmp_path / "a.log", bytes_max=10, kept=2)

    for number in range(6):
        file.write(f"line {number}\n".encode())

    assert [one.read_text() for one in files_of(tmp_path / "a.log")] == ["line 3\n", "line 4\n", "line 5\n"]


@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_logrotate_is_followed(tmp_path: Path, how):
    """Whoever else takes the file away, the next line begins another one."""
    path = tmp_path / "a.log"
    file = SharedFile(path)
    file.write(b"one\n")
    if how == "renamed":
        path.rename(tmp_path / "a.log-20261130")
    else:
        path.unlink()

    file.write(b"two\n")

    assert path.read_bytes() == b"two\n"


def test_a_folder_that_was_tidied_up_is_made_again(tmp_path: Path):
    """Nobody has to start AMOS again for that."""
    path = tmp_path / "logs" / "a.log"
    file = SharedFile(path)
    file.write(b"one\n")
    shutil.rmtree(path.parent)

    file.write(b"two\n")

    assert path.read_bytes() == b"two\n"


def test_a_lock_that_was_removed_still_is_one_for_all(tmp_path: Path):
    """A process that comes later waits for one that was there before."""
    file = SharedFile(tmp_path / "a.log")
    file.write(b"one\n")
    lock = tmp_path / "a.log.lock"
    lock.unlink()
    with lock.open("wb") as newer:
        fcntl.flock(newer, fcntl.LOCK_EX)
        writing = threading.Thread(target=file.write, args=(b"two\n",))
        writing.start()
        writing.join(0.2)
        assert writing.is_alive()

    writing.join(5.0)
    assert (tmp_path / "a.log").read_bytes() == b"one\ntwo\n"


def test_a_line_that_a_death_has_cut_off_spoils_no_other(tmp_path: Path):
    """The next one begins a line of its own."""
    path = tmp_path / "a.log"
    path.write_bytes(b'{"half')

    SharedFile(path).write(b"whole\n")

    assert path.read_bytes() == b'{"half\nwhole\n'


def test_what_a_full_disk_took_of_a_line_is_taken_back(tmp_path: Path):
    """The kernel writes a part before it refuses; the file still holds whole lines only."""
    path = tmp_path / "a.log"
    file = SharedFile(path)
    file.write(b"a" * 99 + b"\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.write(b"b" * 99 + b"\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"a" * 99 + b"\n"

    file.write(b"c\n")

    assert path.read_bytes() == b"a" * 99 + b"\nc\n"


def test_what_is_no_file_is_refused(tmp_path: Path):
    """A folder or a device cannot be rotated."""
    for path in (tmp_path, Path("/dev/full")):
        with pytest.raises(OSError, match=r"file|directory|Permission|denied"):
            SharedFile(path).write(b"x\n")


def test_no_descriptor_is_kept(tmp_path: Path):
    """Whoever sets the log up again and again has no more files open than before, faults included."""
    os.mkfifo(tmp_path / "pipe")
    before = open_files()
    for number in range(5):
        SharedFile(tmp_path / "a.log", bytes_max=10).write(b"line %d\n" % number)
        with pytest.raises(OSError, match="no file"):
            SharedFile(tmp_path / "pipe").write(b"x\n")

    assert open_files() == before


def test_a_console_that_does_not_block_is_waited_for():
    """Others may have made the terminal so: nothing is lost when it is full for a moment."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    line = b"x" * 1_000 + b"\n"
    console = Console(writer)
    for _ in range(60):
        console.write(line)  # 60 kB of the 64 that a pipe holds
    read: list[bytes] = []
    reading = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(reader, 4_096), b"")))
    reading.start()
    for _ in range(60):
        console.write(line)

    os.close(writer)
    reading.join(5.0)
    os.close(reader)
    assert b"".join(read) == 120 * line
