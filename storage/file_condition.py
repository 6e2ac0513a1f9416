"""Whether the journal takes frames, for health and for the log, which hears of each change once."""

from __future__ import annotations

import logging
import time

_log = logging.getLogger("amos.journal")


class Condition:
    """`fault` is why it takes none, `""` if it does; `since`, in epoch seconds, when one became the other."""

    def __init__(self) -> None:
        self.fault = ""
        self.since = time.time()

    def set(self, fault: str) -> None:
        """Take note of what the last attempt showed."""
        if fault == self.fault:
            return
        if not fault or not self.fault:
            self.since = time.time()
        self.fault = fault
        if fault:
            _log.error("calls are refused: %s", fault)
        else:
            _log.info("the journal can be written again")
