"""The bars of an execution: where each begins, how long it is, and what it says."""

from __future__ import annotations

import pytest

from api.console.waterfall import Step, waterfall
from orchestrator.events import (
    AttemptFailed,
    AttemptHedged,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CacheMissed,
    CallerAuthenticated,
    Cost,
    Envelope,
    Event,
    FlightJoined,
    ProviderSkipped,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    RequestThrottled,
    ResultCached,
    ResultRejected,
    RetryScheduled,
    StaleServed,
    UnknownEvent,
)

T0 = 1_800_000_000.0
CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
WHOSE = {"operation": "search", "door": "http", "client": "acme"}


def history(*facts: tuple[float, Event | UnknownEvent]) -> list[Envelope]:
    """Facts so many seconds after the first as envelopes."""
    received = RequestReceived(operation="search", door="http")
    return [Envelope(n, T0 + at, fact) for n, (at, fact) in enumerate([(0.0, received), *facts], 1)]


def bars(*facts: tuple[float, Event | UnknownEvent]) -> list[tuple[str, float, float, str, str]]:
    """Every bar but that of the whole, rounded to a microsecond."""
    return [_rounded(step) for step in waterfall(history(*facts)).steps[:-1]]


def _rounded(step: Step) -> tuple[str, float, float, str, str]:
    return (step.label, round(step.start_s, 6), round(step.duration_s, 6), step.state, step.note)


def completed(duration_s: float) -> RequestCompleted:
    """The last word of an answered search."""
    return RequestCompleted(**WHOSE, cache="miss", results=5, duration_s=duration_s)


def test_a_miss_with_a_retry_and_a_fallback():
    """Each call to a provider is a bar from its intent, as long as it was measured, with what it cost."""
    found = bars(
        (0.001, CallerAuthenticated(client="acme", method="key")),
        (0.003, CacheMissed(key="k", reason="expired", misses={"l1": "absent", "l2": "expired"})),
        (0.010, AttemptStarted(provider="tavily", number=1, span_id="a")),
        (
            0.510,
            AttemptFailed(provider="tavily", number=1, duration_s=0.5, outcome="retryable", reason="5xx"),
        ),
        (0.511, RetryScheduled(provider="tavily", backoff_s=0.1, reason="5xx")),
        (0.620, AttemptStarted(provider="tavily", number=2, span_id="b")),
        (
            0.720,
            AttemptFailed(
                provider="tavily", number=2, duration_s=0.1, outcome="x", reason="timeout", assumed=CREDIT
            ),
        ),
        (0.730, ProviderSkipped(provider="jina", reason="circuit_open")),
        (0.740, AttemptStarted(provider="local", number=1, span_id="c")),
        (0.745, AttemptSucceeded(provider="local", number=1, duration_s=0.004, results=1, cost=CREDIT)),
        (0.750, ResultCached(key="k", tiers=("l1", "l2"), ttl_s=3600.0, size_bytes=9)),
        (0.760, completed(0.760)),
    )

    assert found == [
        ("Cache", 0.001, 0.002, "neutral", "l1 absent, l2 expired"),
        ("tavily", 0.01, 0.5, "danger", "5xx"),
        ("Pause before tavily again", 0.511, 0.1, "neutral", "5xx"),
        ("tavily, call 2", 0.62, 0.1, "danger", "timeout, 1 credit assumed"),
        ("jina passed by", 0.73, 0.0, "warn", "its circuit is open after earlier failures"),
        ("local", 0.74, 0.004, "success", "1 result, 1 credit"),
        ("Kept", 0.75, 0.0, "neutral", "in l1, l2 for 1 h"),
    ]


@pytest.mark.parametrize(
    ("fact", "bar"),
    [
        (
            CacheHit(key="k", tier="l2", age_s=60.0, misses={"l1": "absent"}),
            ("success", "l1 absent, l2 hit, 1 min old"),
        ),
        (StaleServed(key="k", tier="l1", age_s=7200.0, cause="quota"), ("warn", "l1 stale, 2 h old (quota)")),
        (CacheMissed(key="k", reason="bypass"), ("neutral", "bypass")),
    ],
)
def test_each_kind_of_look_into_the_cache(fact: Event, bar: tuple[str, str]):
    """What every tier said is at its bar, which begins with the fact before it."""
    assert bars((0.002, fact)) == [("Cache", 0.0, 0.002, *bar)]


@pytest.mark.parametrize(
    ("fact", "bar"),
    [
        (
            AttemptHedged(provider="tavily", after_s=1.0),
            ("Next provider asked too", "neutral", "tavily was slow"),
        ),
        (RequestThrottled(window="minute", retry_after_s=3.0), ("Limit reached", "danger", "per minute")),
        (
            ResultRejected(provider="jina", reason="empty", dropped=2),
            ("Results dropped", "warn", "2 of jina"),
        ),
    ],
)
def test_what_took_no_time_is_a_mark(fact: Event, bar: tuple[str, str, str]):
    """It stands where it happened."""
    label, state, note = bar

    assert bars((0.5, fact)) == [(label, 0.5, 0.0, state, note)]


def test_a_follower_waits_until_the_end():
    """The bar of a shared flight ends with the execution, and names the leader."""
    found = bars((0.1, FlightJoined(key="k", leader="the-leader")), (0.9, completed(0.9)))

    assert found == [("Wait for the same search", 0.1, 0.8, "info", "asked by the-leader")]


def test_a_call_without_an_end_says_so():
    """Its process died in it: the bar reaches as far as anything is known."""
    found = bars(
        (0.1, AttemptStarted(provider="tavily", number=1, span_id="a")),
        (0.4, ProviderSkipped(provider="jina", reason="odd")),
    )

    assert found == [
        ("tavily", 0.1, 0.3, "warn", "no end is recorded"),
        ("jina passed by", 0.4, 0.0, "warn", "odd"),
    ]


def test_nothing_found_is_neither_success_nor_failure():
    """A provider that found nothing did its work, and the next one was asked."""
    found = bars(
        (0.1, AttemptStarted(provider="tavily", number=1, span_id="a")),
        (0.2, AttemptSucceeded(provider="tavily", number=1, duration_s=0.1, results=0)),
    )

    assert found == [("tavily", 0.1, 0.1, "warn", "0 results")]


@pytest.mark.parametrize(
    ("last", "state", "whole_s"),
    [
        (completed(2.0), "success", 2.0),
        (RequestFailed(**WHOSE, error="deadline_exceeded", duration_s=9.0), "danger", 9.0),
        (UnknownEvent("amos.request.dreamt.v1"), "neutral", 1.0),
    ],
)
def test_the_whole_is_the_last_bar(last: Event, state: str, whole_s: float):
    """It is as long as the last word says, without one as far as the last fact. Unknown facts are no bars."""
    made = waterfall(history((1.0, last)))

    assert [(s.label, s.duration_s, s.state) for s in made.steps] == [("Whole call", whole_s, state)]
    assert made.total_s == whole_s


def test_what_goes_on_behind_the_caller_lengthens_the_axis():
    """An old answer is given at once, and the fresh one is fetched for longer than the caller stayed."""
    made = waterfall(
        history(
            (0.001, StaleServed(key="k", tier="l1", age_s=9.0, cause="revalidating")),
            (0.002, completed(0.002)),
            (0.003, AttemptStarted(provider="tavily", number=1, span_id="a")),
            (0.503, AttemptSucceeded(provider="tavily", number=1, duration_s=0.5, results=5)),
        )
    )

    assert round(made.total_s, 3) == 0.503
    assert made.steps[-1].duration_s == 0.002


def test_an_execution_without_facts_has_no_bars():
    """There is nothing to draw."""
    assert waterfall([]).steps == ()
