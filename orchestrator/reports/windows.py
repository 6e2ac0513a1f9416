"""How a window of time is put together from counts that are kept by the minute, the hour and the day.

A month is thirty days' rows and a few hours' at its ends, not forty thousand minutes'. Minutes are kept for
some days and hours for some months; where only longer spans are left a window is widened to them, and the
report says to which. Days of a time zone are sums of hours, so they are exact for as long as hours are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.errors import InvalidRequest
from orchestrator.projections.fold import DAY_S, HOUR_S, MINUTE_S
from orchestrator.reports.report import TIMES, Question

GROUPS_MAX = 1_500
"""chosen: a day by the minute, two months by the hour; a longer series shows less than a coarser one."""

SHORTEST_FIRST = (MINUTE_S, HOUR_S, DAY_S)


class Piece(NamedTuple):
    """Rows of one span to be added up: those that begin in [`low`, `high`); they count for `group`.

    `group` is the beginning of a group in epoch seconds, 0 where there are no groups.
    """

    group: int
    span_s: int
    low: int
    high: int


class Window(NamedTuple):
    """A window as it can be answered: `since` and `until` in epoch seconds, and what to add up."""

    since: int
    until: int
    pieces: tuple[Piece, ...]


def plan(question: Question, kept_from: Mapping[int, int], spans_s: tuple[int, ...]) -> Window:
    """The pieces of a question's window.

    `kept_from` says from which moment on a span's rows are complete (a span not named is complete). `spans_s`
    are the spans the counts are kept for. Raises InvalidRequest for an unknown zone or grouping by time that
    the kept spans cannot give, and for more than `GROUPS_MAX` groups.
    """
    spans = tuple(span for span in SHORTEST_FIRST if span in spans_s)
    since = _down(question.since, kept_from, spans)
    until = max(_up(question.until, kept_from, spans), since)
    if question.by not in TIMES:
        return Window(since, until, tuple(_cover(0, since, until, kept_from, spans)))
    bounds = _bounds(question, since, until)
    pieces: list[Piece] = []
    for begin, end in pairwise(bounds):
        low, high = max(begin, since), min(end, until)
        if (_down(low, kept_from, spans), _up(high, kept_from, spans)) != (low, high):
            raise InvalidRequest(
                f"by: so far back there are no counts by the {question.by} in the zone {question.time_zone}; "
                "ask for a later window or a coarser grouping.",
                field="by",
            )
        pieces += _cover(begin, low, high, kept_from, spans)
    return Window(since, until, tuple(pieces))


def zone_of(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises InvalidRequest."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest("tz: expected a time zone such as Europe/Berlin or UTC.", field="tz") from error


def _down(at: float, kept_from: Mapping[int, int], spans: tuple[int, ...]) -> int:
    """The latest moment not after `at` at which the rows of a span begin that is complete from there on."""
    bounds = (math.floor(at / span_s) * span_s for span_s in spans)
    kept = [bound for span_s, bound in zip(spans, bounds, strict=True) if bound >= kept_from.get(span_s, 0)]
    return kept[0] if kept else math.floor(at / spans[-1]) * spans[-1]


def _up(at: float, kept_from: Mapping[int, int], spans: tuple[int, ...]) -> int:
    """The earliest moment not before `at`, likewise."""
    bounds = (math.ceil(at / span_s) * span_s for span_s in spans)
    kept = [bound for span_s, bound in zip(spans, bounds, strict=True) if bound >= kept_from.get(span_s, 0)]
    return kept[0] if kept else math.ceil(at / spans[-1]) * spans[-1]


def _cover(
    group: int, since: int, until: int, kept_from: Mapping[int, int], spans: tuple[int, ...]
) -> Iterator[Piece]:
    """The fewest pieces that are exactly [since, until): days, then hours at its ends, minutes at theirs."""
    if since >= until:
        return
    for span_s in reversed(spans):
        low, high = -(-since // span_s) * span_s, until // span_s * span_s
        if low < high and low >= kept_from.get(span_s, 0):
            yield from _cover(group, since, low, kept_from, spans)
            yield Piece(group, span_s, low, high)
            yield from _cover(group, high, until, kept_from, spans)
            return
    yield Piece(group, spans[-1], since, until)


def _bounds(question: Question, since: int, until: int) -> list[int]:
    """Where the groups begin, and where the last one ends."""
    length_s = TIMES[question.by]
    if (until - since) / length_s > GROUPS_MAX:
        raise InvalidRequest(
            f"by: the window has more than {GROUPS_MAX} groups; ask for a shorter one or longer groups.",
            field="by",
        )
    zone = zone_of(question.time_zone)
    bounds = [_begin(since, question.by, zone)]
    while bounds[-1] < until:
        bounds.append(_next(bounds[-1], question.by, zone))
    return bounds


def _begin(at: int, by: str, zone: ZoneInfo) -> int:
    local = datetime.fromtimestamp(at, zone)
    if by == "day":
        return _midnight(local, zone)
    # Hours of a zone that is half an hour off begin there; a clock that is put back has that hour twice.
    offset = local.utcoffset() or timedelta()
    shift = int(offset.total_seconds()) % TIMES[by]
    return (at + shift) // TIMES[by] * TIMES[by] - shift


def _next(begin: int, by: str, zone: ZoneInfo) -> int:
    if by != "day":
        return begin + TIMES[by]
    # Noon of the next day, whatever the clocks do in between.
    return _midnight(datetime.fromtimestamp(begin + DAY_S + DAY_S // 2, zone), zone)


def _midnight(local: datetime, zone: ZoneInfo) -> int:
    begin = datetime(local.year, local.month, local.day, tzinfo=zone)
    return int(begin.astimezone(UTC).timestamp())
