"""A place for log lines in memory, which can be made to refuse or to hang."""

from __future__ import annotations

import threading

WAIT_S = 5.0
"""What writes there is a thread; it takes microseconds."""


class Shelf:
    """What was written is in `lines`.

    It refuses with `fault` if there is one, and hangs until `may_go` is set; `is_asked` tells that it was.
    """

    piece_bytes_max = 4_096

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.fault: OSError | None = None
        self.is_asked = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()

    @property
    def lines(self) -> list[str]:
        """What it has."""
        return b"".join(self.pieces).decode().splitlines()

    def write(self, lines: bytes) -> None:
        """Keep it."""
        self.is_asked.set()
        self.may_go.wait(WAIT_S)
        if self.fault is not None:
            raise self.fault
        self.pieces.append(lines)
