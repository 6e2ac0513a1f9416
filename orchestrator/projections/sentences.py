"""Why this answer, in sentences a person can read: one for each event that explains something."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptHedged,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    CallerAuthenticated,
    Envelope,
    FlightJoined,
    ProviderSkipped,
    RefreshStarted,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    RequestThrottled,
    ResultCached,
    ResultRejected,
    RetryScheduled,
    StaleServed,
)
from orchestrator.history import unsettled

_STALE = {
    "revalidating": "while a fresh one is fetched",
    "error": "because no provider could answer",
    "quota": "because the quota of the providers is used up",
    "budget": "because the budget is spent",
    "deadline": "because there was no time for a fresh one",
}

_MISSES = {
    "absent": "No cache tier knew the answer.",
    "expired": "The cached answer had expired.",
    "bypass": "The caller asked for a fresh answer, so the cache was passed by.",
    "too_old": "The cached answer was older than the caller accepts.",
    "outage": "A cache tier was out of reach, and no other had the answer.",
}

OMISSIONS = {
    "circuit_open": "its circuit is open after earlier failures",
    "deadline": "too little time was left",
    "budget": "its price does not fit into what is left of the budget",
    "busy": "as many calls to it were under way as may be",
    "calls_per_minute": "it was called as often as it may be in a minute",
}
"""Why a provider was passed by, by the reason in ProviderSkipped."""

_REJECTIONS = {
    "unusable": "without a URL that can be followed",
    "empty": "without title and text",
    "error_page": "the page of an error or a challenge",
    "duplicate": "the same page as one before",
    "domain": "from a host that the caller ruled out",
}


def sentences(envelopes: Sequence[Envelope]) -> tuple[str, ...]:
    """The story of one execution, in order, then the calls that never ended.

    An event that explains nothing adds no line.
    """
    lines = (_sentence(envelope.event) for envelope in envelopes)
    return (*(line for line in lines if line), *map(_open_end, unsettled(envelopes)))


def _sentence(event: object) -> str:
    return _of_request(event) or _of_cache(event) or _of_flight(event) or _of_provider(event)


def _of_request(event: object) -> str:
    match event:
        case RequestReceived() as received:
            dialect = f" in the dialect {received.dialect}" if received.dialect else ""
            return f"A call for {received.operation} came in at {received.door}{dialect}."
        case CallerAuthenticated() as known:
            return f"The caller is {known.client}, known by {known.method}."
        case RequestThrottled() as throttled:
            wait = seconds(throttled.retry_after_s)
            return f"The caller's limit per {throttled.window} was used up; the next call fits in {wait}."
        case RequestCompleted() as completed:
            return _completed(completed)
        case RequestFailed() as failed:
            return f"The call ended without an answer ({failed.error}) after {seconds(failed.duration_s)}."
        case _:
            return ""


def _completed(completed: RequestCompleted) -> str:
    gateway_s = max(completed.duration_s - completed.upstream_s, 0.0)
    by = f" by {completed.provider}" if completed.provider else ""
    marks = [
        word
        for word, applies in (
            ("as a fallback", completed.fallback),
            ("past its freshness", completed.stale),
            ("degraded: from the floor of the chain", completed.degraded),
        )
        if applies
    ]
    how = f" ({', '.join(marks)})" if marks else ""
    return (
        f"Answered with {_results(completed.results)}{by}{how} in {seconds(completed.duration_s)}, "
        f"{seconds(gateway_s)} of it in the gateway."
    )


def _of_cache(event: object) -> str:
    match event:
        case CacheHit() as hit:
            return f"Cache tier {hit.tier} had the answer, {seconds(hit.age_s)} old."
        case CacheMissed() as missed:
            return _MISSES.get(missed.reason, f"The cache did not answer ({missed.reason}).")
        case StaleServed() as stale:
            why = _STALE.get(stale.cause, stale.cause)
            return f"An answer {seconds(stale.age_s)} old was given from cache tier {stale.tier}, {why}."
        case ResultCached() as stored:
            return f"The answer was kept in {', '.join(stored.tiers)} for {seconds(stored.ttl_s)}."
        case _:
            return ""


def _of_flight(event: object) -> str:
    match event:
        case FlightJoined() as joined:
            return f"The same was being asked by {joined.leader}; this call waited for that answer."
        case RefreshStarted() as refresh:
            return f"A fresh answer was asked for with nobody waiting for it ({refresh.cause})."
        case AttemptHedged() as hedged:
            after = seconds(hedged.after_s)
            return f"{hedged.provider} had not answered after {after}; the next one was asked too."
        case _:
            return ""


def _of_provider(event: object) -> str:
    match event:
        case AttemptSucceeded() as done:
            return f"{done.provider} answered with {_results(done.results)} in {seconds(done.duration_s)}."
        case AttemptFailed() as failed:
            cause = failed.reason or "no reason given"
            return f"{failed.provider} failed after {seconds(failed.duration_s)}: {cause} ({failed.outcome})."
        case RetryScheduled() as retry:
            return f"{retry.provider} was to be asked again after {seconds(retry.backoff_s)}."
        case ProviderSkipped() as skipped:
            return f"{skipped.provider} was passed by: {OMISSIONS.get(skipped.reason, skipped.reason)}."
        case ResultRejected() as rejected:
            verb = "was" if rejected.dropped == 1 else "were"
            why = _REJECTIONS.get(rejected.reason, rejected.reason)
            return f"{_results(rejected.dropped)} of {rejected.provider} {verb} dropped: {why}."
        case _:
            return ""


def _open_end(intent: AttemptStarted) -> str:
    price = "; its price counts as spent, assumed" if intent.estimate != FREE else ""
    return f"No end of call {intent.number} to {intent.provider} is recorded{price}."


def _results(count: int) -> str:
    return "1 result" if count == 1 else f"{count} results"


def seconds(duration_s: float) -> str:
    """A duration of three significant digits, or to the microsecond: 3600 s, 1.25 s, 0.000012 s."""
    if duration_s < 0.001:
        return f"{duration_s:.6f} s"
    return f"{duration_s:.0f} s" if duration_s >= 100 else f"{duration_s:.3g} s"
