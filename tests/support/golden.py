"""What the record must never stop meaning: the shapes of all events, and a frame of each as it is written.

`tests/golden/shapes.json` says of every event type which fields it has; a frame for each is in
`tests/golden/<type>.json`. After a change of an event or a new one:

    .venv/bin/python -m tests.support.golden

writes both. Before version 1.0 it accepts every change. From 1.0 on it only adds: a type that was released is
in other people's databases, so it stays as it is, and a change is a new version of the type.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from api import __version__
from orchestrator.event_types import EVENT_TYPES
from orchestrator.events import (
    Cost,
    Event,
    Frame,
)
from storage.upcasting import UPCASTERS, next_version
from tests.support.golden_events import EVENTS
from tests.support.histories import NOON, numbered

FOLDER = Path(__file__).resolve().parent.parent / "golden"
SHAPES = FOLDER / "shapes.json"

Shape: TypeAlias = dict[str, str]
"""The fields of a type in their order: their types, and their defaults if they have any."""

Shapes: TypeAlias = dict[str, Shape]

COMMAND = ".venv/bin/python -m tests.support.golden"


def type_name(event: Event | type[Event]) -> str:
    """The name an event is recorded under."""
    return str(event.__struct_config__.tag)


def shape_of(struct: type[msgspec.Struct]) -> Shape:
    """The fields of an event, or of what is in one."""
    return {field.encode_name: _spelled(field) for field in msgspec.structs.fields(struct)}


def _spelled(field: msgspec.structs.FieldInfo) -> str:
    kind = field.type if hasattr(field.type, "__args__") else field.type.__name__
    if field.required:
        return str(kind)
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return f"{kind} = {msgspec.json.encode(default).decode()}"


def shapes_of(types: Sequence[type[Event]]) -> Shapes:
    """The shapes of the event types, and of the value they share."""
    return {"Cost": shape_of(Cost), **{type_name(event_type): shape_of(event_type) for event_type in types}}


def is_frozen(version: str) -> bool:
    """Whether a version of AMOS has made a promise: from 1.0 on a released type never changes."""
    return int(version.partition(".")[0]) >= 1


def faults(written: Shapes, present: Shapes, steps: Collection[str], version: str) -> list[str]:
    """What is wrong between the shapes in the file and those of the code, in sentences; nothing is best.

    `steps` are the types from which an upcaster leads on, `version` is that of AMOS.
    """
    accept = f"`{COMMAND}` accepts it."
    refuse = "It was released: give the type a new version (docs/events.md, Versions)."
    found = [
        f"{name}: its shape has changed. {refuse if is_frozen(version) else accept}"
        for name in sorted(written.keys() & present.keys())
        if list(written[name].items()) != list(present[name].items())
    ]
    found += [f"{name}: is new. {accept}" for name in sorted(present.keys() - written.keys())]
    for name in sorted(written.keys() - present.keys()):
        if not leads_to(name, present.keys(), steps):
            what_next = refuse if is_frozen(version) else accept
            found.append(f"{name}: is gone, and no upcaster leads on. {what_next}")
    return found


def leads_to(name: str, types: Collection[str], steps: Collection[str]) -> bool:
    """Whether events of a past version end as one of the types when they are read."""
    while name in steps:
        name = next_version(name)
    return name in types


def accepted(written: Shapes, present: Shapes, steps: Collection[str], version: str) -> Shapes:
    """What the file is to hold from now on. Raises ValueError if a released type would change."""
    refused = [fault for fault in faults(written, present, steps, version) if "It was released" in fault]
    if refused:
        raise ValueError("\n".join(refused))
    past = {name: shape for name, shape in written.items() if leads_to(name, present.keys(), steps)}
    return dict(sorted((past | present).items()))


def read_shapes() -> Shapes:
    """The file; nothing before there was one."""
    return msgspec.json.decode(SHAPES.read_bytes(), type=Shapes) if SHAPES.exists() else {}


def golden_frame(event: Event) -> Frame:
    """The frame that shows a type: the event with every field, then with the required ones alone."""
    fields = msgspec.structs.fields(event)
    required = {field.name: getattr(event, field.name) for field in fields if field.required}
    return Frame(
        instance="host-71-9f3c21aa",
        instance_seq=1,
        stream="golden",
        recorded_at=NOON,
        events=numbered((event, type(event)(**required))),
    )


def golden_json(frame: Frame) -> str:
    """The frame as the journal holds it, laid out for people."""
    return msgspec.json.format(msgspec.json.encode(frame), indent=2).decode() + "\n"


def golden_file(name: str) -> Path:
    """Where the frame of a type is."""
    assert re.fullmatch(r"amos(\.[a-z_]+)+\.v[0-9]+", name)
    return FOLDER / f"{name}.json"


def write() -> None:
    """Write shapes and frames. Raises ValueError if a released type would change; then nothing is written."""
    present = shapes_of(EVENT_TYPES)
    shapes: Mapping[str, Any] = accepted(read_shapes(), present, UPCASTERS.keys(), __version__)
    FOLDER.mkdir(exist_ok=True)
    SHAPES.write_text(json.dumps(shapes, indent=2) + "\n", encoding="utf-8")
    for name in present.keys() - {"Cost"}:
        if name not in EVENTS:
            raise ValueError(f"{name}: has no event in tests/support/golden_events.py yet.")
        if not (is_frozen(__version__) and golden_file(name).exists()):
            golden_file(name).write_text(golden_json(golden_frame(EVENTS[name])), encoding="utf-8")
    for file in FOLDER.glob("amos.*.json"):
        if file.stem not in shapes:
            file.unlink()


if __name__ == "__main__":
    try:
        write()
    except ValueError as refusal:
        sys.exit(str(refusal))
