"""What was recorded once is read for ever: shapes do not change, and golden frames keep their meaning."""

from __future__ import annotations

import json

import msgspec
import pytest

from api import __version__
from orchestrator.event_types import EVENT_TYPES
from orchestrator.events import (
    Cost,
    Event,
    UnknownEvent,
)
from storage.codec import decode_events, read_frame
from storage.upcasting import UPCASTERS
from tests.support import golden
from tests.support.golden_events import EVENTS, PAST, PRESENT

TYPES = {golden.type_name(event_type) for event_type in EVENT_TYPES}


def test_no_shape_has_changed():
    """Fields, their types and their defaults are those of tests/golden/shapes.json."""
    found = golden.faults(golden.read_shapes(), golden.shapes_of(EVENT_TYPES), UPCASTERS.keys(), __version__)

    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_there_is_a_golden_frame_for_every_version():
    """Every type that is in the shapes, and no other, has a file and an event it is read as."""
    files = {file.stem for file in golden.FOLDER.glob("amos.*.json")}

    assert files == golden.read_shapes().keys() - {"Cost"} == EVENTS.keys()
    assert {golden.type_name(event) for event in PRESENT} == TYPES
    assert PAST.keys().isdisjoint(TYPES)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_golden_frame_is_read_as_it_was_meant(name):
    """The journal's JSON of a frame, of whatever version, is exactly the events of today."""
    payload = golden.golden_file(name).read_bytes()

    row, texts, _ = read_frame(payload)
    full, sparse = decode_events(row.events)

    expected = golden.golden_frame(EVENTS[name])
    assert (full, sparse) == expected.events
    assert (row.instance, row.instance_seq, row.stream, row.recorded_at, texts) == (
        (expected.instance, expected.instance_seq, expected.stream, expected.recorded_at, [])
    )


@pytest.mark.parametrize("event", PRESENT, ids=golden.type_name)
def test_a_frame_is_still_written_like_that(event):
    """What is recorded today is the golden frame, byte for byte but for the layout."""
    written = golden.golden_json(golden.golden_frame(event))

    assert written == golden.golden_file(golden.type_name(event)).read_text(encoding="utf-8")


@pytest.mark.parametrize("event", PRESENT, ids=golden.type_name)
def test_a_golden_event_leaves_nothing_out(event):
    """Every field with a default is set to something else, so that a change of any of them is seen."""
    fields = {field.name: field for field in msgspec.structs.fields(event) if not field.required}

    for name, field in fields.items():
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        assert getattr(event, name) != default, name


class Before(Event, frozen=True, kw_only=True, tag="amos.tea.made.v1"):
    """An event as it was released."""

    sort: str
    cups: int = 1
    price: Cost = Cost()


class Renamed(Event, frozen=True, kw_only=True, tag="amos.tea.made.v1"):
    """The same with another name for a field."""

    kind: str
    cups: int = 1
    price: Cost = Cost()


class Retyped(Event, frozen=True, kw_only=True, tag="amos.tea.made.v1"):
    """The same with another type."""

    sort: str
    cups: float = 1
    price: Cost = Cost()


class Redefaulted(Event, frozen=True, kw_only=True, tag="amos.tea.made.v1"):
    """The same with another default."""

    sort: str
    cups: int = 2
    price: Cost = Cost()


class Required(Event, frozen=True, kw_only=True, tag="amos.tea.made.v1"):
    """The same with a field that must be given."""

    sort: str
    cups: int
    price: Cost = Cost()


class Grown(Before, frozen=True, kw_only=True, tag="amos.tea.made.v1"):
    """The same with a further field."""

    is_green: bool = False


class Successor(Event, frozen=True, kw_only=True, tag="amos.tea.made.v2"):
    """The next version."""

    kind: str
    cups: int = 1


RELEASED = golden.shapes_of([Before])
CHANGED = [[Renamed], [Retyped], [Redefaulted], [Required], [Grown], [], [Successor]]


@pytest.mark.parametrize("types", CHANGED)
def test_a_change_is_found_and_may_be_accepted_before_1_0(types):
    """A changed, missing or replaced type is named with the command that accepts it, which then does."""
    present = golden.shapes_of(types)

    found = golden.faults(RELEASED, present, (), "0.9.12")

    assert found
    assert all(golden.COMMAND in fault for fault in found)
    assert golden.accepted(RELEASED, present, (), "0.9.12") == present


@pytest.mark.parametrize("version", ["1.0.0", "1.0.0rc1", "2.3.4", "10.0"])
@pytest.mark.parametrize("types", CHANGED)
def test_a_released_type_is_not_changed_from_1_0_on(types, version):
    """The same changes are refused, by the test and by the command; only a new version helps."""
    present = golden.shapes_of(types)

    (fault,) = [fault for fault in golden.faults(RELEASED, present, (), version) if "v1:" in fault]

    assert "new version" in fault
    with pytest.raises(ValueError, match="new version"):
        golden.accepted(RELEASED, present, (), version)


def test_a_changed_price_is_a_changed_event():
    """What is in an event is part of its shape."""
    written = {**RELEASED, "Cost": {"amount": "float = 0.0"}}

    assert golden.faults(written, golden.shapes_of([Before]), (), "1.2.0")


@pytest.mark.parametrize("version", ["0.9.0", "1.2.0"])
def test_a_new_version_with_a_step_to_it_is_accepted(version):
    """The old shape stays in the file for ever, beside the new one."""
    present = golden.shapes_of([Successor])

    shapes = golden.accepted(RELEASED, present, ["amos.tea.made.v1"], version)

    assert shapes == {**RELEASED, **present}
    assert golden.faults(shapes, present, ["amos.tea.made.v1"], version) == []


def test_a_new_type_is_accepted_from_1_0_on():
    """What was never recorded may be anything; until it is in the file the test says so."""
    present = golden.shapes_of([Before, Successor])

    (fault,) = golden.faults(RELEASED, present, (), "1.0.0")

    assert fault.startswith("amos.tea.made.v2: is new.")
    assert golden.accepted(RELEASED, present, (), "1.0.0") == present


@pytest.mark.parametrize("version", ["0.9.0", "1.0.0"])
def test_the_version_of_amos_is_the_switch(monkeypatch, tmp_path, version):
    """With api/__init__.py at 1.0 the command refuses what it did before, and leaves the files alone."""
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    monkeypatch.setattr(golden, "SHAPES", tmp_path / "shapes.json")
    monkeypatch.setattr(golden, "__version__", version)
    golden.write()
    shapes = golden.read_shapes()
    shapes["amos.cache.hit.v1"]["age_s"] = "int"
    golden.SHAPES.write_bytes(changed := msgspec.json.encode(shapes))

    if golden.is_frozen(version):
        with pytest.raises(ValueError, match=r"cache\.hit\.v1: its shape has changed"):
            golden.write()
        assert golden.SHAPES.read_bytes() == changed
    else:
        golden.write()
        assert golden.read_shapes() == golden.shapes_of(EVENT_TYPES)


def test_a_golden_frame_of_an_unknown_type_would_be_noticed():
    """A frame is not taken for right because nothing in it is understood."""
    frame = json.loads(golden.golden_file("amos.cache.hit.v1").read_text(encoding="utf-8"))
    for envelope in frame["events"]:
        envelope["event"]["type"] = "amos.cache.hit.v9"

    row = read_frame(json.dumps(frame).encode()).row

    assert {envelope.event for envelope in decode_events(row.events)} == {UnknownEvent("amos.cache.hit.v9")}
