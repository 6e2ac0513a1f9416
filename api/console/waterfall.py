"""Where the time of one execution went: each step as a bar on the axis of the whole, from its events.

The record has moments, and durations of what was measured. A cache look-up has none of its own: it is drawn
from the fact before it, so checks and limits that came between are within its bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from api.cli.quantities import amount, seconds
from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptHedged,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    Cost,
    Envelope,
    FlightJoined,
    ProviderSkipped,
    RequestCompleted,
    RequestFailed,
    RequestThrottled,
    ResultCached,
    ResultRejected,
    RetryScheduled,
    StaleServed,
)
from orchestrator.projections.sentences import OMISSIONS


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One bar: when it began after the first fact, how long it took, and how it went.

    `state` is `success`, `warn`, `danger`, `info` or `neutral`; `note` is what else there is to say.
    """

    label: str
    start_s: float
    duration_s: float
    state: str
    note: str = ""


class Waterfall(msgspec.Struct, frozen=True):
    """All bars, in the order of the record, and how long the axis is."""

    steps: tuple[Step, ...]
    total_s: float


def waterfall(history: Sequence[Envelope]) -> Waterfall:
    """The bars of an execution, from its envelopes in order of `seq`; none of an execution without any."""
    if not history:
        return Waterfall((), 0.0)
    begun_at = history[0].at
    steps = tuple(_steps(history, begun_at))
    end_s = max((step.start_s + step.duration_s for step in steps), default=0.0)
    last = next((e.event for e in history if isinstance(e.event, RequestCompleted | RequestFailed)), None)
    whole_s = last.duration_s if last is not None else history[-1].at - begun_at
    state = "neutral" if last is None else "success" if isinstance(last, RequestCompleted) else "danger"
    whole = Step(label="Whole call", start_s=0.0, duration_s=whole_s, state=state)
    return Waterfall((*steps, whole), max(end_s, whole_s))


def _steps(history: Sequence[Envelope], begun_at: float) -> Iterator[Step]:
    before_at = begun_at
    for envelope in history:
        start_s = max(envelope.at - begun_at, 0.0)
        event = envelope.event
        match event:
            case CacheHit() | CacheMissed() | StaleServed():
                from_s = max(before_at - begun_at, 0.0)
                yield _look_up(event, from_s, max(start_s - from_s, 0.0))
            case FlightJoined():
                until_s = max(history[-1].at - begun_at, start_s)
                yield Step(
                    label="Wait for the same search",
                    start_s=start_s,
                    duration_s=until_s - start_s,
                    state="info",
                    note=f"asked by {event.leader}",
                )
            case AttemptStarted():
                yield _attempt(event, start_s, history, begun_at)
            case RetryScheduled():
                yield Step(
                    label=f"Pause before {event.provider} again",
                    start_s=start_s,
                    duration_s=event.backoff_s,
                    state="neutral",
                    note=event.reason,
                )
            case _:
                yield from _mark(event, start_s)
        before_at = envelope.at


def _look_up(event: CacheHit | CacheMissed | StaleServed, start_s: float, duration_s: float) -> Step:
    misses = [f"{tier} {reason}" for tier, reason in event.misses.items()]
    if isinstance(event, CacheMissed):
        state, note = "neutral", ", ".join(misses) or event.reason
    elif isinstance(event, CacheHit):
        state, note = "success", ", ".join([*misses, f"{event.tier} hit, {seconds(event.age_s)} old"])
    else:
        state, note = "warn", f"{event.tier} stale, {seconds(event.age_s)} old ({event.cause})"
    return Step(label="Cache", start_s=start_s, duration_s=duration_s, state=state, note=note)


def _attempt(intent: AttemptStarted, start_s: float, history: Sequence[Envelope], begun_at: float) -> Step:
    number = f", call {intent.number}" if intent.number > 1 else ""
    for envelope in history:
        end = envelope.event
        if not isinstance(end, AttemptSucceeded | AttemptFailed):
            continue
        if (end.provider, end.number) != (intent.provider, intent.number):
            continue
        if isinstance(end, AttemptFailed):
            state, said = "danger", [end.reason or end.outcome]
        else:
            state = "success" if end.results else "warn"
            said = ["1 result" if end.results == 1 else f"{end.results} results"]
        said += [text for text in (_price(end.cost), _price(end.assumed, "assumed")) if text]
        return Step(
            label=f"{intent.provider}{number}",
            start_s=start_s,
            duration_s=end.duration_s,
            state=state,
            note=", ".join(said),
        )
    until_s = max(history[-1].at - begun_at, start_s)
    return Step(
        label=f"{intent.provider}{number}",
        start_s=start_s,
        duration_s=until_s - start_s,
        state="warn",
        note="no end is recorded",
    )


def _mark(event: object, start_s: float) -> Iterator[Step]:
    """What took no time of its own."""
    label, note, state = "", "", "neutral"
    match event:
        case ProviderSkipped():
            label, state = f"{event.provider} passed by", "warn"
            note = OMISSIONS.get(event.reason, event.reason)
        case AttemptHedged():
            label, note = "Next provider asked too", f"{event.provider} was slow"
        case RequestThrottled():
            label, note, state = "Limit reached", f"per {event.window}", "danger"
        case ResultRejected():
            label, note, state = "Results dropped", f"{event.dropped} of {event.provider}", "warn"
        case ResultCached():
            label, note = "Kept", f"in {', '.join(event.tiers)} for {seconds(event.ttl_s)}"
    if label:
        yield Step(label=label, start_s=start_s, duration_s=0.0, state=state, note=note)


def _price(cost: Cost, word: str = "") -> str:
    if cost == FREE or not cost.unit:
        return ""
    return f"{amount(cost.amount, cost.unit)} {word}".strip()
