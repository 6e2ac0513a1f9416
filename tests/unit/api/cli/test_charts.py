"""Charts: bars and lines say what the figures beside them say, in every kind of terminal."""

from __future__ import annotations

import io
import sys
from itertools import pairwise

import pytest

from api.cli.charts import BAR_WIDTH, BLOCKS, LINE_WIDTH_MAX, NO_CHART, PLAIN, chart_of_stdout


class Screen(io.StringIO):
    """A terminal, or a pipe, with an encoding."""

    def __init__(self, encoding, *, is_terminal=True):
        super().__init__()
        self._encoding, self._is_terminal = encoding, is_terminal

    @property
    def encoding(self):
        """As it was told."""
        return self._encoding

    def isatty(self):
        """As it was told."""
        return self._is_terminal


def series(*values, begin=0, step=3_600):
    """Rows by the hour; `None` is a gap."""
    return [{"hour": begin + step * n, "calls": value} for n, value in enumerate(values) if value is not None]


def test_a_bar_grows_with_its_value():
    """The largest is whole, half is half, and the smallest that is not zero can still be seen."""
    assert BLOCKS.bar(80, 80) == "█" * BAR_WIDTH
    assert BLOCKS.bar(40, 80) == "█" * (BAR_WIDTH // 2)
    assert BLOCKS.bar(1, 10_000) == "▏"
    assert BLOCKS.bar(0, 80) == PLAIN.bar(0, 0) == NO_CHART.bar(5, 5) == ""
    assert PLAIN.bar(40, 80) == "#" * (BAR_WIDTH // 2)
    lengths = [(len(bar := BLOCKS.bar(value, 96)), bar[-1]) for value in range(1, 97)]
    assert all(left <= right or left[0] == right[0] for left, right in pairwise(lengths))


def test_a_line_has_a_place_for_every_group():
    """Gaps are blank, the largest group is full height."""
    assert BLOCKS.line(series(1, 8, None, 4), "hour", "calls") == "▁█ ▄"
    assert PLAIN.line(series(0, 7), "hour", "calls") == " #"


def test_days_that_are_an_hour_short_have_their_place():
    """Where clocks are changed days are 23 or 25 hours long; none falls into the place of another."""
    rows = [{"day": at, "calls": 1} for at in (0, 86_400, 169_200, 255_600, 345_600)]

    assert BLOCKS.line(rows, "day", "calls") == "█████"


def test_a_long_series_fits():
    """Several groups share a place then, and are added up."""
    line = BLOCKS.line(series(*[1] * 1_440, step=60), "hour", "calls")

    assert set(line) == {"█"}
    assert len(line) <= LINE_WIDTH_MAX


@pytest.mark.parametrize("rows", [[], series(5), series(0, 0) * 2, [*series(1, 2), *series(1, 2)]])
def test_what_is_no_series_has_no_line(rows):
    """One group, or several rows at one time, cannot be drawn."""
    assert BLOCKS.line(rows, "hour", "calls") == ""


@pytest.mark.parametrize(
    ("screen", "chart"),
    [
        (Screen("utf-8"), BLOCKS),
        (Screen("UTF8"), BLOCKS),
        (Screen("ISO-8859-1"), PLAIN),
        (Screen("utf-8", is_terminal=False), NO_CHART),
        (None, NO_CHART),
    ],
)
def test_what_is_drawn_depends_on_the_screen(monkeypatch, screen, chart):
    """Blocks need UTF-8; into a pipe or nowhere nothing is drawn."""
    monkeypatch.setattr(sys, "stdout", screen)

    assert chart_of_stdout() == chart


def test_durations_are_spread_over_powers_of_ten():
    """From the median by the 95th percentile to the longest, as far apart as their factors say."""
    assert BLOCKS.spread((0.001, 0.01, 10.0), 0.001, 10.0) == "●━━━────────"
    assert PLAIN.spread((10.0, 10.0, 10.0), 0.001, 10.0) == " " * 11 + "o"
    assert BLOCKS.spread((0.1, 0.1, 0.1), 0.1, 0.1) == ""
    assert NO_CHART.spread((0.001, 0.01, 10.0), 0.001, 10.0) == ""
