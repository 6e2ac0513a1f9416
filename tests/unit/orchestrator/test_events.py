"""The vocabulary of the log."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.event_types import EVENT_TYPES
from orchestrator.events import (
    FREE,
    CacheMissed,
    Cost,
    Envelope,
    RequestCompleted,
    RequestFailed,
)
from orchestrator.history import has_ended

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
TOKENS = Cost(amount=900.0, unit="tokens", usd_micros=45)


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [
        (FREE, FREE, FREE),
        (CREDIT, FREE, CREDIT),
        (FREE, CREDIT, CREDIT),
        (CREDIT, CREDIT, Cost(amount=2.0, unit="credits", usd_micros=16_000)),
        (CREDIT, TOKENS, Cost(unit="mixed", usd_micros=8_045)),
    ],
)
def test_costs_add(one, other, total):
    """Money always adds; amounts of different units do not."""
    assert one + other == total


def test_type_names_are_versioned_and_unique():
    """Every event has a type name `amos.<area>.<fact>.v<n>` of its own."""
    names = [str(kind.__struct_config__.tag) for kind in EVENT_TYPES]

    assert len(set(names)) == len(names)
    for name in names:
        root, _area, _fact, version = name.split(".")
        assert root == "amos"
        assert version.startswith("v")
        assert version[1:].isdigit()


def test_an_event_is_written_with_its_type():
    """An encoded event says what it is, and leaves out what does not apply."""
    missed = CacheMissed(key="k", reason="absent")

    assert msgspec.json.decode(msgspec.json.encode(missed)) == {
        "type": "amos.cache.missed.v1",
        "key": "k",
        "reason": "absent",
    }


@pytest.mark.parametrize(
    ("event", "is_last"),
    [
        (CacheMissed(key="k", reason="absent"), False),
        (RequestFailed(operation="search", door="rest", error="x", duration_s=0.0), True),
        (
            RequestCompleted(
                operation="search", door="rest", client="c", cache="l1", results=1, duration_s=0.0
            ),
            True,
        ),
    ],
)
def test_an_execution_has_ended_with_its_last_word(event, is_last):
    """Completion or failure is the last word, though later facts may follow it."""
    late = CacheMissed(key="k", reason="absent")

    assert has_ended([Envelope(1, 0.0, event), Envelope(2, 1.0, late)]) is is_last
    assert not has_ended([])
