"""How much is in a journal directory, against its bound: looked up now and then, counted in between."""

from __future__ import annotations

import time
from pathlib import Path

from storage.file_segments import directory_bytes

LOOK_S = 1.0
"""chosen: the size of the directory is looked up at most this often; own writes are added in between."""

LOOK_FULL_S = 0.05
"""chosen: the same while the journal seems full, because a refused call costs more than a look."""


class Backlog:
    """The size of all segments in a directory, whoever wrote them; `size_bytes` is as of `refresh`."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        self._directory = directory
        self.bytes_max = bytes_max
        self._looked_at = -LOOK_S
        self.size_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the bound is reached, as far as is known."""
        return self.size_bytes >= self.bytes_max

    def add(self, count: int) -> None:
        """Count what was written since."""
        self.size_bytes += count

    def refresh(self) -> None:
        """Look the size up if the last look is too old: after `LOOK_S`, or `LOOK_FULL_S` when full."""
        now = time.monotonic()
        if now - self._looked_at >= (LOOK_FULL_S if self.is_full else LOOK_S):
            self._looked_at = now
            self.size_bytes = directory_bytes(self._directory)
