"""The chain asks a provider it would have left alone rather than fail: when, and when not."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from orchestrator.errors import AllProvidersFailed, ProviderQuotaExceeded, ProviderThrottled, QuotaExhausted
from orchestrator.facts import CircuitClosed
from orchestrator.filters.circuit_breaker import CircuitPolicy
from orchestrator.filters.retry import RetryPolicy
from orchestrator.ports import ProviderTiming
from tests.support.core import POLICIES, Core, both, down, tried
from tests.support.scripted_provider import ScriptedProvider

ONE = msgspec.structs.replace(POLICIES, circuit=CircuitPolicy(failures_max=1))
"""One failure opens a circuit."""

TWO = msgspec.structs.replace(POLICIES, circuit=CircuitPolicy(failures_max=2))

SPENT = ProviderQuotaExceeded("Spent.", provider="tavily", reason="quota")
THROTTLED = ProviderThrottled("Slow.", provider="tavily", reason="throttled", retry_after_s=20.0)

SKIPPED = ("tavily", "skipped", "circuit_open")


async def failure_of(core: Core, query: str) -> AllProvidersFailed:
    """How a search fails."""
    with pytest.raises(AllProvidersFailed) as failure:
        await core.search(query)
    return failure.value


@pytest.mark.parametrize("error", [down(), SPENT], ids=["down", "quota"])
async def test_the_stand_in_fails(error: Exception):
    """A provider that is left alone, and long back, answers when the one after it has gone down."""
    core = Core(*both([error, 3], [3, down("jina")]), policies=ONE)
    await core.search("opens the circuit of tavily")

    response = await core.search("jina is down")

    assert tried(response) == [SKIPPED, ("jina", "retryable", "http_500"), ("tavily", "success", "")]
    assert response.provider == "tavily"
    assert core.pipeline.circuits["tavily"].state == "closed"
    assert isinstance(core.journal.events("circuit:tavily")[-1], CircuitClosed)


async def test_pages_have_it_too():
    """An extract that the stand-in fails is read by the provider that is back."""
    core = Core(*both([down(), 1], [1, down("jina")]), policies=ONE)
    await core.extract("https://almanac.example/opens-the-circuit")

    response = await core.extract("https://almanac.example/jina-is-down")

    assert tried(response) == [SKIPPED, ("jina", "retryable", "http_500"), ("tavily", "success", "")]


async def test_it_is_down_as_well():
    """If the last resort fails the call fails with everything that was tried, and nothing else changes."""
    core = Core(*both([down()], [3, 3, down("jina")]), policies=TWO)
    await asyncio.gather(core.search("opens the circuit"), core.search("of tavily"))
    left_s = core.pipeline.circuits["tavily"].retry_after_s

    failure = await failure_of(core, "jina is down")

    assert tried(failure) == [
        SKIPPED,
        ("jina", "retryable", "http_500"),
        ("tavily", "retryable", "http_500"),
    ]
    assert core.pipeline.circuits["tavily"].state == "open"
    assert core.pipeline.circuits["tavily"].retry_after_s == left_s


async def test_nobody_has_let_it_down():
    """Once all circuits are open a call is refused at once, and nobody is asked."""
    tavily, jina = both([down()], [down("jina")])
    core = Core(tavily, jina, policies=ONE)
    await failure_of(core, "opens both circuits")

    failure = await failure_of(core, "refused")

    assert tried(failure) == [SKIPPED, ("jina", "skipped", "circuit_open")]
    assert (tavily.calls, jina.calls) == (1, 1)


async def test_one_that_was_asked_is_not_asked_again():
    """A provider that has failed in this very call, and so opened its circuit, is not its last resort."""
    tavily, jina = both([down()], [down("jina")])
    core = Core(tavily, jina, policies=ONE)

    failure = await failure_of(core, "both fail")

    assert [line[:2] for line in tried(failure)] == [("tavily", "retryable"), ("jina", "retryable")]
    assert (tavily.calls, jina.calls) == (1, 1)


async def test_one_that_has_asked_for_a_pause_gets_it():
    """A provider that throttles is left alone for the time it has named, whatever becomes of the others."""
    tavily, jina = both([THROTTLED, 3], [3, down("jina")])
    core = Core(tavily, jina, policies=TWO)
    await core.search("tavily throttles")

    failure = await failure_of(core, "jina is down")

    assert tried(failure) == [SKIPPED, ("jina", "retryable", "http_500")]
    assert tavily.calls == 1


async def test_it_is_asked_once():
    """A last resort that fails is not tried again, although a provider thought to be well would be."""
    tavily, jina = both([down()], [3, down("jina")])
    core = Core(tavily, jina, policies=msgspec.structs.replace(ONE, retry=RetryPolicy(attempts_max=2)))
    await core.search("opens the circuit of tavily")
    asked = tavily.calls

    await failure_of(core, "jina is down")

    assert tavily.calls == asked + 1


async def test_a_spent_quota_is_not_the_failure():
    """What the last resort says does not become the reason of a failure that was another's."""
    core = Core(*both([SPENT], [3, down("jina")]), policies=TWO)
    await core.search("tavily's quota is used up")

    failure = await failure_of(core, "jina is down")

    assert not isinstance(failure, QuotaExhausted)
    assert tried(failure)[-1] == ("tavily", "final", "quota")


async def test_rather_than_the_floor():
    """The last resort comes before the local floor, which answers only if that fails too."""
    tavily, jina = both([down(), 3, down()], [3, down("jina"), down("jina")])
    local = ScriptedProvider("local", [1], operations=("search",), timing=ProviderTiming())
    core = Core(tavily, jina, local, policies=ONE)
    await core.search("opens the circuit of tavily")

    better = await core.search("jina is down")
    floor = await core.search("both are down")

    assert (better.provider, better.is_degraded) == ("tavily", False)
    assert (floor.provider, floor.is_degraded) == ("local", True)


async def test_many_at_once():
    """All calls that were let down find the provider that is back, not only the first of them."""
    tavily, jina = both([down(), 3], [3, down("jina")], delay_s=1.0)
    core = Core(tavily, jina, policies=ONE)
    await core.search("opens the circuit of tavily")

    responses = await asyncio.gather(*(core.search(f"at once {n}") for n in range(4)))

    assert {response.provider for response in responses} == {"tavily"}


async def test_it_is_back_already():
    """A call that was let down asks a provider that another call has brought back in the meantime."""
    tavily, jina = both([down(), 3], [3, down("jina")])
    core = Core(tavily, jina, policies=ONE)
    await core.search("opens the circuit of tavily")
    jina.delay_s = 1.0

    slow = asyncio.create_task(core.search("waits for jina"))
    await asyncio.sleep(0.5)
    core.pipeline.circuits["tavily"].revived()
    response = await slow

    assert tried(response) == [SKIPPED, ("jina", "retryable", "http_500"), ("tavily", "success", "")]
