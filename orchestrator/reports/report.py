"""What all reports have in common: what is asked, which sums a report needs, and how it reads them.

A report knows no database. It names the sums it needs (`needs`), gets them (`render`) and says what they
mean. The same function makes a report from a fold by hand, so a report can be checked against the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from orchestrator.events import Event, UnknownEvent
from orchestrator.projections.fold import DAY_S, HOUR_S, MINUTE_S, Key, Rollup

TIMES = {"minute": MINUTE_S, "hour": HOUR_S, "day": DAY_S}
"""By which stretches of time a report can be grouped, in seconds."""

LIMIT_DEFAULT = 20
"""chosen: rows of a ranking that fit on a screen."""

LIMIT_MAX = 1_000
"""chosen: a longer ranking is an export."""


Among: TypeAlias = tuple[str, tuple[str, ...]]
"""A dimension, and those of its values that count."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to know: a window of epoch seconds, and how the figures shall be grouped.

    `by` is `""` for no groups. `limit` bounds rankings; time series are never cut. `time_zone` is an IANA
    name; it says where days and hours begin. `ranked_by` names the measures whose rankings are wanted, if not
    all are; `among` a dimension and the values of it that are wanted, where figures are told by it. The
    others stay empty, and cost nothing.
    """

    since: float
    until: float
    by: str = ""
    limit: int = LIMIT_DEFAULT
    time_zone: str = "UTC"
    ranked_by: tuple[str, ...] = ()
    among: Among | None = None


class Need(NamedTuple):
    """Sums of one rollup, by some of its dimensions.

    The first of the dimensions may be one of `TIMES`: its values are then beginnings of the groups, in epoch
    seconds. With `has_buckets` the `Buckets` of the durations follow the measures: a need of a rollup that
    has this dimension. `only` names the measures that are needed, if not all are; `among` a dimension
    and the values of it that count, if not all do.

    With `ranked_by`, a measure, only the largest sums of it are needed, at most the question's `limit` and
    none of zero; of equals those whose key sorts first. `text` after the dimension `key` is the text of that
    query, `""` where none is kept.
    """

    rollup: Rollup
    dimensions: tuple[str, ...]
    ranked_by: str = ""
    has_buckets: bool = False
    only: tuple[str, ...] = ()
    among: Among | None = None

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that are added up: those of `only`, or all."""
        return self.only or self.rollup.measures


class Facts(NamedTuple):
    """The newest facts of some streams, at most the question's `limit`.

    A stream is the prefix and a value of a dimension that the rollup has ever had.
    """

    stream_prefix: str
    rollup: Rollup
    dimension: str


class Fact(NamedTuple):
    """One event outside of executions: its stream, who wrote it, when, and what."""

    stream: str
    instance: str
    at: float
    event: Event | UnknownEvent


class Buckets(NamedTuple):
    """Buckets of durations and the calls in each, in any order, a bucket perhaps several times.

    Two lists of integers, because a report may have half a million of them.
    """

    indexes: list[int]
    calls: list[int]

    def plus(self, more: Buckets) -> Buckets:
        """Both together."""
        return Buckets(self.indexes + more.indexes, self.calls + more.calls)


def buckets_of(rows: Iterable[Row]) -> Buckets:
    """The buckets of all the rows together."""
    found = [row["buckets"] for row in rows]
    return Buckets(
        [index for buckets in found for index in buckets.indexes],
        [calls for buckets in found for calls in buckets.calls],
    )


Sums: TypeAlias = Mapping[Key, tuple[Any, ...]]
"""The sums of a need: the values of its dimensions, and its measures, integers; and the buckets,
if it has them."""

Row: TypeAlias = Mapping[str, Any]
"""One key and its counts, by the names of the columns."""


class Report(Protocol):
    """One report. `by` are the groupings it has, besides `""`."""

    name: str
    by: tuple[str, ...]

    def needs(self, by: str) -> tuple[Need | Facts, ...]:
        """The sums and facts from which it is made."""

    def render(self, sums: Sequence[Any], by: str, limit: int) -> dict[str, Any]:
        """The figures, as JSON. `sums` has `Sums`, or a list of `Fact`, in the order of `needs`."""


def rows_of(need: Need, sums: Sums) -> list[Row]:
    """The sums of a need as rows, in the order of their keys."""
    names = (*need.dimensions, *need.measures, *(("buckets",) if need.has_buckets else ()))
    return [dict(zip(names, key + sums[key], strict=True)) for key in sorted(sums)]


def total(rows: Iterable[Row], measure: str, **where: str) -> int:
    """The sum of a measure over the rows that have these values."""
    return sum([row[measure] for row in _matching(rows, where)])


def by_value(rows: Iterable[Row], column: str, measure: str = "calls", **where: str) -> dict[str, int]:
    """The sums of a measure by the values of a column, in their order, over rows that have these values."""
    sums: dict[str, int] = {}
    for row in _matching(rows, where):
        sums[row[column]] = sums.get(row[column], 0) + row[measure]
    return dict(sorted(sums.items()))


def _matching(rows: Iterable[Row], where: Mapping[str, str]) -> Iterable[Row]:
    # One column after the other: a report of some hundred groups asks this some thousand times.
    for name, value in where.items():
        rows = [row for row in rows if row[name] == value]
    return rows


def grouped(rows: Iterable[Row], column: str) -> dict[Any, list[Row]]:
    """The rows by the values of a column, in order of the values."""
    return _grouped(rows, itemgetter(column))


def grouped_by(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    """The rows by the values of several columns, in order of the values."""
    return _grouped(rows, lambda row: tuple([row[column] for column in columns]))


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return dict(sorted(groups.items()))


def mean_s(total_us: int, calls: int) -> float | None:
    """The mean of durations in seconds, from their sum in microseconds; `None` of none."""
    return total_us / calls / 1_000_000 if calls else None


def ratio(part: int, whole: int) -> float | None:
    """The share of a part; `None` of nothing, because 0 % and 100 % would both be a claim."""
    return part / whole if whole else None
