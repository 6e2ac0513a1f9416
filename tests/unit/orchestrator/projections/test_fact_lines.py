"""The line of a fact that belongs to no execution."""

from __future__ import annotations

import pytest

from orchestrator import facts
from orchestrator.event_types import EVENT_TYPES
from orchestrator.events import Envelope, UnknownEvent
from orchestrator.facts import BudgetStopped, CircuitOpened, KeyRevoked
from orchestrator.projections.fact_lines import FACTS, fact_line
from orchestrator.projections.log_lines import ERROR, INFO, WARNING
from tests.support.golden_events import EVENTS

FACT_TYPES = [one for one in EVENT_TYPES if one.__module__ == facts.__name__]


def line_of(fact):
    """The line of a fact."""
    line = fact_line("w-1", Envelope(1, 5.0, fact))
    assert line is not None, fact
    return line


@pytest.mark.parametrize("kind", FACT_TYPES, ids=lambda kind: kind.__name__)
def test_every_fact_has_a_line(kind):
    """A new one without a sentence is named here."""
    line = line_of(next(event for event in EVENTS.values() if type(event) is kind))

    assert line.logger == line.fields["event"]["dataset"] == FACTS
    assert line.message.isprintable()


def test_what_a_fact_says_of_whom():
    """Who did it is the user; what was done is the action; the level is how bad it is."""
    revoked = line_of(KeyRevoked(key_id="k1", client="acme", by="boss\n"))
    stopped = line_of(BudgetStopped(account="all", period="2026-11", spent=1, limit=1))
    opened = line_of(CircuitOpened(provider="tavily", reason="failures", cooldown_s=30.0))

    assert revoked.message == "key k1 of acme revoked by boss\\n"
    assert revoked.fields == {
        "event": {
            "kind": "event",
            "dataset": "amos.fact",
            "action": "key.revoked",
            "category": ["iam"],
            "type": ["deletion"],
        },
        "user": {"name": "boss\\n"},
        "amos": {"client": "acme", "key_id": "k1"},
    }
    assert (revoked.level, stopped.level, opened.level) == (INFO, ERROR, WARNING)
    assert opened.fields["event"]["reason"] == "failures"


def test_what_a_later_version_has_recorded_has_no_line():
    """It is passed over, as by every fold."""
    assert fact_line("w-1", Envelope(1, 5.0, UnknownEvent("amos.new.thing.v1"))) is None
