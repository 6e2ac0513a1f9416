"""A projection is a pure function over events: `initial()` is nothing, `evolve(state, event)` one event more.

Two kinds exist. A *projection* in general carries any state (executions.py: one execution explained). A
*rollup* is the additive kind: each event adds some counts under some keys, so states can be summed in any
order, batch by batch, in Python or by an upsert in SQL, and a number never depends on how the events were
cut into batches.

Keys hold strings and integers, counts are integers: sums are exact, and two ways to a report agree to the
digit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

from orchestrator import limits
from orchestrator.events import Envelope

StateT = TypeVar("StateT")

Key: TypeAlias = tuple[str | int, ...]
"""The values of a rollup's dimensions, in their order; the first is the minute."""

Counts: TypeAlias = tuple[int, ...]
"""The values of a rollup's measures, in their order."""

Increment: TypeAlias = tuple[Key, Counts]
"""What one event adds under one key."""

MINUTE_S = 60
"""Rollups count by the minute: the finest grain a chart of a day can show."""

SPANS = {"minute": MINUTE_S, "hour": 3_600, "day": 86_400}
"""By which stretches of time a report can be grouped, in seconds; they begin at whole multiples, in UTC."""


class Projection(Protocol[StateT]):
    """Turns a history into a state. Total: an event it does not know leaves the state as it was."""

    def initial(self) -> StateT:
        """The state of an empty history."""

    def evolve(self, state: StateT, envelope: Envelope) -> StateT:
        """The state after one more event. Changes neither argument."""


def fold(projection: Projection[StateT], envelopes: Iterable[Envelope]) -> StateT:
    """The state after a whole history, oldest event first."""
    state = projection.initial()
    for envelope in envelopes:
        state = projection.evolve(state, envelope)
    return state


class Rollup(ABC):
    """An additive projection: subclasses name their columns and say what one event adds.

    `name` is the table's name and the checkpoint's, `dimensions` and `measures` are the columns in order. The
    first dimension is always `minute`: epoch seconds of the minute in which the event happened.
    """

    name: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]

    @abstractmethod
    def increments(self, envelope: Envelope) -> Iterator[Increment]:
        """What this event adds; nothing for an event that is none of the rollup's business."""

    @abstractmethod
    def report(self, counts: Mapping[Key, Counts], by: str) -> dict[str, Any]:
        """What the counts say, as JSON; `by` is a dimension or a span to group by, `""` for none."""

    def initial(self) -> Mapping[Key, Counts]:
        """No counts."""
        return {}

    def evolve(self, state: Mapping[Key, Counts], envelope: Envelope) -> Mapping[Key, Counts]:
        """The counts with those of one more event."""
        return add(state, self.total((envelope,)))

    def total(
        self, envelopes: Iterable[Envelope], pass_over: Callable[[Envelope], object] = lambda _: None
    ) -> dict[Key, Counts]:
        """The same as `fold(self, envelopes)`, in time proportional to the events instead of their square.

        An event that cannot be counted is told to `pass_over` and adds nothing: the log holds what processes
        of any version have written, and one absurd number must not end all counting.
        """
        state: dict[Key, Counts] = {}
        for envelope in envelopes:
            try:
                increments = _countable(self.increments(envelope))
            except Exception:  # noqa: BLE001 - whatever is wrong with this event, the next one may be sound
                pass_over(envelope)
                continue
            for key, counts in increments:
                known = state.get(key)
                state[key] = counts if known is None else _sum(known, counts)
        return state


def add(left: Mapping[Key, Counts], right: Mapping[Key, Counts]) -> dict[Key, Counts]:
    """The sum of two states of one rollup; associative and commutative, with the empty state as zero."""
    state = dict(left)
    for key, counts in right.items():
        known = state.get(key)
        state[key] = counts if known is None else _sum(known, counts)
    return state


def _countable(increments: Iterable[Increment]) -> tuple[Increment, ...]:
    """The increments, all of them within what tables and sums can hold. Raises ValueError."""
    found = tuple(increments)
    for key, counts in found:
        numbers = (*counts, *(part for part in key if isinstance(part, int)))
        if not all(-limits.COUNT_MAX <= number <= limits.COUNT_MAX for number in numbers):
            raise ValueError("an event adds more than any real one can")
    return found


def minute_of(at: float) -> int:
    """The start of the minute that contains the moment, in epoch seconds."""
    return int(at // MINUTE_S) * MINUTE_S


def grouped(
    counts: Mapping[Key, Counts], dimensions: tuple[str, ...], by: str
) -> dict[str | int, list[Increment]]:
    """The counts by the values of one dimension, or by one of `SPANS`, in order of the values."""
    span_s = SPANS.get(by)
    where = dimensions.index("minute" if span_s else by)
    groups: dict[str | int, list[Increment]] = {}
    for key, value in sorted(counts.items()):
        group = int(key[where]) // span_s * span_s if span_s else key[where]
        groups.setdefault(group, []).append((key, value))
    return dict(sorted(groups.items()))


def ratio(part: int, whole: int) -> float | None:
    """A share from 0 to 1; `None` of nothing, because nothing was asked and no number would be true."""
    return part / whole if whole else None


def _sum(left: Counts, right: Counts) -> Counts:
    return tuple(a + b for a, b in zip(left, right, strict=True))
