"""What was said of providers: histories in, the last word of each provider out."""

from __future__ import annotations

import pytest

from orchestrator.events import Envelope, UnknownEvent
from orchestrator.facts import (
    CircuitClosed,
    ProviderDisabled,
    ProviderEnabled,
    ProviderMoved,
    ProviderRegistered,
    ProviderRemoved,
)
from orchestrator.projections.fold import fold
from orchestrator.projections.registrations import Registrations, Said
from tests.support.histories import NOON, numbered


def new(name="wiki", priority=50, **fields):
    """A provider is registered."""
    return ProviderRegistered(provider=name, kind="engine", priority=priority, by="boss", **fields)


def moved(priority, by="boss", name="wiki"):
    """It gets another place."""
    return ProviderMoved(provider=name, priority=priority, by=by)


def off(by="boss", name="wiki"):
    """It is disabled."""
    return ProviderDisabled(provider=name, by=by)


def on(by="boss", name="wiki"):
    """It is enabled."""
    return ProviderEnabled(provider=name, by=by)


def gone(name="wiki"):
    """It is removed."""
    return ProviderRemoved(provider=name, by="boss")


def said(priority=50, *, is_enabled=True, kind="engine", by="boss", **options):
    """What is known of it then."""
    return Said(kind=kind, options=options, priority=priority, is_enabled=is_enabled, at=NOON, by=by)


HISTORIES = {
    "nothing happened": ((), {}),
    "a provider is registered": ((new(options={"url": "u"}),), {"wiki": said(url="u")}),
    "disabled from the start": ((new(is_enabled=False),), {"wiki": said(is_enabled=False)}),
    "the last place counts": ((new(), moved(7), moved(3, "other")), {"wiki": said(3, by="other")}),
    "the last switch counts": (
        (new(), off(), on(), off("other")),
        {"wiki": said(is_enabled=False, by="other")},
    ),
    "registered again is registered anew": (
        (new(options={"a": 1}), off(), moved(9), new(priority=4)),
        {"wiki": said(4)},
    ),
    "removed is gone": ((new(), moved(7), gone()), {}),
    "removed twice is gone once": ((new(), gone(), gone()), {}),
    "removed and registered again": ((new(), off(), gone(), new(priority=8)), {"wiki": said(8)}),
    "one of the settings is moved": (
        (moved(7),),
        {"wiki": Said(priority=7, at=NOON, by="boss")},
    ),
    "one of the settings is disabled and moved": (
        (off(), moved(7)),
        {"wiki": Said(priority=7, is_enabled=False, at=NOON, by="boss")},
    ),
    "moved after its removal it has no kind": (
        (new(), gone(), moved(7)),
        {"wiki": Said(priority=7, at=NOON, by="boss")},
    ),
    "others are not touched": ((new(), new("papers"), gone()), {"papers": said()}),
    "other facts say nothing of it": (
        (new(), CircuitClosed(provider="wiki"), UnknownEvent("amos.provider.renamed.v1")),
        {"wiki": said()},
    ),
}


@pytest.mark.parametrize(("history", "state"), HISTORIES.values(), ids=HISTORIES)
def test_the_last_word_counts(history, state):
    """What is in force follows from the history alone."""
    envelopes = [Envelope(number, NOON, event) for number, event in enumerate(history, 1)]

    assert fold(Registrations(), envelopes) == state


def test_the_moment_is_that_of_the_last_word():
    """Whoever looks at the list sees when something was last said of a provider."""
    history = (Envelope(1, NOON, new()), Envelope(2, NOON + 5, off()))

    assert fold(Registrations(), history)["wiki"].at == NOON + 5


def test_a_state_is_never_changed():
    """The state before an event is as it was: others may hold it."""
    projection = Registrations()
    before = fold(projection, numbered((new(),)))

    for event in (off(), moved(1), gone(), new("papers")):
        projection.evolve(before, Envelope(2, NOON, event))

    assert before == {"wiki": said()}
