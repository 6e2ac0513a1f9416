"""Where lines go: standard error, and a file that several processes share. Both block; a thread waits there.

Whole lines only, however many processes write: to a pipe in pieces that the system does not mix, to the file
under a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

FILE_BYTES_MAX = 10_485_760
"""chosen: 10 MB hold some 15,000 calls, and every editor opens them."""

FILES_KEPT = 5
"""chosen: rotated files beside the current one, so that all together take 60 MB."""

FILE_MODE = 0o640
"""chosen: for its owner, and for a group that a collector of logs can be in."""

PATIENCE_MS = 1_000
"""chosen: between two looks whether a terminal or a pipe that does not block takes more."""


class Place(Protocol):
    """Where lines go."""

    piece_bytes_max: int
    """So much may be handed over at once."""

    def write(self, lines: bytes) -> None:
        """Write whole lines. Waits for as long as it takes. Raises OSError; then they are lost."""


class Console:
    """Standard error, whatever that is: a terminal, a pipe, a file."""

    piece_bytes_max = select.PIPE_BUF

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd

    def write(self, lines: bytes) -> None:
        """Write whole lines. Raises OSError if nobody can read them any more."""
        _write_all(self._fd, lines)


class SharedFile:
    """A file that any number of processes append to, and rotate when it is full: `.1` is the youngest.

    Whoever else renames or removes it, such as logrotate, is followed. The lock lies beside it.
    """

    piece_bytes_max = 65_536

    def __init__(self, path: Path, *, bytes_max: int = FILE_BYTES_MAX, kept: int = FILES_KEPT) -> None:
        self._path = path
        self._lock_path = Path(f"{path}.lock")
        self._bytes_max = bytes_max
        self._kept = kept

    def write(self, lines: bytes) -> None:
        """Append whole lines; what the disk took of lines that did not fit is taken back. Raises OSError.

        Both files are opened each time: whoever tidied the folder up has perhaps taken them away.
        """
        with self._opened(self._lock_path) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self._opened(self._path) as fd:
                size = _size(fd)
                if not size or size + len(lines) <= self._bytes_max:
                    _append(fd, size, lines)
                    return
            self._rotate()
            with self._opened(self._path) as fd:
                _append(fd, 0, lines)

    @contextlib.contextmanager
    def _opened(self, path: Path) -> Iterator[int]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, FILE_MODE)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, flags, FILE_MODE)
        try:
            yield fd
        finally:
            os.close(fd)

    def _rotate(self) -> None:
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, self._kept + 1))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)


def _size(fd: int) -> int:
    """How long the file is. Raises OSError if it is none."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(None, "it is no file")
    return found.st_size


def _append(fd: int, size: int, lines: bytes) -> None:
    """Append whole lines to a file of that size."""
    if size and os.pread(fd, 1, size - 1) != b"\n":  # who wrote last was killed in the middle
        lines = b"\n" + lines
    try:
        _write_all(fd, lines)
    except OSError:
        os.ftruncate(fd, size)
        raise


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll(PATIENCE_MS)
