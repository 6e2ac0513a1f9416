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
        self._fd: int | None = None

    def write(self, lines: bytes) -> None:
        """Append whole lines; what the disk took of lines that did not fit is taken back. Raises OSError."""
        with self._locked():
            fd = self._current()
            size = os.fstat(fd).st_size
            if size and size + len(lines) > self._bytes_max:
                self._rotate()
                fd, size = self._current(), 0
            if size and os.pread(fd, 1, size - 1) != b"\n":  # who wrote last was killed in the middle
                lines = b"\n" + lines
            try:
                _write_all(fd, lines)
            except OSError:
                os.ftruncate(fd, size)
                raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock_fd = self._open_lock()  # each time: who tidied the folder up has taken it away from some of us
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock_fd)

    def _open_lock(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._lock_path, flags, FILE_MODE)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._lock_path, flags, FILE_MODE)

    def _current(self) -> int:
        """The file that has the name now."""
        if self._fd is not None:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                    return self._fd
            self._forget()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, FILE_MODE)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self._forget()
            raise OSError(None, "it is no file")
        return self._fd

    def _rotate(self) -> None:
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, self._kept + 1))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)

    def _forget(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll(PATIENCE_MS)
