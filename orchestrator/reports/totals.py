"""Totals: what all of history adds up to, and how much of the log is in it.

They are read from the rows that are kept for ever, so they survive restarts and compaction, and are the same
whichever instance reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.reports.report import Sums

DOUBLING = "doubling"
"""A dimension of totals: the bucket of a duration by the power of two it ends at or below, instead of by
itself; see `doubling_of`. A tenth of the rows says what classic histograms show."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the event log has been counted.

    `position` is that of the newest frame, `counted_position` that up to which every rollup has counted, 0
    for none. `waiting_since` is when the oldest frame that is not counted was recorded, epoch seconds;
    `None` if all are. `parked` frames hold something that cannot be counted.
    """

    position: int = 0
    counted_position: int = 0
    waiting_since: float | None = None
    parked: int = 0

    def lag_s(self, now: float) -> float:
        """How far the figures are behind what is in SQL: the age of the oldest frame they lack, in seconds.

        What is still in a journal is not in SQL; the recorder's status tells how old that may be.
        """
        return 0.0 if self.waiting_since is None else max(now - self.waiting_since, 0.0)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The sums that were asked for, in their order, and of how much of the log they are."""

    sums: Sequence[Sums]
    standing: Standing
