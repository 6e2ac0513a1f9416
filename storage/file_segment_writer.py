"""One journal segment as its writer holds it: created locked, appended to, synced, let go."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from storage.file_segments import UNFINISHED_SUFFIX


class SegmentWriter:
    """A new segment file, locked by this process until `close`. `size` is the length of its whole records."""

    def __init__(self, path: Path) -> None:
        """Create and lock the file under another name, so that no reader ever sees it without its lock.

        Raises OSError.
        """
        hidden = path.with_suffix(UNFINISHED_SUFFIX)
        self.fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(path)
        except OSError:
            os.close(self.fd)
            hidden.unlink(missing_ok=True)
            raise
        self.size = 0
        self._directory = path.parent
        self._is_entered = False

    def cut(self) -> None:
        """Cut off what is behind the last whole record. Raises OSError."""
        os.ftruncate(self.fd, self.size)

    def sync(self) -> None:
        """Force the content, and the first time the directory entry, to the disk. Blocks; raises OSError."""
        os.fdatasync(self.fd)
        if not self._is_entered:
            directory_fd = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory_fd)
            finally:
                os.close(directory_fd)
            self._is_entered = True

    def close(self) -> None:
        """Release the lock: from now on the segment is dead and complete."""
        os.close(self.fd)
