"""One execution explained, from histories as the gateway records them."""

from __future__ import annotations

import pytest

from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    Cost,
    FlightJoined,
    RefreshStarted,
    RequestThrottled,
    ResultRejected,
    RetryScheduled,
    UnknownEvent,
)
from orchestrator.model import Attempt
from orchestrator.projections.executions import attempts, explain, saved
from tests.support.histories import (
    CREDIT,
    NOON,
    answered,
    fallback,
    hit,
    known,
    miss,
    numbered,
    received,
    refused,
)


def line(provider, outcome, reason="", duration_s=0.0):
    """An expected line of the attempts."""
    return Attempt(provider=provider, outcome=outcome, reason=reason, duration_s=duration_s)


def test_attempts_tell_every_call_and_omission_in_order():
    """A failed call, a provider passed by and an empty answer are three lines, in the order they began."""
    assert attempts(numbered(fallback())) == (
        line("tavily", "retryable", "http_500", 0.2),
        line("jina", "skipped", "circuit_open"),
        line("local", "empty", "", 0.01),
    )


def test_a_retry_is_a_line_of_its_own():
    """Two attempts at one provider are two lines."""
    history = (
        AttemptStarted(provider="jina", number=1, span_id="a"),
        AttemptFailed(provider="jina", number=1, duration_s=0.1, outcome="retryable", reason="reset"),
        RetryScheduled(provider="jina", backoff_s=0.05, reason="reset"),
        AttemptStarted(provider="jina", number=2, span_id="b"),
        AttemptSucceeded(provider="jina", number=2, duration_s=0.3, results=3),
    )

    assert attempts(numbered(history)) == (
        line("jina", "retryable", "reset", 0.1),
        line("jina", "success", "", 0.3),
    )


def test_a_provider_may_be_passed_by_twice():
    """Omissions are not calls: each of them is told."""
    events = [event for event in fallback() if type(event).__name__ == "ProviderSkipped"] * 2

    assert [found.outcome for found in attempts(numbered(events))] == ["skipped", "skipped"]


def test_a_hit_has_no_attempts():
    """Nobody was called for an answer from the cache."""
    assert attempts(numbered(hit())) == ()


def test_a_miss_is_explained_whole():
    """An answered miss tells who answered, how long it took, what it cost and where the time went."""
    explained = explain(numbered(miss()))

    assert explained.status == "answered"
    assert (explained.operation, explained.door, explained.dialect) == ("search", "http", "tavily")
    assert (explained.client, explained.provider, explained.cache) == ("local-operator", "tavily", "miss")
    assert explained.keys == ("k1",)
    assert explained.started_at == NOON
    assert explained.ended_at == pytest.approx(NOON + 0.006)
    assert explained.duration_s == 0.5
    assert explained.gateway_s == pytest.approx(0.002)
    assert (explained.cost, explained.assumed, explained.saved) == (CREDIT, FREE, FREE)


def test_a_hit_tells_what_it_saved():
    """A cached answer costs nothing and saves what fetching it had cost."""
    explained = explain(numbered(hit()))

    assert (explained.cache, explained.cost, explained.saved) == ("l1", FREE, CREDIT)


def test_a_refused_call_has_failed_with_its_code():
    """A call that ended in an error is failed, not unsettled."""
    explained = explain(numbered((received(), known(), refused("deadline_exceeded", 9.0))))

    assert (explained.status, explained.error, explained.duration_s) == ("failed", "deadline_exceeded", 9.0)


def test_an_intent_without_outcome_counts_as_spent():
    """A process that died in a provider call leaves an estimate that is assumed to be spent."""
    explained = explain(numbered(miss()[:4]))

    assert explained.status == "unsettled"
    assert explained.duration_s is None
    assert explained.assumed == CREDIT
    assert explained.attempts == (line("tavily", "unsettled"),)


def test_failed_attempts_are_in_the_bill():
    """What a rejected answer cost counts as billed, what a lost one may have cost as assumed."""
    failed = {"provider": "tavily", "duration_s": 0.5, "outcome": "final"}
    rejected = AttemptFailed(**failed, number=1, reason="unusable", cost=CREDIT)
    silent = AttemptFailed(**failed, number=2, reason="timeout", assumed=CREDIT)

    explained = explain(numbered((received(), known(), rejected, silent)))

    assert (explained.cost, explained.assumed) == (CREDIT, CREDIT)


def test_the_story_tells_of_a_call_that_never_ended():
    """An intent without outcome has a sentence: the call was made, and its price is assumed."""
    explained = explain(numbered(miss()[:4]))

    assert explained.why[-1] == "No end of call 1 to tavily is recorded; its price counts as spent, assumed."


def test_a_follower_names_its_leader():
    """A call that waited for an identical one says for which."""
    history = (
        received(),
        known(),
        FlightJoined(key="k1", leader="e-1"),
        answered(cache="collapsed", cost=FREE),
    )

    explained = explain(numbered(history))

    assert (explained.cache, explained.leader) == ("collapsed", "e-1")


def test_an_unknown_event_changes_nothing():
    """An event of a later version is passed over."""
    assert explain(numbered((*miss(), UnknownEvent("amos.new.v1")))) == explain(numbered(miss()))


def test_nothing_recorded_is_unsettled():
    """Without events nothing is known, and that is no error."""
    assert explain(()).status == "unsettled"


def test_an_extract_saves_the_sum_of_its_pages():
    """Every page from the cache adds what it had cost."""
    page = CacheHit(key="p", tier="l1", age_s=1.0, saved=CREDIT)

    assert saved(numbered((page, page))) == Cost(amount=2.0, unit="credits", usd_micros=16_000)


def test_the_story_names_every_reason():
    """The sentences tell, in order, who failed and why, who was passed by, and who answered how."""
    why = explain(numbered(fallback())).why

    assert why == (
        "A call for search came in at http in the dialect tavily.",
        "The caller is local-operator, known by loopback.",
        "The cached answer had expired.",
        "tavily failed after 0.2 s: http_500 (retryable).",
        "jina was passed by: its circuit is open after earlier failures.",
        "local answered with 0 results in 0.01 s.",
        (
            "Answered with 0 results by local (as a fallback, degraded: from the floor of the chain) "
            "in 0.215 s, 0.005 s of it in the gateway."
        ),
    )


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            RequestThrottled(window="minute", retry_after_s=2.5),
            "limit per minute was used up; the next call fits in 2.5 s",
        ),
        (refused("all_providers_failed", 3.0), "ended without an answer (all_providers_failed) after 3 s"),
        (refused("invalid_request", 0.0000817), "ended without an answer (invalid_request) after 0.000082 s"),
        (CacheHit(key="k", tier="l2", age_s=3600.0), "tier l2 had the answer, 3600 s old"),
        (FlightJoined(key="k", leader="e-1"), "was being asked by e-1"),
        (
            RetryScheduled(provider="jina", backoff_s=0.25, reason="reset"),
            "jina was to be asked again after 0.25 s",
        ),
        (
            ResultRejected(provider="jina", reason="off_domain", dropped=1),
            "1 result of jina was dropped: off_domain",
        ),
        (ResultRejected(provider="jina", reason="off_domain", dropped=2), "2 results of jina were dropped"),
        (answered(stale=True), "(past its freshness)"),
    ],
)
def test_every_explaining_event_has_a_sentence(event, words):
    """Each event that explains something says it in a sentence."""
    (sentence,) = explain(numbered((event,))).why

    assert words in sentence


def test_a_refresh_behind_a_caller_is_no_execution_of_warming():
    """A history that has lost its beginning, and now begins with such a refresh, stays unsettled."""
    torn = (RefreshStarted(key="k1", cause="stale"), *miss()[3:-1])

    assert explain(numbered(torn)).status == "unsettled"
    assert explain(numbered(torn)).client == ""
