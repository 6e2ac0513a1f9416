"""A fixed window of one minute, as the simulated upstreams count calls."""

from __future__ import annotations

import math
import time


class RateWindow:
    """Counts calls; `None` as limit means any number. The window begins with its first call."""

    def __init__(self, calls_per_minute: int | None) -> None:
        self.limit = calls_per_minute
        self._began = -math.inf
        self._count = 0

    def hit(self) -> int:
        """Charge one call: 0 if it fits, else the whole seconds until the next window."""
        if self.limit is None:
            return 0
        now = time.monotonic()
        if now - self._began >= 60:
            self._began, self._count = now, 0
        self._count += 1
        return 0 if self._count <= self.limit else math.ceil(self._began + 60 - now)
