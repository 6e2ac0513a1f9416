"""A projection is a pure function over events: `initial()` is nothing, `evolve(state, event)` one event more.

Two kinds exist. A *projection* in general carries any state (executions.py: one execution explained). A
*rollup* is the additive kind: each event adds some counts under some keys, so states can be summed in any
order, batch by batch, in Python or by an upsert in SQL, and a number never depends on how the events were
cut into batches.

Keys hold strings and integers, counts are integers: sums are exact, and two ways to a report agree to the
digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add as plus
from typing import Any, Protocol, TypeAlias, TypeVar

from orchestrator import limits
from orchestrator.events import (
    Envelope,
    Event,
    UnknownEvent,
)

StateT = TypeVar("StateT")

Key: TypeAlias = tuple[str | int, ...]
"""A moment in epoch seconds (the beginning of a minute, hour or day), then the values of the dimensions."""

Counts: TypeAlias = tuple[int, ...]
"""The values of a rollup's measures, in their order."""

Increment: TypeAlias = tuple[Key, Counts]
"""What one event adds under one key, whose first part is the minute."""

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

EVER = 0
"""The span of time that has no end: one row a key for all of history."""

SPANS_S = (MINUTE_S, HOUR_S, DAY_S, EVER)
"""The stretches of time for which counts are kept, in seconds; they begin at whole multiples, in UTC."""

_MOST = limits.COUNT_MAX


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


class Rollup:
    """An additive projection: its columns, and for each type of event what one of them adds.

    `name` is the table's name and the checkpoint's, `dimensions` and `measures` are the columns in order.
    `adds` is called with the minute in which the event happened, in epoch seconds, and the event. `spans_s`
    are the spans of time for which its counts are kept, `ranked_by` the measures by which keys of a day can
    be found in order.
    """

    name: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    adds: Mapping[type[Event], Callable[[int, Any], Iterable[Increment]]]
    spans_s: tuple[int, ...] = SPANS_S
    ranked_by: tuple[str, ...] = ()

    def initial(self) -> Mapping[Key, Counts]:
        """No counts."""
        return {}

    def evolve(self, state: Mapping[Key, Counts], envelope: Envelope) -> Mapping[Key, Counts]:
        """The counts with those of one more event."""
        return add(state, self.total((envelope,)))

    def total(self, envelopes: Iterable[Envelope]) -> dict[Key, Counts]:
        """The same as `fold(self, envelopes)`, in time proportional to the events instead of their square."""
        tally = Tally((self,))
        for envelope in envelopes:
            tally.add(envelope)
        return tally.counts[self.name]


class Tally:
    """The counts of several rollups over the same events, by minute: the one loop in which all are folded.

    `counts` are the sums of each rollup by its name, `unknown` the events of types that this version does not
    know.
    """

    def __init__(self, rollups: Sequence[Rollup]) -> None:
        self.counts: dict[str, dict[Key, Counts]] = {rollup.name: {} for rollup in rollups}
        self.unknown = 0
        self._adds: dict[type, list[tuple[dict[Key, Counts], Callable[[int, Any], Iterable[Increment]]]]] = {}
        for rollup in rollups:
            for event_type, adds in rollup.adds.items():
                self._adds.setdefault(event_type, []).append((self.counts[rollup.name], adds))

    def add(self, envelope: Envelope) -> bool:
        """Count one event in every rollup; tells whether it could be counted.

        One that cannot be counted adds nothing anywhere: the log holds what processes of any version have
        written, and one absurd number must not end all counting.
        """
        event = envelope.event
        adding = self._adds.get(type(event))
        if adding is None:
            self.unknown += isinstance(event, UnknownEvent)
            return True
        try:
            minute = minute_of(envelope.at)
            found = [(state, *increment) for state, adds in adding for increment in adds(minute, event)]
            for _, key, counts in found:
                # Beyond these no table and no sum could hold them.
                if max(counts) > _MOST or min(counts) < -_MOST or not 0 <= key[0] <= _MOST:  # type: ignore[operator]
                    return False
        except Exception:  # noqa: BLE001 - whatever is wrong with this event, the next one may be sound
            return False
        for state, key, counts in found:
            known = state.get(key)
            if known is None:  # once for each key, not for each event
                key = _storable(key)  # noqa: PLW2901 - from here on it is the key
                known = state.get(key)
            state[key] = counts if known is None else tuple(map(plus, known, counts))
        return True


def add(left: Mapping[Key, Counts], right: Mapping[Key, Counts]) -> dict[Key, Counts]:
    """The sum of two states of one rollup; associative and commutative, with the empty state as zero."""
    state = dict(left)
    for key, counts in right.items():
        known = state.get(key)
        state[key] = counts if known is None else tuple(map(plus, known, counts))
    return state


def _storable(key: Key) -> Key:
    """The key with its names as every table takes them, so that no two keys become one there."""
    for part in key:
        if isinstance(part, str) and (len(part) > limits.NAME_CHARS_MAX or "\0" in part):
            return tuple(_storable_name(name) if isinstance(name, str) else name for name in key)
    return key


def _storable_name(name: str) -> str:
    return name[: limits.NAME_CHARS_MAX].replace("\0", "\ufffd")


def by_span(counts: Mapping[Key, Counts], span_s: int) -> Mapping[Key, Counts]:
    """Counts by the minute, or by any span up to this one, as counts by this one."""
    if span_s == MINUTE_S:
        return counts
    state: dict[Key, Counts] = {}
    for key, value in counts.items():
        longer = (begin_of(int(key[0]), span_s), *key[1:])
        known = state.get(longer)
        state[longer] = value if known is None else tuple(map(plus, known, value))
    return state


def begin_of(at: float, span_s: int) -> int:
    """The beginning of the span that contains the moment, in epoch seconds; `EVER` begins at 0."""
    return int(at // span_s) * span_s if span_s else 0


def minute_of(at: float) -> int:
    """The beginning of the minute that contains the moment, in epoch seconds."""
    return int(at // MINUTE_S) * MINUTE_S


def microseconds(duration_s: float) -> int:
    """A duration as a whole number, so that sums are exact."""
    return round(duration_s * 1_000_000)
