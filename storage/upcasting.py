"""Brings recorded events of past versions to the present one, step by step, whenever they are read.

The log is never rewritten: an event stays what was written, and the code knows only the present shape. When
a type gets a new version, its class takes the new type name and `UPCASTERS` gets the step that leads to it;
docs/events.md, "Versions", has the whole recipe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
"""An event as decoded JSON, with its `type`; fields at their default may be missing."""

Upcaster: TypeAlias = Callable[[Fields], Fields]
"""A pure function from the fields of an event to those of its type's next version; `type` is not its concern.

It may raise LookupError, TypeError or ValueError for an event that is not what its type says.
"""

UPCASTERS: Mapping[str, Upcaster] = {}
"""The steps, by the type they start from: that of `amos.cache.hit.v1` leads to `amos.cache.hit.v2`."""

_VERSIONED = re.compile(r"(?P<name>.+\.v)(?P<version>[1-9][0-9]{0,8})")


def next_version(type_name: str) -> str:
    """The type name of the next version. Raises ValueError for a name without a version."""
    match = _VERSIONED.fullmatch(type_name)
    if match is None:
        raise ValueError("a type name ends in its version, .v1")
    return f"{match['name']}{int(match['version']) + 1}"


def upcast(fields: Fields, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> Fields:
    """The event in the newest version the steps lead to; the same fields if none starts here.

    It always ends, because each step counts the version up. Raises what a step raises.
    """
    while (step := upcasters.get(fields["type"])) is not None:
        fields = {**step(fields), "type": next_version(fields["type"])}
    return fields
