"""The stages together: when a provider fails, is slow, finds nothing or is gone."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from orchestrator.errors import (
    AllProvidersFailed,
    InvalidRequest,
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    QuotaExhausted,
)
from orchestrator.events import (
    FREE,
    AttemptStarted,
    RetryScheduled,
)
from orchestrator.facts import CircuitOpened
from orchestrator.filters.retry import RetryPolicy
from orchestrator.filters.validate_result import ResultPolicy
from orchestrator.model import (
    SearchAnswer,
    SearchRequest,
)
from orchestrator.outcome import BAD_REQUEST
from tests.support.core import POLICIES, Core, both, down, tried
from tests.support.scripted_provider import CREDIT, ScriptedProvider, result

TIDES = SearchRequest(query="tide tables")


# --- falling back


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (down(why="http_500"), "http_500"),
        (down(why="reset"), "reset"),
        (ProviderThrottled("Slow.", provider="tavily", reason="http_429"), "http_429"),
        (ProviderQuotaExceeded("Spent.", provider="tavily", reason="http_432"), "http_432"),
        (ProviderRejected("Key.", provider="tavily", reason="http_401"), "http_401"),
        (ProviderProtocolError("HTML.", provider="tavily", reason="bad_json"), "bad_json"),
        (ZeroDivisionError(), "internal_error"),
    ],
)
async def test_when_tavily_fails_jina_answers(failure, reason):
    """Any failure of the first provider is answered by the second, and both attempts are told."""
    core = Core(*both([failure]))
    call = core.open(TIDES)

    response = await core.gateway.search(call)

    assert (response.provider, response.is_fallback) == ("jina", True)
    assert [(one.provider, one.reason) for one in response.attempts] == [("tavily", reason), ("jina", "")]
    assert core.kinds(call) == [
        ["RequestReceived", "CallerAuthenticated", "CacheMissed", "AttemptStarted"],
        ["AttemptFailed", "AttemptStarted"],
        ["AttemptSucceeded", "ResultCached", "RequestCompleted"],
    ]
    assert core.events(call)[-1].fallback


async def test_a_slow_provider_leaves_time_for_the_next():
    """A provider that does not answer is given up in time for another to answer within the deadline."""
    core = Core(ScriptedProvider("tavily", [3], delay_s=60.0), ScriptedProvider("jina", [3], delay_s=2.0))
    begun = core.clock.monotonic()

    response = await core.search()

    assert tried(response) == [("tavily", "final", "timeout"), ("jina", "success", "")]
    assert core.clock.monotonic() - begun == pytest.approx(7.0)


async def test_a_fallback_answer_makes_room_sooner():
    """The answer of a second choice is cached for a shorter time."""
    core = Core(*both([down(), 3]))

    assert (await core.search()).ttl_s == 900.0


async def test_a_useless_answer_is_a_failure_of_the_provider():
    """Results nobody can follow make the next provider's turn."""
    core = Core(*both([SearchAnswer(results=(result("javascript:1"),), answer=None, images=())]))

    response = await core.search()

    assert tried(response) == [("tavily", "final", "unusable"), ("jina", "success", "")]


async def test_an_empty_answer_asks_once_more_and_both_are_paid():
    """Nothing found is asked of one more provider; the answer with results wins, and the cost is of both."""
    core = Core(*both([0], [2]))

    response = await core.search()

    assert (response.provider, response.cost) == ("jina", CREDIT + CREDIT)
    assert tried(response) == [("tavily", "empty", ""), ("jina", "success", "")]


async def test_nothing_anywhere_is_an_answer():
    """If nobody finds anything that is the answer, of the first provider, kept for a short time."""
    core = Core(*both([0], [0]))

    response = await core.search()

    assert (response.provider, response.result_count, response.ttl_s) == ("tavily", 0, 60.0)
    assert (await core.search()).cache == "l1"


THREE = msgspec.structs.replace(POLICIES, results=ResultPolicy(results_min=3))


@pytest.mark.parametrize(
    ("tavily_count", "jina_count", "provider", "asked"),
    [
        (3, 5, "tavily", 1),
        (2, 3, "jina", 2),
        (2, 1, "tavily", 2),
        (2, 2, "tavily", 2),
        (1, 2, "jina", 2),
        (0, 1, "jina", 2),
    ],
)
async def test_too_few_results_ask_once_more(tavily_count, jina_count, provider, asked):
    """With fewer than the policy wants the next provider is asked, and the better answer is given."""
    tavily, jina = both([tavily_count], [jina_count])
    core = Core(tavily, jina, policies=THREE)

    response = await core.search()

    assert (response.provider, tavily.calls + jina.calls) == (provider, asked)


async def test_as_many_as_the_caller_wants_are_enough():
    """Whoever asks for two results is not sent on for a third."""
    tavily, jina = both([2])
    core = Core(tavily, jina, policies=THREE)

    assert (await core.search(max_results=2)).result_count == 2
    assert jina.calls == 0


async def test_what_is_dropped_does_not_count():
    """Useful results are counted when they have been looked at: duplicates and error pages are none."""
    page = result("https://a.example/")
    challenge = result("https://b.example/", title="404 Not Found", content="nginx")
    tavily, jina = both([SearchAnswer(results=(page, page, challenge), answer=None, images=())], [3])
    core = Core(tavily, jina, policies=THREE)

    assert (await core.search()).provider == "jina"


async def test_few_results_are_kept_if_the_next_provider_fails():
    """Whatever one provider found is better than nothing."""
    core = Core(*both([1], [down("jina")]), policies=THREE)

    assert (await core.search()).result_count == 1


async def test_a_caller_who_wants_no_results_gets_none():
    """With `max_results` 0 an answer without results is complete: nobody else is asked."""
    tavily, jina = both([0])
    core = Core(tavily, jina)

    await core.search(max_results=0)

    assert jina.calls == 0


async def test_empty_answers_never_open_a_circuit():
    """Fifty searches that find nothing leave every provider in service."""
    tavily, jina = both([0], [0])
    core = Core(tavily, jina)

    for n in range(50):
        await core.search(f"nothing {n}")

    assert (tavily.calls, jina.calls) == (50, 50)
    assert {circuit.state for circuit in core.pipeline.circuits.values()} == {"closed"}


async def test_a_dead_provider_is_soon_left_alone():
    """Of two hundred different searches at most twenty reach a provider that is down; all are answered."""
    tavily, jina = both([down()])
    core = Core(tavily, jina, policies=msgspec.structs.replace(POLICIES, retry=RetryPolicy()))

    for n in range(200):
        assert (await core.search(f"query {n}")).provider == "jina"
    await core.settle()

    assert tavily.calls <= 20
    assert jina.calls == 200
    opened = [e for e in core.journal.events("circuit:tavily") if isinstance(e, CircuitOpened)]
    assert opened[0].reason == "http_500"


async def test_a_dead_provider_is_left_alone_under_load():
    """Also when the searches come at once, an outage costs few calls."""
    tavily, jina = ScriptedProvider("tavily", [down()]), ScriptedProvider("jina", [3], delay_s=0.1)
    core = Core(tavily, jina, policies=msgspec.structs.replace(POLICIES, retry=RetryPolicy()))

    for batch in range(20):
        await asyncio.gather(*(core.search(f"query {batch} {n}") for n in range(10)))

    assert tavily.calls <= 20


async def test_a_skipped_provider_is_told():
    """While a circuit is open the answer says that the provider was passed by."""
    core = Core(*both([ProviderQuotaExceeded("Spent.", provider="tavily", reason="http_432")]))
    await core.search("first")

    response = await core.search("second")

    assert tried(response) == [("tavily", "skipped", "circuit_open"), ("jina", "success", "")]
    assert response.is_fallback


async def test_a_passing_fault_is_retried_before_falling_back():
    """One reset is answered by the same provider after a moment."""
    tavily, jina = both([down(why="reset"), 3])
    core = Core(tavily, jina, policies=msgspec.structs.replace(POLICIES, retry=RetryPolicy()))
    call = core.open(TIDES)

    response = await core.gateway.search(call)

    assert (response.provider, tavily.calls, jina.calls) == ("tavily", 2, 0)
    numbers = [event.number for event in core.events(call) if isinstance(event, AttemptStarted)]
    assert numbers == [1, 2]
    assert any(isinstance(event, RetryScheduled) for event in core.events(call))


async def test_a_throttled_provider_is_tried_once():
    """After a 429 the chain goes on at once; no retry runs into the circuit it has opened."""
    tavily, jina = both([ProviderThrottled("Slow.", provider="tavily", reason="http_429")])
    core = Core(tavily, jina, policies=msgspec.structs.replace(POLICIES, retry=RetryPolicy()))

    response = await core.search()

    assert tried(response) == [("tavily", "retryable", "http_429"), ("jina", "success", "")]


async def test_a_request_a_provider_calls_invalid_ends_there():
    """What one provider refuses as a bad request is not offered to the next."""
    tavily, jina = both([ProviderRejected("No.", provider="tavily", reason=BAD_REQUEST)])
    core = Core(tavily, jina)

    with pytest.raises(InvalidRequest):
        await core.search()

    assert jina.calls == 0


async def test_when_all_fail_the_caller_learns_why():
    """With everybody down the failure names each provider and its reason, and nothing is cached."""
    core = Core(*both([down()], [down("jina", "reset")]))

    with pytest.raises(AllProvidersFailed) as failure:
        await core.search()

    assert tried(failure.value) == [("tavily", "retryable", "http_500"), ("jina", "retryable", "reset")]
    assert len(core.cache) == 0


async def test_when_all_are_slow_the_caller_still_learns_why():
    """Two providers that never answer are two timeouts with reasons, inside the deadline."""
    core = Core(*both(delay_s=60.0))
    begun = core.clock.monotonic()

    with pytest.raises(AllProvidersFailed) as failure:
        await core.search()

    assert tried(failure.value) == [("tavily", "final", "timeout"), ("jina", "final", "timeout")]
    assert core.clock.monotonic() - begun < 9.0


async def test_slowness_opens_the_circuit_of_the_last_provider_too():
    """A provider that always takes all the time there is left is found out."""
    slow = ScriptedProvider("jina", [3], delay_s=60.0)
    core = Core(ScriptedProvider("tavily", [down()]), slow)

    for n in range(8):
        with pytest.raises(AllProvidersFailed):
            await core.search(f"query {n}")

    assert slow.calls == 5


async def test_used_up_quotas_have_their_own_name_every_time():
    """When all quotas are used up, the second caller is told so like the first."""
    core = Core(
        *both(
            [ProviderQuotaExceeded("Spent.", provider="tavily", reason="http_432")],
            [ProviderQuotaExceeded("Spent.", provider="jina", reason="http_402")],
        )
    )

    for n in range(2):
        with pytest.raises(QuotaExhausted):
            await core.search(f"query {n}")


async def test_without_providers_the_failure_says_so():
    """A gateway without a provider for the operation cannot answer, and says why."""
    core = Core(ScriptedProvider("tavily", operations=["extract"]))

    with pytest.raises(AllProvidersFailed, match="no provider is configured"):
        await core.search()


# --- the floor


async def test_the_floor_is_marked_and_not_cached():
    """When the web is gone the local index answers, says that it stands in, and is not kept."""
    local = ScriptedProvider("local", [1], operations=["search"], cost=FREE)
    core = Core(*both([down()], [down("jina")]), local)
    call = core.open(TIDES)

    response = await core.gateway.search(call)

    assert (response.provider, response.is_degraded, response.ttl_s) == ("local", True, 0.0)
    assert core.events(call)[-1].degraded
    await core.search()
    assert local.calls == 2


async def test_the_floor_is_not_asked_when_the_web_found_nothing():
    """The local index never passes itself off as the web."""
    local = ScriptedProvider("local", [1], operations=["search"], cost=FREE)
    core = Core(ScriptedProvider("tavily", [0]), local)

    response = await core.search()

    assert (response.provider, local.calls) == ("tavily", 0)


async def test_a_local_provider_alone_is_no_floor():
    """Without web providers the local index is the first choice, cached like any other."""
    local = ScriptedProvider("local", [1], operations=["search"], cost=FREE)
    core = Core(local)

    response = await core.search()

    assert (response.is_degraded, response.is_fallback) == (False, False)
    assert (await core.search()).cache == "l1"
