"""Providers: how calls to them ended, which answers were theirs, and what their circuits did."""

from __future__ import annotations

from orchestrator.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptHedged,
    AttemptSucceeded,
    ProviderSkipped,
    RequestCompleted,
    ResultRejected,
    RetryScheduled,
)
from orchestrator.facts import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    ProviderKeyRested,
)
from orchestrator.history import WARMING
from orchestrator.projections.fold import Increment, Rollup, microseconds


class ProvidersRollup(Rollup):
    """Counts facts about providers, of eight subjects.

    attempt: one call, with its outcome (`success`, `empty` or a judgement of outcome.py) and cause, and in
    `executions` whether it was the first of its execution at this provider, for a caller; answer: a search
    that it answered, as the `first` or as a `fallback`; skip: it was passed by; retry: it is to be asked
    again; hedge: it was slow and the next one was asked too; key: one of its keys has `rested`;
    rejection: results of it were dropped (`results` counts them); circuit: `opened`,
    `half_opened`, `closed`. `duration_us` is a sum in whole microseconds.
    """

    name = "providers"
    dimensions = ("provider", "subject", "operation", "outcome", "reason")
    measures = ("calls", "executions", "results", "duration_us")

    def __init__(self) -> None:
        self.adds = {
            AttemptSucceeded: _succeeded,
            AttemptFailed: _failed,
            RequestCompleted: _answered,
            ProviderSkipped: _skipped,
            RetryScheduled: _retried,
            AttemptHedged: _hedged,
            ProviderKeyRested: _rested,
            ResultRejected: _rejected,
            CircuitOpened: _opened,
            CircuitHalfOpened: _half_opened,
            CircuitClosed: _closed,
        }


def _succeeded(minute: int, done: AttemptSucceeded) -> tuple[Increment, ...]:
    key = (minute, done.provider, "attempt", done.operation, "success" if done.results else "empty", "")
    return ((key, (1, _first_for_caller(done), done.results, microseconds(done.duration_s))),)


def _failed(minute: int, failed: AttemptFailed) -> tuple[Increment, ...]:
    key = (minute, failed.provider, "attempt", failed.operation, failed.outcome, failed.reason)
    return ((key, (1, _first_for_caller(failed), 0, microseconds(failed.duration_s))),)


def _first_for_caller(ended: AttemptEvent) -> int:
    """1 for the first attempt of an execution at a provider; warming has no caller it could answer."""
    return int(ended.number == 1 and ended.door != WARMING)


def _answered(minute: int, done: RequestCompleted) -> tuple[Increment, ...]:
    # The pages of an extract may be of several providers and of the cache; nobody has answered it alone.
    if done.operation != "search" or done.cache != "miss":
        return ()
    place = "fallback" if done.fallback else "first"
    return (((minute, done.provider, "answer", done.operation, place, ""), (1, 0, done.results, 0)),)


def _skipped(minute: int, skipped: ProviderSkipped) -> tuple[Increment, ...]:
    return (((minute, skipped.provider, "skip", "", "skipped", skipped.reason), (1, 0, 0, 0)),)


def _retried(minute: int, retry: RetryScheduled) -> tuple[Increment, ...]:
    return (((minute, retry.provider, "retry", "", "scheduled", retry.reason), (1, 0, 0, 0)),)


def _hedged(minute: int, hedged: AttemptHedged) -> tuple[Increment, ...]:
    return (((minute, hedged.provider, "hedge", "", "slow", ""), (1, 0, 0, 0)),)


def _rested(minute: int, key: ProviderKeyRested) -> tuple[Increment, ...]:
    return (((minute, key.provider, "key", "", "rested", key.reason), (1, 0, 0, 0)),)


def _rejected(minute: int, rejected: ResultRejected) -> tuple[Increment, ...]:
    key = (minute, rejected.provider, "rejection", "", "dropped", rejected.reason)
    return ((key, (1, 0, rejected.dropped, 0)),)


def _opened(minute: int, opened: CircuitOpened) -> tuple[Increment, ...]:
    return (((minute, opened.provider, "circuit", "", "opened", opened.reason), (1, 0, 0, 0)),)


def _half_opened(minute: int, probing: CircuitHalfOpened) -> tuple[Increment, ...]:
    return (((minute, probing.provider, "circuit", "", "half_opened", ""), (1, 0, 0, 0)),)


def _closed(minute: int, closed: CircuitClosed) -> tuple[Increment, ...]:
    return (((minute, closed.provider, "circuit", "", "closed", ""), (1, 0, 0, 0)),)
