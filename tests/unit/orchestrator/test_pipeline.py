"""The stages together: facts that hold only if their order is right."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from orchestrator.errors import (
    EventLogUnavailable,
    InvalidRequest,
    RateLimited,
    Unauthenticated,
)
from orchestrator.events import (
    FREE,
    AttemptStarted,
    CacheMissed,
    CallerAuthenticated,
    RequestReceived,
)
from orchestrator.facts import CallersRefused
from orchestrator.filters import authenticate
from orchestrator.filters.rate_limit import RateLimitPolicy
from orchestrator.model import (
    CacheControl,
    SearchRequest,
)
from orchestrator.recorder import CALLERS_STREAM
from tests.support.core import POLICIES, Core, both, down
from tests.support.scripted_provider import CREDIT, ScriptedProvider, found, results_of

TIDES = SearchRequest(query="tide tables")


# --- a search, told by its events


async def test_a_miss_is_an_intent_frame_and_a_closing_frame():
    """A paid call is announced durably before it is made; everything else comes with the answer."""
    core = Core(ScriptedProvider("tavily", [2], delay_s=0.5))
    call = core.open(TIDES)

    response = await core.gateway.search(call)

    assert len(results_of(response.fragment)) == 2
    assert core.kinds(call) == [
        ["RequestReceived", "CallerAuthenticated", "CacheMissed", "AttemptStarted"],
        ["AttemptSucceeded", "ResultCached", "RequestCompleted"],
    ]
    completed = core.events(call)[-1]
    assert (completed.provider, completed.cache, completed.results) == ("tavily", "miss", 2)
    assert (completed.cost, completed.saved) == (CREDIT, FREE)
    assert (completed.duration_s, completed.upstream_s) == (pytest.approx(0.5), pytest.approx(0.5))


async def test_a_hit_is_one_frame_and_costs_nothing():
    """The same search again is answered from memory, in one frame, and says what it saved."""
    tavily = ScriptedProvider("tavily", [2])
    core = Core(tavily)
    first = await core.search()
    call = core.open(TIDES)

    second = await core.gateway.search(call)

    assert tavily.calls == 1
    assert (second.cache, second.cost) == ("l1", FREE)
    assert second.fragment is first.fragment
    assert core.kinds(call) == [["RequestReceived", "CallerAuthenticated", "CacheHit", "RequestCompleted"]]
    assert core.events(call)[-1].saved == CREDIT


@pytest.mark.parametrize(
    "query", ["TIDE  tables", " tide tables\n", "tide \uff34\uff41bles", "tide\u200b tables"]
)
async def test_another_spelling_is_the_same_search(query):
    """Case, blanks, Unicode form and invisible characters do not cost another call."""
    tavily = ScriptedProvider()
    core = Core(tavily)
    await core.search("tide tables")

    assert (await core.search(query)).cache == "l1"
    assert tavily.calls == 1


async def test_the_numbers_of_an_execution_have_no_holes():
    """The events of an execution are numbered from 1 over all its frames."""
    core = Core(*both([down()]))
    call = core.open(TIDES)

    await core.gateway.search(call)

    frames = core.journal.of(call.trail.execution_id)
    numbers = [envelope.seq for frame in frames for envelope in frame.events]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_the_text_of_a_query_is_beside_its_events_and_never_in_them():
    """The query is kept under its key, apart from the events."""
    core = Core(ScriptedProvider())
    call = core.open(SearchRequest(query="secret tides", topic="news"))

    await core.gateway.search(call)

    (key,) = {event.key for event in core.events(call) if isinstance(event, CacheMissed)}
    texts = {key: text for frame in core.journal.frames for key, text in frame.texts.items()}
    assert texts == {key: "secret tides"}
    assert {**core.journal.frames[0].requests} == {key: '{"topic":"news"}'}
    assert "secret" not in repr([frame.events for frame in core.journal.frames])


# --- order


async def test_a_stranger_reaches_nothing():
    """An unauthenticated call is neither charged, nor validated, nor answered, nor given a frame."""
    tavily = ScriptedProvider()
    core = Core(tavily)

    for query in ("", "tide tables"):
        with pytest.raises(Unauthenticated):
            await core.gateway.search(
                core.open(SearchRequest(query=query), is_local_operator=False, refusal="proxy")
            )

    await core.settle()
    assert tavily.calls == 0
    assert [frame.stream for frame in core.journal.frames] == [CALLERS_STREAM]
    assert core.journal.events(CALLERS_STREAM) == [CallersRefused(reason="proxy", count=2)]


@pytest.fixture
def limited(monkeypatch):
    """A core whose local operator is limited like any client."""
    principal = msgspec.structs.replace(authenticate.LOCAL_OPERATOR, is_unlimited=False)
    monkeypatch.setattr(authenticate, "LOCAL_OPERATOR", principal)
    return msgspec.structs.replace(POLICIES, rate_limit=RateLimitPolicy(burst=2))


async def test_a_throttled_caller_is_not_even_answered_from_the_cache(limited):
    """The limit counts calls, not costs: it stands before the cache."""
    core = Core(ScriptedProvider(), policies=limited)
    await core.search()
    await core.search()
    call = core.open(TIDES)

    with pytest.raises(RateLimited):
        await core.gateway.search(call)

    assert core.kinds(call) == [
        ["RequestReceived", "CallerAuthenticated", "RequestThrottled", "RequestFailed"]
    ]


async def test_invalid_requests_are_counted_by_the_limit(limited):
    """A flood of invalid requests is a flood."""
    core = Core(ScriptedProvider(), policies=limited)
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            await core.search("")

    with pytest.raises(RateLimited):
        await core.search("")


async def test_an_invalid_request_is_looked_up_nowhere():
    """What is refused has no key, asks no provider, and is recorded as refused."""
    tavily = ScriptedProvider()
    core = Core(tavily)
    call = core.open(SearchRequest(query="x"))

    with pytest.raises(InvalidRequest):
        await core.gateway.search(call)

    assert tavily.calls == 0
    assert core.events(call)[-1].error == "invalid_request"
    assert not any(isinstance(event, CacheMissed) for event in core.events(call))


async def test_a_hit_never_queues_behind_a_flight():
    """While one caller refreshes an entry, another is answered from it at once."""
    core = Core(ScriptedProvider("tavily", [3], delay_s=2.0))
    await core.search()
    refresh = asyncio.ensure_future(core.search(control=CacheControl(no_cache=True)))
    await asyncio.sleep(0.5)

    assert (await core.search()).cache == "l1"
    assert not refresh.done()
    assert (await refresh).cache == "miss"


# --- the record comes first


async def test_without_a_journal_nobody_is_called():
    """If the intent cannot be made durable the provider is not called and the caller is refused."""
    tavily, jina = both()
    core = Core(tavily, jina)
    core.journal.is_full = True

    with pytest.raises(EventLogUnavailable):
        await core.search()

    assert (tavily.calls, jina.calls) == (0, 0)


async def test_without_a_journal_not_even_a_hit_is_answered():
    """An answer that cannot be recorded does not leave."""
    core = Core(ScriptedProvider())
    await core.search()
    core.journal.is_full = True

    with pytest.raises(EventLogUnavailable):
        await core.search()


async def test_a_refused_call_is_recorded_if_the_journal_recovers_in_time():
    """An execution whose intent could not be written still ends with a whole frame, settled as unspent."""
    core = Core(ScriptedProvider())
    call = core.open(TIDES)
    core.journal.refuse_next = 1

    with pytest.raises(EventLogUnavailable):
        await core.gateway.search(call)

    (kinds,) = core.kinds(call)
    assert kinds[0] == "RequestReceived"
    assert kinds[-3:] == ["AttemptStarted", "AttemptFailed", "RequestFailed"]


async def test_a_journal_that_recovers_serves_again():
    """A full journal is a passing fault: it blames no provider and opens no circuit."""
    tavily, jina = both()
    core = Core(tavily, jina)
    core.journal.is_full = True
    for n in range(10):
        with pytest.raises(EventLogUnavailable):
            await core.search(f"query {n}")

    core.journal.is_full = False

    assert (await core.search()).provider == "tavily"
    numbers = [frame.instance_seq for frame in core.journal.frames]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_the_intent_is_durable_when_the_provider_is_called():
    """At the moment of the call the journal holds the intent, with its price."""
    seen = []
    core = Core()
    tavily = ScriptedProvider("tavily", [lambda call: (seen.extend(core.events(call)), found(1))[1]])
    core = Core(tavily)

    await core.search()

    assert [type(event) for event in seen] == [
        RequestReceived,
        CallerAuthenticated,
        CacheMissed,
        AttemptStarted,
    ]
    assert seen[-1].estimate == CREDIT
