"""Moments and durations: written in many ways, read in one."""

from __future__ import annotations

import pytest

from api.moments import moment
from orchestrator.errors import InvalidRequest

NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("90s", NOW - 90),
        ("15m", NOW - 900),
        ("24h", NOW - 86_400),
        ("7d", NOW - 604_800),
        ("2w", NOW - 1_209_600),
        ("1795000000", NOW),
        ("1795000000.5", NOW + 0.5),
        ("1970-01-02", 86_400.0),
        ("0001-01-01", 0.0),
        ("999999999w", 0.0),
        ("1970-01-01T01:00:00Z", 3_600.0),
        ("1970-01-01T01:00:00", 3_600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T01:00:00 01:00", 0.0),
    ],
)
def test_a_moment_is_written_in_many_ways(text: str, expected: float):
    """Ages, dates and epoch seconds all name a moment; without an offset it is UTC."""
    assert moment("since", text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "24", "-1h", "1y", "h", "1e9", "2026-13-01", "0001-01-01T00:00:00+25:00", "٣h"]
)
def test_anything_else_is_refused_with_an_example(text: str):
    """Whoever writes a moment wrongly is shown a right one; a small number is an age without its unit."""
    with pytest.raises(InvalidRequest, match="24h"):
        moment("since", text, NOW)
