"""An execution as spans: one for the call, one for each attempt, with the recorded ids and times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    FlightJoined,
    RefreshStarted,
    RequestReceived,
    ResultCached,
    RetryScheduled,
)
from orchestrator.facts import CallersRefused
from orchestrator.projections.spans import MOMENTS_MAX, is_execution, is_notable, spans
from tests.support.histories import (
    NOON,
    answered,
    fallback,
    hit,
    known,
    miss,
    numbered,
    received,
    refused,
    whose,
)

ID = "019ab6e2-0f6a-7bcd-8123-456789abcdef"
OTHER = "019ab6e2-0f6a-7bcd-9999-999999999999"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
MS = 1_000_000

STATUSES = {"rate_limited": 429, "cancelled": 499}


def status_of(code, _target=""):
    """As the HTTP door judges."""
    return STATUSES.get(code, 503)


def told(events, **options):
    """The spans of an execution of these events."""
    return spans(ID, numbered(events), status_of, **options)


def called(**fields):
    """A call came in, called by its name."""
    return RequestReceived(**{"operation": "search", "door": "http", **fields})


def test_a_call_is_the_span_that_its_answer_named():
    """Its id is the end of the execution's; it begins the trace if the caller had none."""
    (call,) = told((called(method="POST", target="/search"), *hit()[1:]))

    assert (call.trace_id, call.span_id, call.parent_id) == (ID.replace("-", ""), "8123456789abcdef", "")
    assert (call.name, call.kind, call.error) == ("POST /search", "server", "")
    assert call.start_ns == round(NOON * 1e9)
    assert call.end_ns - call.start_ns == round(0.4 * MS)
    assert call.attributes["amos.cache"] == "l1"
    assert call.attributes["http.response.status_code"] == 200
    assert [moment.name for moment in call.moments] == ["amos.cache.hit"]


def test_a_caller_s_trace_goes_on():
    """The span that the caller named is the parent, of another process."""
    (call,) = told((called(trace_id=TRACE, parent_span_id=PARENT), *hit()[1:]))

    assert (call.trace_id, call.parent_id, call.is_parent_remote) == (TRACE, PARENT, True)


@pytest.mark.parametrize(
    ("door", "method", "target", "name", "kind"),
    [
        ("http", "QUERY", "/search", "QUERY /search", "server"),
        ("mcp", "tools/call", "web_search", "tools/call web_search", "server"),
        ("cli", "", "", "search", "internal"),
        ("http", "", "", "search", "server"),
        ("console", "GET", "/", "GET /", "server"),
    ],
)
def test_a_span_is_called_by_what_was_called(door, method, target, name, kind):
    """Method and route, or method and tool; what has neither by its operation."""
    (call,) = told((called(door=door, method=method, target=target), *hit()[1:]))

    assert (call.name, call.kind) == (name, kind)
    assert call.attributes.get("gen_ai.tool.name", "") == (target if door == "mcp" else "")
    assert ("http.response.status_code" in call.attributes) == (door in ("http", "console"))


def test_an_attempt_is_a_call_to_a_provider():
    """It has the id that was sent there, and lasts as long as was measured, to its outcome."""
    call, attempt = told(miss())

    assert (attempt.name, attempt.kind, attempt.error) == ("retrieval tavily", "client", "")
    assert (attempt.trace_id, attempt.parent_id, attempt.span_id) == (call.trace_id, call.span_id, "a" * 16)
    assert attempt.end_ns - attempt.start_ns == 498 * MS
    assert call.start_ns <= attempt.start_ns
    assert attempt.end_ns <= call.end_ns
    assert attempt.attributes["amos.cost.usd_micros"] == 8_000


def test_an_absorbed_failure_is_a_failed_child_of_a_sound_parent():
    """The call was answered: that a provider failed it shows in the attempt alone."""
    call, failed, floor = told(fallback())

    assert [span.error for span in (call, failed, floor)] == ["", "http_500", ""]
    assert failed.attributes["error.type"] == "http_500"
    assert "error.type" not in call.attributes
    assert floor.attributes["amos.attempt.outcome"] == "empty"
    assert call.attributes["amos.fallback"] is True
    assert "amos.provider.skipped" in [moment.name for moment in call.moments]


@pytest.mark.parametrize(("code", "error"), [("rate_limited", ""), ("cancelled", ""), ("x", "x")])
def test_only_our_own_fault_is_an_error_of_the_call(code, error):
    """A status below 500 leaves it unset, as the conventions have it for servers."""
    (call,) = told((received(), refused(code)))

    assert call.error == error
    assert call.attributes["amos.error"] == code
    assert call.attributes.get("error.type", "") == error


def test_who_waited_is_linked_to_whom_it_waited_for():
    """By the leader's trace and span, once however often; by its own trace if none was told."""
    joins = (
        FlightJoined(key="k", leader=OTHER, leader_trace_id=TRACE),
        FlightJoined(key="l", leader=OTHER, leader_trace_id=TRACE),
        FlightJoined(key="m", leader=ID),
        FlightJoined(key="n", leader="no execution"),
    )
    (call,) = told((received(), known(), *joins, answered(cache="collapsed")))

    assert [(link.trace_id, link.span_id) for link in call.links] == [
        (TRACE, "9" * 16),
        (ID.replace("-", ""), "8123456789abcdef"),
    ]
    assert [moment.name for moment in call.moments] == ["amos.flight.joined"] * 4


def test_nothing_is_told_before_the_last_word():
    """An execution under way has no spans yet."""
    assert told(miss()[:-1]) == ()
    assert told(miss()[:4]) == ()


def test_what_never_ended_is_an_unsettled_error():
    """When it is certain that nothing follows; a failure that was recorded stays what it was."""
    call, failed, under_way = told(fallback()[:7], is_over=True)

    assert [span.error for span in (call, failed, under_way)] == ["unsettled", "http_500", "unsettled"]
    assert [span.closed_by for span in (call, failed, under_way)] == [0, 5, 0]
    assert call.attributes["amos.error"] == "unsettled"
    assert "http.response.status_code" not in call.attributes


def test_an_attempt_that_outlives_its_call_says_so():
    """The caller has left; the attempt ends later, and is no part of the call's time."""
    begun, ended = miss()[3:5]
    late = (*miss()[:3], begun, refused("cancelled"), ended)
    call, attempt = told(late)

    assert attempt.attributes["amos.outlived_call"] is True
    assert attempt.closed_by == 6 > call.closed_by
    assert attempt.end_ns > call.end_ns
    assert told(late[:-1]) == (call,)
    open_ = told(late[:-1], is_over=True)[1]
    assert (open_.error, open_.attributes["amos.outlived_call"]) == ("unsettled", True)


def test_no_span_holds_a_cache_key():
    """A key is made of the query; whoever guesses a query could check it."""
    assert "k1" not in str(told(miss())) + str(told(hit()))


def test_moments_are_bounded():
    """However much happened, a span has as many events as a store takes."""
    retries = (RetryScheduled(provider="tavily", backoff_s=0.1, reason="timeout"),) * 200
    (call,) = told((received(), *retries, answered()))

    assert len(call.moments) == MOMENTS_MAX


def test_other_streams_have_no_spans():
    """Facts of no execution, and histories that have lost their beginning, are nothing to trace."""
    assert [is_execution(stream) for stream in (ID, "callers", "circuit:tavily", "e-1", "")] == [
        *(True, False, False, False, False)
    ]
    assert spans("callers", numbered((CallersRefused(reason="x", count=1),)), status_of, is_over=True) == ()
    assert told(miss()[1:]) == ()
    assert told(()) == ()


@pytest.mark.parametrize(
    ("events", "is_kept"),
    [
        (hit(), False),
        (miss(), False),
        ((received(), refused("rate_limited")), False),
        ((received(), refused("x")), True),
        ((received(), refused("rate_limited", 3.0)), True),
        ((received(), answered(duration_s=3.0)), True),
        (fallback(), True),
        ((*miss()[:4], refused("cancelled")), True),
        ((*miss()[:4], refused("cancelled"), miss()[4]), True),
        (miss()[:4], True),
    ],
    ids=["hit", "miss", "429", "503", "slow refusal", "slow", "fallback", "left", "left, ended", "died"],
)
def test_what_is_kept_whatever_is_sampled(events, is_kept):
    """Our errors, absorbed failures, slow calls, and what was open when its call ended."""
    assert is_notable(numbered(events), status_of, 2.0) is is_kept


def test_keeping_is_decided_at_the_last_word():
    """A failure that comes later changes nothing: the call's span is on its way, or is not."""
    later = AttemptFailed(provider="jina", number=1, duration_s=1.0, outcome="retryable", reason="timeout")

    assert not is_notable(numbered((*miss(), later)), status_of, 2.0)


PROVIDERS = ("tavily", "jina", "local")


@st.composite
def lives(draw):
    """The envelopes of an execution whose wall clock jumps, with attempts that overlap, fail or never end."""
    steady = draw(st.floats(0, 1e9))
    wall = steady + NOON
    begun: dict[tuple[str, int], float] = {}
    numbers = dict.fromkeys(PROVIDERS, 0)
    events, moments, first = [received()], [wall], steady
    last_at = draw(st.integers(0, 12))
    for step in range(12):
        passed = draw(st.floats(0, 2))
        steady, wall = steady + passed, wall + passed + draw(st.sampled_from((0, 0, 0, 3_600, -3_600)))
        provider = draw(st.sampled_from(PROVIDERS))
        if step == last_at:
            events.append(answered(duration_s=steady - first))
        elif begun and draw(st.booleans()):
            key = draw(st.sampled_from(sorted(begun)))
            lasted = steady - begun.pop(key)
            if draw(st.booleans()):
                done = AttemptSucceeded(
                    provider=key[0], number=key[1], duration_s=lasted, results=1, **whose()
                )
            else:
                done = AttemptFailed(
                    provider=key[0], number=key[1], duration_s=lasted, outcome="final", reason="x", **whose()
                )
            events.append(done)
        elif draw(st.booleans()):
            numbers[provider] += 1
            begun[provider, numbers[provider]] = steady
            span_id = f"{len(events):016x}"
            events.append(
                AttemptStarted(provider=provider, number=numbers[provider], span_id=span_id, **whose())
            )
        else:
            events.append(ResultCached(key="k", tiers=("l1",), ttl_s=1.0, size_bytes=1))
        moments.append(wall)
    return tuple(
        envelope
        for moment, number, event in zip(moments, range(1, 99), events, strict=False)
        for envelope in numbered((event,), at=moment, first=number)
    )


@given(lives())
def test_every_attempt_is_one_span_within_its_call(envelopes):
    """Whatever the clock does: each attempt once, beneath the call, within its time unless it outlived it."""
    call, *attempts = spans(ID, envelopes, status_of, is_over=True)

    begun = [e.event.span_id for e in envelopes if isinstance(e.event, AttemptStarted)]
    assert [span.span_id for span in attempts] == begun
    for span in attempts:
        assert span.parent_id == call.span_id
        assert span.start_ns <= span.end_ns
        if "amos.outlived_call" not in span.attributes and span.closed_by and call.closed_by:
            assert call.start_ns <= span.start_ns <= span.end_ns <= call.end_ns
    assert all(call.start_ns <= moment.at_ns <= call.end_ns for moment in call.moments)


@given(lives(), st.lists(st.integers(1, 13), max_size=4))
def test_spans_end_one_by_one_and_stay_as_they_are(envelopes, cuts):
    """However a history is cut into frames, a span that has ended never changes."""
    whole = {span.span_id: span for span in spans(ID, envelopes, status_of)}
    for cut in cuts:
        for span in spans(ID, envelopes[:cut], status_of):
            if span.closed_by and span.parent_id:
                assert whole[span.span_id] == span


REFRESH = (RefreshStarted(key="k1", cause="warming"), *miss("warming")[3:-1])
"""An execution that warming began: RefreshStarted, an attempt, its answer, kept."""


def test_an_execution_without_a_caller_is_a_trace_of_its_own():
    """Its root is internal, lasts to its last fact, and has the attempts beneath it."""
    root, attempt = told(REFRESH)

    assert (root.name, root.kind, root.error) == ("refresh search", "internal", "")
    assert (root.trace_id, root.parent_id) == (ID.replace("-", ""), "")
    assert attempt.parent_id == root.span_id
    assert root.attributes["amos.client"] == "warming"
    assert root.end_ns - root.start_ns == pytest.approx((len(REFRESH) - 1) * MS, abs=1_000)
    assert root.closed_by == len(REFRESH)


def test_an_execution_without_a_caller_is_over_when_no_attempt_is_open():
    """Before the end of its attempt it is under way; if that never comes it is unsettled."""
    assert told(REFRESH[:2]) == ()

    root, attempt = told(REFRESH[:2], is_over=True)

    assert (root.error, attempt.error) == ("unsettled", "unsettled")


def test_a_refresh_that_failed_is_an_error():
    """Nothing was kept: the root says so, and it is kept however few are sampled."""
    failed = (REFRESH[0], fallback()[3], fallback()[4])
    assert isinstance(failed[2], AttemptFailed)

    root, _ = told(failed)

    assert root.error == "search_failed"
    assert is_notable(numbered(failed), status_of, 9.0)


def test_a_refresh_that_went_well_is_sampled_like_any_call():
    """Having no last word does not make it notable."""
    assert not is_notable(numbered(REFRESH), status_of, 9.0)
    assert is_notable(numbered(REFRESH[:2]), status_of, 9.0)
