"""The chain as it is built: how its stages work together, which none of them knows."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from orchestrator.errors import ProviderThrottled
from orchestrator.events import AttemptStarted
from orchestrator.facts import CircuitOpened
from orchestrator.filters.provider_room import ProviderRoomPolicy, ProviderRooms
from orchestrator.filters.retry import RetryPolicy
from orchestrator.parts import Policies
from orchestrator.ports import CircuitReport, SharedCircuit
from tests.support.core import Core, both, down, tried
from tests.support.scripted_provider import ScriptedProvider

AT_FIRST = ProviderRoomPolicy().calls_at_first


async def endless(_call):
    """A provider that hangs."""
    await asyncio.Event().wait()


async def crowd(core, count, about="question"):
    """So many different searches at once, and what came of each."""
    return await asyncio.gather(*(core.search(f"{about} {n}") for n in range(count)))


async def test_a_provider_that_hangs_from_the_start_holds_few_calls():
    """Hundreds of searches reach a dead provider with no more calls than its room has at first."""
    tavily, jina = both(tavily=[endless])
    core = Core(tavily, jina)

    answers = await crowd(core, 800)

    assert {answer.provider for answer in answers} == {"jina"}
    assert tavily.calls <= 2 * AT_FIRST
    await core.settle()


async def test_a_provider_that_fails_from_the_start_is_asked_a_handful_of_times():
    """Failures open the circuit while the crowd waits outside; all of it goes on to the next provider."""
    tavily, jina = both(tavily=[down("tavily")], delay_s=0.05)
    core = Core(tavily, jina, policies=Policies(retry=RetryPolicy()))

    answers = await crowd(core, 800)

    assert {answer.provider for answer in answers} == {"jina"}
    assert tavily.calls <= 20
    assert core.pipeline.circuits["tavily"].state == "open"
    await core.settle()


async def test_who_waits_when_the_circuit_opens_moves_on_at_once():
    """The wait for a place ends with the circuit, not with the time that was set for it."""
    throttled = ProviderThrottled("Slow down.", provider="tavily", reason="throttled", retry_after_s=60.0)
    tavily, jina = both(tavily=[throttled], delay_s=1.0)
    rooms = ProviderRooms(named={"jina": ProviderRoomPolicy(calls_at_first=100)})
    core = Core(tavily, jina, policies=Policies(rooms=rooms))
    began = core.clock.monotonic()

    answers = await crowd(core, AT_FIRST + 5)

    assert core.clock.monotonic() - began == pytest.approx(2.0, abs=0.01)
    reasons = Counter(tried(answer)[0][2] for answer in answers)
    assert reasons == {"throttled": AT_FIRST, "circuit_open": 5}
    await core.settle()


async def test_who_finds_no_place_asks_the_next_provider():
    """A provider with no place left is passed by as `busy`; that counts against nobody."""
    rooms = ProviderRooms(named={"tavily": ProviderRoomPolicy(calls_max=1, waiting_max=0)})
    tavily, jina = both(delay_s=1.0)
    core = Core(tavily, jina, policies=Policies(rooms=rooms))

    first, second = await crowd(core, 2)

    assert tried(first) == [("tavily", "success", "")]
    assert tried(second) == [("tavily", "skipped", "busy"), ("jina", "success", "")]
    assert core.pipeline.circuits["tavily"].state == "closed"
    await core.settle()


async def test_a_call_that_finds_no_place_has_no_intent():
    """Who is passed by as busy was never called: nothing is written that could settle as spent."""
    rooms = ProviderRooms(named={"tavily": ProviderRoomPolicy(calls_max=1, waiting_max=0)})
    tavily, jina = both(delay_s=1.0)
    core = Core(tavily, jina, policies=Policies(rooms=rooms))

    await crowd(core, 2)

    begun = Counter(
        envelope.event.provider
        for frame in core.journal.frames
        for envelope in frame.events
        if isinstance(envelope.event, AttemptStarted)
    )
    assert begun == {"tavily": 1, "jina": 1}
    await core.settle()


@pytest.mark.parametrize(("count", "slow_s"), [(200, 1.0), (700, 1.0), (100, 2.0), (800, 0.3)])
async def test_a_crowd_on_a_cold_process_is_answered(count, slow_s):
    """Though the room begins small, a crowd of strangers' questions is answered within the deadline."""
    tavily, jina = both(delay_s=slow_s)
    core = Core(tavily, jina)

    answers = await crowd(core, count)

    assert {answer.provider for answer in answers} <= {"tavily", "jina"}
    assert tavily.calls + jina.calls == count, "and nobody is paid twice for it"
    await core.settle()


async def test_a_crowd_with_one_provider_is_answered():
    """Without anybody to turn to, all of the crowd wait their turn."""
    core = Core(ScriptedProvider("tavily", delay_s=1.0))

    answers = await crowd(core, 800)

    assert {answer.provider for answer in answers} == {"tavily"}
    await core.settle()


async def test_searches_and_extracts_share_the_room_of_a_provider():
    """The bound is on calls to a provider, whatever they ask for."""
    rooms = ProviderRooms(named={"tavily": ProviderRoomPolicy(calls_max=1, waiting_max=0)})
    tavily, jina = both(delay_s=1.0)
    core = Core(tavily, jina, policies=Policies(rooms=rooms))

    searched, extracted = await asyncio.gather(core.search(), core.extract())

    assert searched.provider == "tavily"
    assert [one.reason for one in extracted.attempts] == ["busy", ""]
    await core.settle()


async def test_own_documents_are_never_too_busy():
    """The floor has no room of its own: it must answer when nobody else does."""
    tavily, local = both()
    local.name, local.schemes = "local", frozenset({"file"})

    core = Core(tavily, local)

    assert list(core.pipeline.rooms) == ["tavily"]
    await core.settle()


async def test_after_an_outage_the_crowd_comes_back_slowly():
    """When the circuit closes again the room begins small, so that a provider on its knees stays up."""
    tavily, jina = both(delay_s=0.05)
    core = Core(tavily, jina)
    await crowd(core, 200)
    assert core.pipeline.rooms["tavily"].calls_max > 5 * AT_FIRST

    tavily.script = [down("tavily")]
    await crowd(core, 20, "other question")
    opened = [e.event for f in core.journal.frames for e in f.events if isinstance(e.event, CircuitOpened)]

    assert len(opened) == 1
    assert core.pipeline.rooms["tavily"].calls_max == AT_FIRST
    await core.settle()


async def test_who_waits_moves_on_when_another_process_finds_the_provider_dead():
    """A circuit that was opened by the others lets those who wait here go as well."""
    tavily, jina = both(tavily=[endless])
    core = Core(tavily, jina)
    waiting = asyncio.create_task(crowd(core, AT_FIRST + 5))
    await asyncio.sleep(1.0)
    assert core.pipeline.rooms["tavily"].waiting == 5

    seen = SharedCircuit(state="open", left_s=30.0, cooldown_s=30.0, reason="timeout")
    core.pipeline.circuits["tavily"].learn(CircuitReport(provider="tavily", kind="looked"), seen)
    await asyncio.sleep(0.1)

    assert core.pipeline.rooms["tavily"].waiting == 0
    assert jina.calls == 5
    await waiting
    await core.settle()
