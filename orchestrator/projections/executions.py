"""One execution explained: what was asked, who was tried, what came of it, what it cost, and why.

This projection is folded when somebody asks, from the frames of one execution; it is stored nowhere, so
that an answer from the cache costs one SQL row and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    CallerAuthenticated,
    Cost,
    Envelope,
    FlightJoined,
    ProviderSkipped,
    RefreshStarted,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    StaleServed,
)
from orchestrator.history import WARMING, assumed, has_no_caller, has_refreshed, saved, spent, unsettled
from orchestrator.model import Attempt
from orchestrator.projections.fold import fold
from orchestrator.projections.sentences import sentences

UNSETTLED = "unsettled"
"""The outcome of an attempt, or the status of an execution, whose end was never recorded."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as people ask about it.

    `status` is `answered`, `failed` or `unsettled` (its last word is not recorded: it is under way, or its
    process died). `ended_at` and the durations are `None` until then. `gateway_s` is the stay minus the
    wait for providers. `cost` is what providers billed, `assumed` the estimate of calls that may have been
    billed and whose bill or outcome is missing, `saved` what cached answers had cost. `why` is the story in
    sentences, in order.
    """

    status: str = UNSETTLED
    operation: str = ""
    door: str = ""
    dialect: str = ""
    topic: str = ""
    client: str = ""
    trace_id: str = ""
    parent_span_id: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    duration_s: float | None = None
    upstream_s: float | None = None
    gateway_s: float | None = None
    provider: str = ""
    cache: str = ""
    keys: tuple[str, ...] = ()
    leader: str = ""
    results: int = 0
    error: str = ""
    is_degraded: bool = False
    is_stale: bool = False
    is_fallback: bool = False
    cost: Cost = FREE
    assumed: Cost = FREE
    saved: Cost = FREE
    attempts: tuple[Attempt, ...] = ()
    why: tuple[str, ...] = ()


class ExecutionProjection:
    """Folds what the events of one execution say about the whole; `explain` adds lists and sums."""

    def initial(self) -> Explanation:
        """An execution of which nothing is known."""
        return Explanation()

    def evolve(self, state: Explanation, envelope: Envelope) -> Explanation:
        """The explanation after one more event."""
        changes = _changes(state, envelope)
        return msgspec.structs.replace(state, **changes) if changes else state


def explain(envelopes: Iterable[Envelope]) -> Explanation:
    """The explanation of one execution, from all its envelopes in order of `seq`."""
    history = tuple(envelopes)
    state = fold(ExecutionProjection(), history)
    if has_no_caller(history):
        state = msgspec.structs.replace(state, **_without_caller(history))
    return msgspec.structs.replace(
        state,
        attempts=attempts(history),
        cost=spent(history),
        assumed=assumed(history),
        saved=saved(history),
        why=sentences(history),
    )


def _without_caller(history: Sequence[Envelope]) -> dict[str, Any]:
    """What warming's executions have no first and last word to tell."""
    whose = {"operation": "search", "door": WARMING, "client": WARMING, "started_at": history[0].at}
    if unsettled(history):
        return whose
    status = "answered" if has_refreshed(history) else "failed"
    ended_at = history[-1].at
    return {**whose, "status": status, "ended_at": ended_at, "duration_s": ended_at - history[0].at}


def attempts(envelopes: Iterable[Envelope]) -> tuple[Attempt, ...]:
    """Every call to a provider and every omission, in the order in which they began.

    An answered attempt has the outcome `success`, or `empty` if it found nothing, and no reason; a failed
    one its judgement and cause; an omitted provider the outcome `skipped`; an attempt still under way, or
    one whose process died, `unsettled` with a duration of 0.
    """
    lines: dict[tuple[str, int], Attempt] = {}
    for order, envelope in enumerate(envelopes):
        match envelope.event:
            case AttemptStarted() as started:
                lines[started.provider, started.number] = _line(started.provider, UNSETTLED, "", 0.0)
            case AttemptSucceeded() as done:
                outcome = "success" if done.results else "empty"
                lines[done.provider, done.number] = _line(done.provider, outcome, "", done.duration_s)
            case AttemptFailed() as failed:
                lines[failed.provider, failed.number] = _line(
                    failed.provider, failed.outcome, failed.reason, failed.duration_s
                )
            case ProviderSkipped() as skipped:
                # An omission has no number; its place in the history, negative, is a key nobody else has.
                lines[skipped.provider, -order] = _line(skipped.provider, "skipped", skipped.reason, 0.0)
            case _:
                pass
    return tuple(lines.values())


def _line(provider: str, outcome: str, reason: str, duration_s: float) -> Attempt:
    return Attempt(provider=provider, outcome=outcome, reason=reason, duration_s=duration_s)


def _changes(state: Explanation, envelope: Envelope) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    match envelope.event:
        case RequestReceived() as received:
            changes = _begin(envelope.at, received)
        case CallerAuthenticated() as known:
            changes = {"client": known.client}
        case CacheHit(key=key) | CacheMissed(key=key) | StaleServed(key=key) | RefreshStarted(key=key) if (
            key not in state.keys
        ):
            changes = {"keys": (*state.keys, key)}
        case FlightJoined() as joined:
            changes = {"leader": joined.leader}
        case RequestCompleted() as completed:
            changes = {
                "status": "answered",
                "provider": completed.provider,
                "cache": completed.cache,
                "results": completed.results,
                "is_degraded": completed.degraded,
                "is_stale": completed.stale,
                "is_fallback": completed.fallback,
                **_end(envelope.at, completed),
            }
        case RequestFailed() as failed:
            changes = {"status": "failed", "error": failed.error, **_end(envelope.at, failed)}
        case _:
            pass
    return changes


def _begin(at: float, first: RequestReceived) -> dict[str, Any]:
    return {
        "operation": first.operation,
        "door": first.door,
        "dialect": first.dialect,
        "topic": first.topic,
        "trace_id": first.trace_id,
        "parent_span_id": first.parent_span_id,
        "started_at": at,
    }


def _end(at: float, last: RequestCompleted | RequestFailed) -> dict[str, Any]:
    return {
        "operation": last.operation,
        "door": last.door,
        "client": last.client,
        "topic": last.topic,
        "ended_at": at,
        "duration_s": last.duration_s,
        "upstream_s": last.upstream_s,
        "gateway_s": max(last.duration_s - last.upstream_s, 0.0),
    }
