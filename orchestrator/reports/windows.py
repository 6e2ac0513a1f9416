"""How a window of time is put together from counts that are kept by the minute, the hour and the day.

A month is thirty days' rows and a few hours' at its ends, not forty thousand minutes'. Minutes are kept for
some days and hours for some months; where only longer spans are left a window is widened to them, and the
report says to which. Days of a time zone are sums of hours, so they are exact for as long as hours are kept.

Groups are as a clock on a wall of the zone shows them: a day may have 23 or 25 hours, an hour that the clocks
repeat is there twice, and where they are changed within an hour, it ends there.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.errors import InvalidRequest
from orchestrator.projections.fold import DAY_S, HOUR_S, MINUTE_S
from orchestrator.reports.report import TIMES, Question

GROUPS_MAX = 1_500
"""chosen: a day by the minute, two months by the hour; a longer series shows less than a coarser one."""

LONGEST_FIRST = (DAY_S, HOUR_S, MINUTE_S)


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

    `kept_from` says from which moment on a span's rows are complete (a span not named is complete; days
    always are). `spans_s` are the spans the counts are kept for. Raises InvalidRequest for an unknown zone or
    grouping by time that the kept spans cannot give, and for more than `GROUPS_MAX` groups.
    """
    grains = _grains(kept_from, spans_s)
    since, until = _widened(question.since, question.until, grains)
    if question.by not in TIMES:
        return Window(since, until, tuple(_cover(0, since, until, grains)))
    pieces: list[Piece] = []
    for begin, end in pairwise(_bounds(question, since, until)):
        low, high = max(begin, since), min(end, until)
        if _widened(low, high, grains) != (low, high):
            raise InvalidRequest(
                f"by: so far back there are no counts by the {question.by} in the zone {question.time_zone}; "
                "ask for a later window or a coarser grouping.",
                field="by",
            )
        pieces += _cover(begin, low, high, grains)
    return Window(since, until, tuple(pieces))


def groups_of(question: Question) -> tuple[int, ...]:
    """Where all groups of a question by time begin, also those without events; the first may begin before it.

    Raises InvalidRequest for an unknown zone and for more than `GROUPS_MAX` groups.
    """
    return tuple(_bounds(question, math.floor(question.since), math.ceil(question.until))[:-1])


def zone_of(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises InvalidRequest."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest("tz: expected a time zone such as Europe/Berlin or UTC.", field="tz") from error


def in_its_zone(figures: Mapping[str, Any], question: Question) -> dict[str, Any]:
    """The figures with the zone they were asked for in, and groups of time also as its clocks show them."""
    since, until, by = figures["since"], figures["until"], question.by
    told = {"since": since, "until": until, "tz": question.time_zone, **figures}
    if by in TIMES:
        zone = zone_of(question.time_zone)
        times = {
            begin: datetime.fromtimestamp(begin, zone).isoformat()
            for begin in {row[by] for row in figures["rows"]}
        }
        told["rows"] = [{by: row[by], "time": times[row[by]], **row} for row in figures["rows"]]
    return told


class Grain(NamedTuple):
    """From `kept_from` on there are complete rows of `span_s`."""

    kept_from: int
    span_s: int


def _grains(kept_from: Mapping[int, int], spans_s: Sequence[int]) -> list[Grain]:
    """The spans, the longest first, each from a moment on at which the longer ones begin too."""
    grains: list[Grain] = []
    for span_s in LONGEST_FIRST:
        if span_s in spans_s:
            longest_s = grains[0].span_s if grains else span_s
            kept = _up(kept_from.get(span_s, 0), longest_s) if grains else 0
            grains.append(Grain(max(kept, grains[-1].kept_from if grains else 0), span_s))
    return grains


def _widened(since: float, until: float, grains: Sequence[Grain]) -> tuple[int, int]:
    """The window to whole stretches of the shortest span that there is at either end."""
    first, last = (
        next(grain.span_s for grain in reversed(grains) if grain.kept_from <= at) for at in (since, until)
    )
    return math.floor(since / first) * first, _up(until, last)


def _cover(group: int, since: int, until: int, grains: Sequence[Grain]) -> Iterator[Piece]:
    """The fewest pieces that are exactly [since, until): days, then hours at its ends, minutes at theirs."""
    spans = [grain.span_s for grain in grains]
    while since < until:
        place = next(n for n, span_s in enumerate(spans) if since % span_s == 0 and since + span_s <= until)
        high = until // spans[place] * spans[place]
        if place:  # where the next longer span begins, it takes over
            high = min(high, _up(since + 1, spans[place - 1]))
        yield Piece(group, spans[place], since, high)
        since = high


def _up(at: float, span_s: int) -> int:
    return math.ceil(at / span_s) * span_s


def _bounds(question: Question, since: int, until: int) -> list[int]:
    """Where the groups begin, and where the last one ends."""
    if (until - since) / TIMES[question.by] > GROUPS_MAX:
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
    """The beginning of the group in which a moment lies."""
    if by == "day":
        return _midnight(datetime.fromtimestamp(at, zone), zone)
    if by == "minute":  # everywhere the same: zones are off by whole minutes since 1972
        return at // MINUTE_S * MINUTE_S
    offset = _offset_s(at, zone)
    begin = at - (at + offset) % HOUR_S
    return begin if _offset_s(begin, zone) == offset else _change(begin, at, zone)


def _next(begin: int, by: str, zone: ZoneInfo) -> int:
    """The beginning of the group after the one that begins there."""
    if by == "day":
        # Noon of the next day, whatever the clocks do in between.
        return _midnight(datetime.fromtimestamp(begin + DAY_S + DAY_S // 2, zone), zone)
    if by == "minute":
        return begin + MINUTE_S
    offset = _offset_s(begin, zone)
    end = begin + HOUR_S - (begin + offset) % HOUR_S
    return end if _offset_s(end, zone) == offset else _change(begin, end, zone)


def _midnight(local: datetime, zone: ZoneInfo) -> int:
    begin = datetime(local.year, local.month, local.day, tzinfo=zone)
    return int(begin.astimezone(UTC).timestamp())


def _offset_s(at: int, zone: ZoneInfo) -> int:
    """How many seconds the zone's clocks are ahead of UTC."""
    return int((datetime.fromtimestamp(at, zone).utcoffset() or timedelta()).total_seconds())


def _change(low: int, high: int, zone: ZoneInfo) -> int:
    """The moment in (`low`, `high`] at which the clocks are changed."""
    before = _offset_s(low, zone)
    after = range(low + 1, high + 1)
    return after[bisect_left(after, 1, key=lambda at: int(_offset_s(at, zone) != before))]
