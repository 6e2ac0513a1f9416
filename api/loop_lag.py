"""How late the event loop is: everything waits that long before it is looked at, whatever it is.

A task of its own sleeps and sees by how much it woke too late. Nothing is measured in calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from itertools import accumulate

from orchestrator.background import running
from orchestrator.reports.metrics import Histogram

LOOK_S = 0.1
"""chosen: ten looks a second cost a fiftieth of a per cent of a core, and see what a person would notice."""

BOUNDS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
"""chosen: from the grain of the timer to what no caller waits for."""


class LoopLag:
    """Counts how late the looks were. It runs within `watched`."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0

    def watched(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Look for as long as the context lasts."""
        return running(self._look(), "the look at the event loop's lag")

    @property
    def seen(self) -> Histogram:
        """All looks so far."""
        bounds = (*BOUNDS_S, float("inf"))
        return Histogram(tuple(zip(bounds, accumulate(self._counts), strict=True)), self._sum_s)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            late_s = max(loop.time() - due, 0.0)
            self._counts[bisect_left(BOUNDS_S, late_s)] += 1
            self._sum_s += late_s
