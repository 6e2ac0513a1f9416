"""Bars beside figures, spreads of durations, lines over series: drawn with characters; in pipes nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

BAR_WIDTH = 12
"""chosen: enough to tell a tenth from a fifth, and short enough to stand beside many columns."""

LINE_WIDTH_MAX = 96
"""chosen: a day by the quarter of an hour; longer series have several groups in one place."""


class Chart(NamedTuple):
    """`parts` fill a place of a bar more and more, `levels` are the heights of a line; `""` draws none.

    `spread_of` are the middle of what is spread, what most lie within, and the rest up to the largest.
    """

    parts: str
    levels: str
    spread_of: str = ""

    def spread(self, quantiles: Sequence[float], least: float, most: float) -> str:
        """The median, the 95th percentile and the largest of some durations, on an axis of powers of ten.

        The axis, as wide as a bar, reaches from `least` to `most`, which are above zero.
        """
        if not self.spread_of or least <= 0 or most <= least or min(quantiles) < least:
            return ""
        span = math.log(most / least)
        middle, high, end = (round(math.log(value / least) / span * (BAR_WIDTH - 1)) for value in quantiles)
        dot, line, rest = tuple(self.spread_of)
        return " " * middle + dot + line * (high - middle) + rest * (end - max(high, middle))

    def bar(self, value: float, most: float) -> str:
        """The value in proportion to the largest one; what is not zero is to be seen."""
        if not self.parts or value <= 0 or most <= 0:
            return ""
        steps = len(self.parts)
        filled = max(round(value / most * BAR_WIDTH * steps), 1)
        whole, rest = divmod(filled, steps)
        return self.parts[-1] * whole + (self.parts[rest - 1] if rest else "")

    def line(self, rows: Sequence[Mapping[str, Any]], time: str, measured: str) -> str:
        """The measure over the time, gaps as blanks; `""` for a series with several rows at one time."""
        begins = [row[time] for row in rows]
        if not self.levels or not measured or len(begins) < 2 or begins != sorted(set(begins)):
            return ""
        step = min(later - sooner for sooner, later in pairwise(begins))
        places = [round((begin - begins[0]) / step) for begin in begins]
        each = places[-1] // LINE_WIDTH_MAX + 1
        sums = [0] * (places[-1] // each + 1)
        for place, row in zip(places, rows, strict=True):
            sums[place // each] += row[measured]
        most = max(sums)
        heights = (-(-value * len(self.levels) // most) if most else 0 for value in sums)
        return "".join(self.levels[height - 1] if height else " " for height in heights)


BLOCKS = Chart("▏▎▍▌▋▊▉█", "▁▂▃▄▅▆▇█", "●━─")

PLAIN = Chart("#", "_.-=+*#", "o=-")
"""For terminals that do not speak UTF-8."""

NO_CHART = Chart("", "")


def chart_of_stdout() -> Chart:
    """What can be drawn on standard output."""
    if sys.stdout is None or not sys.stdout.isatty():
        return NO_CHART
    return BLOCKS if (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" else PLAIN
