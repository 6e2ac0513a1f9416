"""One call to one provider, as facts: the intent before it, the outcome after it."""

from __future__ import annotations

import asyncio
import math

import msgspec
import pytest

from orchestrator.errors import EventLogUnavailable, ProviderTimeout, ProviderUnavailable, ResultInvalid
from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Cost,
)
from orchestrator.filters.attempt import AttemptFilter
from orchestrator.model import Call, Caller, ExtractRequest, Found, SearchRequest
from orchestrator.principals import Principal
from orchestrator.recorder import Recorder
from tests.support.clock import FakeClock
from tests.support.memory_journal import MemoryJournal
from tests.support.scripted_provider import found, read

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
WHOSE = {"operation": "search", "door": "test", "topic": "general"}
"""On whose account the attempts of these tests are: nobody has been authenticated."""

SETTLES = {"estimate": CREDIT, "intended_at": 1_800_000_000.0}
"""What an outcome repeats of its intent; the clock of the tests stands at that moment."""

URLS = ("https://a.example/", "https://b.example/")


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def journal():
    """Where the facts go."""
    return MemoryJournal()


@pytest.fixture
def call(journal, clock):
    """A call of a search."""
    return Call(
        request=SearchRequest(query="tides"),
        caller=Caller(door="test"),
        trail=Recorder(journal, clock).open(),
        deadline=math.inf,
    )


def attempt_filter(clock, provider="tavily", estimate=CREDIT):
    """The filter under test."""
    return AttemptFilter(provider, clock, lambda _request: estimate)


def answering(clock, answer, takes_s=0.5, cost=CREDIT):
    """Inner stages that end in this way after a while."""

    async def service(call):
        clock.advance(takes_s)
        if isinstance(answer, BaseException):
            raise answer
        return Found(answer=answer, provider="tavily", cost=cost)

    return service


def events(call):
    """What was recorded in the call."""
    return [envelope.event for envelope in call.trail.events]


async def test_an_answer_is_an_intent_and_an_outcome(call, clock):
    """An attempt that succeeds is recorded with its duration, its results and what it really cost."""
    await attempt_filter(clock)(call, answering(clock, found(3)))

    started, succeeded = events(call)
    assert isinstance(started, AttemptStarted)
    assert (started.provider, started.number, started.estimate) == ("tavily", 1, CREDIT)
    assert succeeded == AttemptSucceeded(
        provider="tavily", number=1, duration_s=pytest.approx(0.5), results=3, cost=CREDIT, **SETTLES, **WHOSE
    )


async def test_the_intent_is_durable_before_the_provider_hears_of_it(call, clock, journal):
    """When the provider is called, the log already knows that money may be spent."""
    seen = []

    async def service(inner):
        seen.extend(journal.events(call.trail.execution_id))
        return Found(answer=found(1), provider="tavily")

    await attempt_filter(clock)(call, service)

    assert [type(event) for event in seen] == [AttemptStarted]


async def test_without_a_durable_intent_the_provider_is_not_called(call, clock, journal):
    """If the intent cannot be written nobody is called, and the attempt does not settle as spent."""
    journal.is_full = True
    called = []

    async def service(inner):
        called.append(inner)

    with pytest.raises(EventLogUnavailable):
        await attempt_filter(clock)(call, service)

    assert called == []
    assert events(call)[-1] == AttemptFailed(
        provider="tavily",
        number=1,
        duration_s=0.0,
        outcome="ignorable",
        reason="event_log_unavailable",
        **SETTLES,
        **WHOSE,
    )


async def test_a_free_call_needs_no_write_before_it(call, clock, journal):
    """What nobody bills is written with the rest."""
    await attempt_filter(clock, "local", FREE)(call, answering(clock, found(1), cost=FREE))

    assert journal.frames == []
    assert len(events(call)) == 2


async def test_a_failure_is_recorded_with_its_judgement(call, clock):
    """The outcome says what may follow, the reason why; the error goes on."""
    down = ProviderUnavailable("Down.", provider="tavily", reason="http_503", assumed=FREE)

    with pytest.raises(ProviderUnavailable):
        await attempt_filter(clock)(call, answering(clock, down))

    assert events(call)[-1] == AttemptFailed(
        provider="tavily",
        number=1,
        duration_s=pytest.approx(0.5),
        outcome="retryable",
        reason="http_503",
        **SETTLES,
        **WHOSE,
    )


async def bill_of(call, clock, error):
    """What the log says that an attempt which ends in this error has cost, and may have cost."""
    with pytest.raises(type(error)):
        await attempt_filter(clock)(call, answering(clock, error))
    failed = events(call)[-1]
    return failed.cost, failed.assumed


@pytest.mark.parametrize(
    "error",
    [
        ProviderTimeout("Slow.", provider="tavily", reason="timeout"),
        ProviderUnavailable("Cut.", provider="tavily", reason="reset"),
        ZeroDivisionError(),
    ],
)
async def test_a_call_without_a_bill_is_assumed_to_have_cost_its_estimate(call, clock, error):
    """If the provider may have done the work and never said what it cost, the estimate is assumed."""
    assert await bill_of(call, clock, error) == (FREE, CREDIT)


async def test_a_refusal_costs_nothing(call, clock):
    """An error that is known to be free settles as free, not as assumed."""
    refusal = ProviderUnavailable("Down.", provider="tavily", reason="http_503", assumed=FREE)

    assert await bill_of(call, clock, refusal) == (FREE, FREE)


async def test_a_useless_answer_is_in_the_bill(call, clock):
    """What the provider said it billed for an answer that was rejected is recorded as its cost."""
    useless = ResultInvalid("Useless.", provider="tavily", reason="unusable", cost=CREDIT, assumed=FREE)

    assert await bill_of(call, clock, useless) == (CREDIT, FREE)


async def test_a_cancelled_attempt_is_nobodys_fault(call, clock):
    """An attempt that was called off has an outcome too: money may be spent."""

    async def endless(inner):
        await asyncio.Event().wait()

    task = asyncio.ensure_future(attempt_filter(clock)(call, endless))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert (events(call)[-1].outcome, events(call)[-1].reason) == ("ignorable", "cancelled")
    assert events(call)[-1].assumed == CREDIT


async def test_an_attempt_is_on_the_account_of_its_client(call, clock):
    """The outcome names operation, door, client and topic, so that what was spent can be told by each."""
    call = msgspec.structs.replace(call, principal=Principal(client="agent"))

    await attempt_filter(clock)(call, answering(clock, found(1)))

    done = events(call)[-1]
    assert (done.operation, done.door, done.client, done.topic) == ("search", "test", "agent", "general")


async def test_attempts_are_numbered_by_provider(call, clock):
    """The attempts of one execution at one provider count from 1."""
    for provider in ("tavily", "tavily", "jina"):
        await attempt_filter(clock, provider)(call, answering(clock, found(1)))

    numbers = [(e.provider, e.number) for e in events(call) if isinstance(e, AttemptStarted)]
    assert numbers == [("tavily", 1), ("tavily", 2), ("jina", 1)]


async def test_every_attempt_has_a_span_of_its_own(call, clock):
    """Span ids are 16 hex digits and never the same."""
    for _ in range(2):
        await attempt_filter(clock)(call, answering(clock, found(1)))

    spans = {e.span_id for e in events(call) if isinstance(e, AttemptStarted)}
    assert len(spans) == 2
    assert all(len(bytes.fromhex(span)) == 8 for span in spans)


async def test_the_results_of_an_extract_are_its_pages(call, clock):
    """An extract counts the pages it read."""
    extract = Call(request=ExtractRequest(urls=URLS), caller=call.caller, trail=call.trail, deadline=math.inf)

    await attempt_filter(clock)(extract, answering(clock, read(URLS, 1)))

    assert events(call)[-1].results == 1


async def test_attempts_at_once_know_their_own_spans(call, clock):
    """Pages of one extract are fetched side by side: each call has its own span, not the newest."""
    seen = {}

    def service(name):
        async def provider(inner):
            await asyncio.sleep(0)  # until the other has begun as well
            seen[name] = inner.span_id
            return Found(answer=found(1), provider="tavily", cost=CREDIT)

        return provider

    attempt = attempt_filter(clock)
    await asyncio.gather(*(attempt(call, service(name)) for name in ("first", "second")))

    started = [event.span_id for event in events(call) if isinstance(event, AttemptStarted)]
    assert [seen["first"], seen["second"]] == started
    assert len(set(started)) == 2
