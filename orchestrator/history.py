"""What the facts of one execution say together, and what the words in them mean.

Pure functions over envelopes, for stages, projections and surfaces alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    Cost,
    Envelope,
    FlightJoined,
    RefreshStarted,
    RequestCompleted,
    RequestFailed,
    ResultCached,
    StaleServed,
)

CALLERS_OWN = frozenset(
    {
        "caller_error",
        "invalid_request",
        "unauthenticated",
        "permission_denied",
        "rate_limited",
        "budget_exhausted",
        "cannot_warm",
        "provider_conflict",
        "loop_detected",
        "not_offered",
        "url_refused",
        "task_not_found",
        "not_in_cache",
        "not_found",
        "cancelled",
    }
)
"""Codes of failures that are the caller's doing: they ask for the impossible, too often, or leave."""

HITS = frozenset({"l1", "l2"})
"""The values of `cache` that are hits."""

WARMING = "warming"
"""The client and the door of executions without a caller, and why an answer of theirs is fetched."""

_GIVEN = (CacheHit, StaleServed)  # a union written below would be built for each event of each hit


def has_ended(envelopes: Iterable[Envelope]) -> bool:
    """Whether the last word of an execution, RequestCompleted or RequestFailed, is among them."""
    return any(isinstance(envelope.event, RequestCompleted | RequestFailed) for envelope in envelopes)


def last_word(envelopes: Sequence[Envelope]) -> RequestCompleted | RequestFailed | None:
    """The last word of an execution, which is not always its last event; `None` if it has not ended."""
    for envelope in reversed(envelopes):
        if isinstance(envelope.event, RequestCompleted | RequestFailed):
            return envelope.event
    return None


def closing(envelopes: Sequence[Envelope]) -> RequestCompleted:
    """The last word on an answered call, which has its times; an answer leaves only behind it."""
    word = last_word(envelopes)
    assert isinstance(word, RequestCompleted), "an answered call has its last word"
    return word


def has_no_caller(envelopes: Sequence[Envelope]) -> bool:
    """Whether it is an execution that warming began: it has no last word, and ends with a frame.

    A frame is written when an attempt is about to begin, or when all is over. So it is over when none of its
    attempts is open.
    """
    first = envelopes[0].event if envelopes else None
    return isinstance(first, RefreshStarted) and first.cause == WARMING


def has_refreshed(envelopes: Iterable[Envelope]) -> bool:
    """Whether an execution has led to a fresh answer in the cache, by itself or by the one it waited for."""
    return any(isinstance(envelope.event, ResultCached | FlightJoined) for envelope in envelopes)


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
    """What providers may bill for one execution without having said so: of ended and open attempts."""
    events = (envelope.event for envelope in envelopes)
    ended = (event.assumed for event in events if isinstance(event, AttemptSucceeded | AttemptFailed))
    return sum((*ended, *(intent.estimate for intent in unsettled(envelopes))), FREE)


def saved(envelopes: Iterable[Envelope]) -> Cost:
    """What the cached answers of one execution had cost when they were fetched."""
    return sum(
        (envelope.event.saved for envelope in envelopes if isinstance(envelope.event, _GIVEN)),
        FREE,
    )
