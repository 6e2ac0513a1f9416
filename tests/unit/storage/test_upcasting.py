"""Events of past versions are read as events of the present one, and what cannot be brought there is kept."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.events import (
    Envelope,
    Event,
    UnknownEvent,
)
from storage.codec import EventDecoder
from storage.upcasting import next_version, upcast
from tests.support.histories import NOON


class TeaMade(Event, frozen=True, kw_only=True, tag="amos.tea.made.v3"):
    """An event in its third version."""

    sort: str
    amount_ml: int
    strength: float = 1.0


class TeaDrunk(Event, frozen=True, kw_only=True, tag="amos.tea.drunk.v1"):
    """An event that has had no other version."""

    by: str


def cups_to_ml(fields):
    """From v1, which counted cups."""
    rest = {name: value for name, value in fields.items() if name != "cups"}
    return {**rest, "amount_ml": fields["cups"] * 250}


def name_to_sort(fields):
    """From v2, which called the sort its name."""
    rest = {name: value for name, value in fields.items() if name != "name"}
    return {**rest, "sort": fields["name"]}


STEPS = {"amos.tea.made.v1": cups_to_ml, "amos.tea.made.v2": name_to_sort}
decoder = EventDecoder((TeaMade, TeaDrunk), STEPS)


def read(*events):
    """The events as the decoder reads them from a row."""
    row = [{"seq": number, "at": NOON, "event": event} for number, event in enumerate(events, 1)]
    decoded = decoder.decode(msgspec.json.encode(row).decode())
    assert [(envelope.seq, envelope.at) for envelope in decoded] == [(n + 1, NOON) for n in range(len(row))]
    assert all(type(envelope) is Envelope for envelope in decoded)
    return [envelope.event for envelope in decoded]


def test_every_past_version_is_read_as_the_present_one():
    """The steps are taken one after the other, whatever version the event begins at."""
    first = {"type": "amos.tea.made.v1", "name": "assam", "cups": 2}
    second = {"type": "amos.tea.made.v2", "name": "assam", "amount_ml": 500, "strength": 0.5}
    third = {"type": "amos.tea.made.v3", "sort": "assam", "amount_ml": 500}

    assert read(first, second, third) == [
        TeaMade(sort="assam", amount_ml=500),
        TeaMade(sort="assam", amount_ml=500, strength=0.5),
        TeaMade(sort="assam", amount_ml=500),
    ]


def test_old_and_new_stand_side_by_side():
    """A row with an old event keeps its others as they are, also those nobody knows."""
    old = {"type": "amos.tea.made.v1", "name": "assam", "cups": 1}
    drunk = {"type": "amos.tea.drunk.v1", "by": "anna"}
    unknown = {"type": "amos.tea.spilt.v1", "on": "floor"}

    assert read(drunk, old, unknown) == [
        TeaDrunk(by="anna"),
        TeaMade(sort="assam", amount_ml=250),
        UnknownEvent("amos.tea.spilt.v1"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "amos.tea.made.v1", "name": "assam"},
        {"type": "amos.tea.made.v1", "name": "assam", "cups": {}},
        {"type": "amos.tea.made.v1", "name": 7, "cups": 1},
        {"type": "amos.tea.made.v2"},
        {"type": "amos.tea.made.v3", "sort": "assam"},
        {"type": "amos.tea.made.v4", "sort": "assam", "amount_ml": 500},
    ],
)
def test_what_a_step_cannot_take_is_an_unknown_event(broken):
    """A damaged old event and a newer version are passed over under the name they were written with."""
    assert read(broken) == [UnknownEvent(broken["type"])]


def test_steps_end_where_none_follows():
    """An event for which there is no step stays the object it was."""
    fields = {"type": "amos.tea.drunk.v1", "by": "anna"}

    assert upcast(fields, STEPS) is fields


def test_a_step_leaves_what_it_is_given_alone():
    """The fields that were read are not changed by bringing them up to date."""
    fields = {"type": "amos.tea.made.v1", "name": "assam", "cups": 2}

    upcast(fields, STEPS)

    assert fields == {"type": "amos.tea.made.v1", "name": "assam", "cups": 2}


def test_the_version_is_counted_up():
    """Ten follows nine; a name without a version has no next one."""
    assert next_version("amos.tea.made.v9") == "amos.tea.made.v10"
    for name in ("amos.tea.made", "amos.tea.made.v0", "amos.tea.made.vx", ".v1"):
        with pytest.raises(ValueError, match="version"):
            next_version(name)
