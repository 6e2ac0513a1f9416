"""What one execution cost, added up from its events: billed, perhaps billed, and saved by the cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.cost import FREE, Cost
from orchestrator.events import AttemptFailed, AttemptStarted, AttemptSucceeded, CacheHit, Envelope


def unsettled(envelopes: Iterable[Envelope]) -> list[AttemptStarted]:
    """The intents whose outcome is not recorded: the call is under way, or its process died in it."""
    open_: dict[tuple[str, int], AttemptStarted] = {}
    for envelope in envelopes:
        match envelope.event:
            case AttemptStarted() as started:
                open_[started.provider, started.number] = started
            case AttemptSucceeded() | AttemptFailed() as ended:
                open_.pop((ended.provider, ended.number), None)
            case _:
                pass
    return list(open_.values())


def spent(envelopes: Iterable[Envelope]) -> Cost:
    """What providers billed for one execution, for answers and for failures."""
    events = (envelope.event for envelope in envelopes)
    return sum((event.cost for event in events if isinstance(event, AttemptSucceeded | AttemptFailed)), FREE)


def assumed(envelopes: Sequence[Envelope]) -> Cost:
    """What providers may have billed for one execution without saying so: of failures and open intents."""
    events = (envelope.event for envelope in envelopes)
    failed = (event.assumed for event in events if isinstance(event, AttemptFailed))
    return sum((*failed, *(intent.estimate for intent in unsettled(envelopes))), FREE)


def saved(envelopes: Iterable[Envelope]) -> Cost:
    """What the cached answers of one execution had cost when they were fetched."""
    return sum((envelope.event.saved for envelope in envelopes if isinstance(envelope.event, CacheHit)), FREE)
