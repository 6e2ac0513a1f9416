"""Every call has a first and a last word in the log, however it ends."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import EventLogUnavailable, NotInCache, Unauthenticated
from orchestrator.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CacheHit,
    CallerAuthenticated,
    Cost,
    Envelope,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
)
from orchestrator.facts import CallersRefused
from orchestrator.filters.record import RecordFilter, upstream_s
from orchestrator.model import Call, Caller, ExtractRequest, Response, SearchRequest
from orchestrator.recorder import CALLERS_STREAM, Recorder
from tests.support.clock import FakeClock
from tests.support.memory_journal import MemoryJournal

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
ANSWER = Response(fragment=b'"results":[]', result_count=3, provider="tavily", cost=CREDIT)
SEARCH = SearchRequest(query="secret tides", topic="news", search_depth="advanced", max_results=7)


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def journal():
    """Where the facts go."""
    return MemoryJournal()


@pytest.fixture
def recorder(journal, clock):
    """The real recorder."""
    return Recorder(journal, clock)


@pytest.fixture
def record(clock, recorder):
    """The filter under test."""
    return RecordFilter(clock, recorder)


@pytest.fixture
def open_call(recorder):
    """Opens calls of a caller."""

    def opened(request=SEARCH, **caller_fields):
        caller = Caller(**{"door": "rest", **caller_fields})
        return Call(request=request, caller=caller, trail=recorder.open(caller.trace_id), deadline=1e9)

    return opened


def answering(outcome, clock, takes_s=0.25):
    """Inner stages that end in this way after a while."""

    async def service(call):
        call.trail.record(CallerAuthenticated(client="local", method="local_operator"))
        clock.advance(takes_s)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return service


async def test_an_answered_call_is_received_and_completed(record, open_call, journal, clock):
    """The frame of an answered call begins with what was asked and ends with what came of it."""
    call = open_call(dialect="tavily", trace_id="ab" * 16, parent_span_id="cd" * 8)

    response = await record(call, answering(ANSWER, clock))

    assert response is ANSWER
    assert journal.events(call.trail.execution_id) == [
        RequestReceived(
            operation="search",
            door="rest",
            dialect="tavily",
            topic="news",
            depth="advanced",
            max_results=7,
            trace_id="ab" * 16,
            parent_span_id="cd" * 8,
        ),
        CallerAuthenticated(client="local", method="local_operator"),
        RequestCompleted(
            operation="search",
            door="rest",
            client="local",
            topic="news",
            provider="tavily",
            cache="miss",
            results=3,
            duration_s=0.25,
            cost=CREDIT,
        ),
    ]


@pytest.mark.parametrize("request_", [SEARCH, ExtractRequest(urls=("https://a.example/",))])
async def test_a_call_without_a_trace_begins_one(record, open_call, clock, request_):
    """What is recorded is the trace that answers and providers are told, wherever it began."""
    call = open_call(request_)

    await record(call, answering(ANSWER, clock))

    received = call.trail.events[0].event
    assert received.trace_id == call.trail.trace_id == call.trail.execution_id.replace("-", "")
    assert received.parent_span_id == ""


async def test_the_client_is_found_wherever_it_became_known(record, open_call, clock):
    """The last word names the client, whatever was recorded before the caller was known."""
    call = open_call()

    async def service(inner):
        inner.trail.record(CacheHit(key="k", tier="l1", age_s=1.0))
        inner.trail.record(CallerAuthenticated(client="somebody", method="key"))
        return ANSWER

    await record(call, service)

    assert call.trail.events[-1].event.client == "somebody"


async def test_no_query_text_is_recorded(record, open_call, journal, clock):
    """What was searched for is in no event."""
    call = open_call()

    await record(call, answering(ANSWER, clock))

    assert "secret" not in repr(journal.frames)


async def test_the_answer_leaves_after_its_frame_is_durable(record, open_call, journal, clock):
    """An answer whose record cannot be written is not given."""
    journal.is_full = True

    with pytest.raises(EventLogUnavailable):
        await record(open_call(), answering(ANSWER, clock))


async def test_a_failed_call_ends_with_its_code(record, open_call, journal, clock):
    """A refusal or failure is recorded by its code, and raised."""
    call = open_call()

    with pytest.raises(NotInCache):
        await record(call, answering(NotInCache("Not there."), clock))

    assert journal.events(call.trail.execution_id)[-1] == RequestFailed(
        operation="search",
        door="rest",
        client="local",
        topic="news",
        error="not_in_cache",
        duration_s=0.25,
    )


async def test_a_bug_is_an_internal_error(record, open_call, journal, clock):
    """An exception that is none of ours is recorded without its message."""
    call = open_call()

    with pytest.raises(KeyError):
        await record(call, answering(KeyError("secret"), clock))

    assert journal.events(call.trail.execution_id)[-1].error == "internal_error"


async def test_a_call_its_caller_left_is_recorded_too(record, open_call, journal, clock, recorder):
    """A cancelled call is cancelled at once, and its last word is written without anybody waiting."""
    call = open_call()

    async def endless(call):
        await asyncio.Event().wait()

    task = asyncio.ensure_future(record(call, endless))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    await recorder.aclose()
    assert journal.events(call.trail.execution_id)[-1].error == "cancelled"


async def test_strangers_are_only_counted(record, open_call, journal, recorder):
    """Calls of nobody we know make no frame each, but one count."""

    async def refusing(call):
        raise Unauthenticated("Who?", reason="proxy")

    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await record(open_call(), refusing)

    await recorder.aclose()
    assert [frame.stream for frame in journal.frames] == [CALLERS_STREAM]
    assert journal.events(CALLERS_STREAM) == [CallersRefused(reason="proxy", count=3)]


async def test_an_extract_is_received_by_the_number_of_its_pages(record, open_call, journal, clock):
    """An extract is recorded with its depth and its number of URLs, never the URLs."""
    call = open_call(ExtractRequest(urls=("https://a.example/", "https://b.example/")))

    await record(call, answering(ANSWER, clock))

    received = journal.events(call.trail.execution_id)[0]
    assert received == RequestReceived(
        operation="extract", door="rest", depth="basic", url_count=2, trace_id=call.trail.trace_id
    )


@pytest.mark.parametrize(
    "request_",
    [
        SearchRequest(query="x", topic="a secret", search_depth="a secret"),
        ExtractRequest(urls=(), extract_depth="a secret"),
    ],
)
async def test_values_that_are_none_stay_out_of_the_log(record, open_call, journal, clock, request_):
    """A topic or depth is recorded before it is checked, so an unknown one is recorded as not given."""
    call = open_call(request_)

    await record(call, answering(ANSWER, clock))

    assert "secret" not in repr(journal.frames)


async def test_what_cached_parts_had_cost_is_what_they_saved(record, open_call, journal, clock):
    """The last word sums what the hits of the call had cost when they were fetched."""

    async def cached(call):
        for key in ("k1", "k2"):
            call.trail.record(CacheHit(key=key, tier="l1", age_s=1.0, saved=CREDIT))
        return ANSWER

    call = open_call()

    await record(call, cached)

    assert journal.events(call.trail.execution_id)[-1].saved == CREDIT + CREDIT


async def test_the_reasons_of_an_answer_are_recorded(record, open_call, journal, clock):
    """Degraded, stale and fallback answers are told apart in the last word."""
    answer = Response(
        fragment=b"", result_count=1, provider="local", is_degraded=True, is_stale=True, is_fallback=True
    )
    call = open_call()

    await record(call, answering(answer, clock))

    completed = journal.events(call.trail.execution_id)[-1]
    assert (completed.degraded, completed.stale, completed.fallback) == (True, True, True)


def attempt(number, begin, end=None, *, failed=False):
    """The envelopes of one attempt."""
    start = Envelope(1, begin, AttemptStarted(provider="tavily", number=number, span_id="s"))
    if end is None:
        return [start]
    if failed:
        event = AttemptFailed(
            provider="tavily", number=number, duration_s=end - begin, outcome="final", reason="x"
        )
    else:
        event = AttemptSucceeded(provider="tavily", number=number, duration_s=end - begin, results=1)
    return [start, Envelope(2, end, event)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], 0.0),
        (attempt(1, 100.0, 102.0), 2.0),
        ([*attempt(1, 100.0, 102.0, failed=True), *attempt(2, 103.0, 104.0)], 3.0),
        ([*attempt(1, 100.0, 104.0), *attempt(2, 101.0, 105.0)], 5.0),
        ([*attempt(1, 100.0, 104.0), *attempt(2, 101.0, 102.0)], 4.0),
        (attempt(1, 100.0), 10.0),
        ([*attempt(1, 100.0, 102.0), *attempt(2, 108.0)], 4.0),
    ],
)
def test_time_upstream_is_counted_once(events, expected):
    """Overlapping attempts share their time, and one under way counts until now."""
    assert upstream_s(events, now=110.0) == pytest.approx(expected)
