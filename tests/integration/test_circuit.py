"""A provider that is down is left alone and looked at again later; finding nothing is not being down."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cooldown import CircuitPolicy
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SEARCHES = 200

CALLS_MAX = 20
"""Of `SEARCHES` distinct searches, how many may reach a dead provider."""

SHORT_COOLDOWN = Policies(circuit=CircuitPolicy(cooldowns_s=(1.0,), jitter_ratio=0.0))


@pytest.fixture
async def jina():
    """Jina, simulated."""
    async with JinaSimulator(balance=10**12) as running:
        yield running


async def searches(amos: GatewayServer, queries: Sequence[str], at_once: int = 1) -> list[dict[str, Any]]:
    """The answers to the queries, in their order, asked by `at_once` clients."""
    gate = asyncio.Semaphore(at_once)

    async def one(query: str) -> dict[str, Any]:
        async with gate:
            response = await amos.search(query)
            assert response.status_code == 200, response.text
            return response.json()

    return list(await asyncio.gather(*(one(query) for query in queries)))


async def circuit_events(amos: GatewayServer, provider: str) -> list[str]:
    """The types of the recorded facts about a provider's circuit, without prefix and version."""
    await amos.drain()
    return [event["type"].split(".")[2] for event in amos.events(f"circuit:{provider}")]


async def provider_health(amos: GatewayServer, provider: str) -> dict[str, Any]:
    """What /health says of a provider."""
    components = (await amos.client.get("/health")).json()["components"]
    return next(component for component in components if component["name"] == f"provider:{provider}")


@pytest.mark.parametrize(
    ("fault", "at_once"),
    [
        (Fault.status(500), 1),
        (Fault.status(500), 8),
        (Fault.reset(), 8),
        (Fault.status(401), 8),
        (Fault.body("{}"), 8),
        (Fault.body('{"results": [{"url": 7}]}'), 8),
    ],
    ids=["500 one by one", "500", "reset", "401", "no answer in it", "another shape"],
)
async def test_a_dead_tavily_is_left_alone(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator, fault: Fault, at_once: int
):
    """Of 200 distinct searches at most 20 reach a dead Tavily, and all are answered by Jina."""
    tavily.always(fault)
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        answers = await searches(amos, [f"question {n}" for n in range(SEARCHES)], at_once)
        health = await provider_health(amos, "tavily")

        assert await circuit_events(amos, "tavily") == ["opened"]
    assert {answer["amos"]["provider"] for answer in answers} == {"jina"}
    assert tavily.count <= CALLS_MAX
    assert jina.count == SEARCHES
    last = answers[-1]["amos"]["attempts"][0]
    assert (last["provider"], last["outcome"], last["reason"]) == ("tavily", "skipped", "circuit_open")
    assert health["status"] == "down"


async def test_a_silent_tavily_is_left_alone(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """A provider that never answers costs a few searches their time, then no more."""
    tavily.always(Fault.hang())
    async with serving(tmp_path, tavily=tavily, jina=jina, deadline_s=2) as amos:
        answers = await searches(amos, [f"question {n}" for n in range(40)], at_once=8)

    assert {answer["amos"]["provider"] for answer in answers} == {"jina"}
    assert tavily.count <= CALLS_MAX


async def test_one_probe_finds_tavily_back(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """After the cooldown one call looks whether Tavily is back; then everybody is sent there again."""
    tavily.always(Fault.status(500))
    async with serving(tmp_path, tavily=tavily, jina=jina, policies=SHORT_COOLDOWN) as amos:
        await searches(amos, [f"before {n}" for n in range(3)])
        before = tavily.count
        tavily.recover()
        tavily.delay_s = 0.2
        await asyncio.sleep(1.05)

        during = await searches(amos, [f"during {n}" for n in range(8)], at_once=8)
        probes = tavily.count - before
        after = await searches(amos, ["after the probe"])

        assert await circuit_events(amos, "tavily") == ["opened", "half_opened", "closed"]
        assert (await provider_health(amos, "tavily"))["status"] == "ok"
    assert probes == 1
    assert sorted(answer["amos"]["provider"] for answer in during) == ["jina"] * 7 + ["tavily"]
    assert after[0]["amos"]["provider"] == "tavily"


async def test_a_failed_probe_opens_again(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """If the probe fails too, nobody else is sent there for another cooldown."""
    tavily.always(Fault.status(500))
    async with serving(tmp_path, tavily=tavily, jina=jina, policies=SHORT_COOLDOWN) as amos:
        await searches(amos, [f"before {n}" for n in range(3)])
        before = tavily.count
        await asyncio.sleep(1.05)

        answers = await searches(amos, [f"during {n}" for n in range(3)])

        assert await circuit_events(amos, "tavily") == ["opened", "half_opened", "opened"]
    assert tavily.count - before == 1
    assert {answer["amos"]["provider"] for answer in answers} == {"jina"}


async def test_a_throttled_tavily_gets_the_pause_it_asked_for(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """A 429 with Retry-After keeps everybody away for exactly that long."""
    tavily.script(Fault.status(429, retry_after=2))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        meanwhile = await searches(amos, [f"meanwhile {n}" for n in range(20)])
        paused_count = tavily.count
        await asyncio.sleep(2.05)
        after = await searches(amos, ["after the pause"])

    assert paused_count == 1
    assert {answer["amos"]["provider"] for answer in meanwhile} == {"jina"}
    assert after[0]["amos"]["provider"] == "tavily"


@pytest.mark.parametrize("named", ["0", "0.2"])
async def test_a_time_that_is_over_at_once_is_waited_for(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator, named: str
):
    """A 429 with a `Retry-After` of a moment is answered by Tavily itself, after that moment."""
    tavily.script(Fault.status(429, retry_after=named))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        (answer,) = await searches(amos, ["tide tables"])

    assert answer["amos"]["provider"] == "tavily"
    assert tavily.count == 2
    first, second = tavily.calls
    assert second.at - first.at >= float(named)


async def test_a_throttled_tavily_may_name_a_date(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """The other form of `Retry-After`, a date in whole seconds, is kept as well."""
    tavily.script(Fault.status(429, retry_after=formatdate(time.time() + 3, usegmt=True)))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        await searches(amos, ["too often"])
        await amos.drain()
        (opened,) = amos.events("circuit:tavily")
        paused_count = tavily.count
        await asyncio.sleep(opened["cooldown_s"] + 0.05)
        (after,) = await searches(amos, ["after the pause"])

    assert 0.5 < opened["cooldown_s"] <= 3.0
    assert paused_count == 1
    assert after["amos"]["provider"] == "tavily"


async def test_a_used_up_quota_keeps_away_and_costs_nothing(tmp_path: Path, jina: JinaSimulator):
    """After the first 432 Tavily is not asked again, and the refusal is on record as free."""
    async with (
        TavilySimulator(credits_limit=3) as tavily,
        serving(tmp_path, tavily=tavily, jina=jina) as amos,
    ):
        answers = await searches(amos, [f"question {n}" for n in range(10)])
        await amos.drain()
        (opened,) = amos.events("circuit:tavily")
        failed = [
            line["event"]
            for frame in amos.frames()
            for line in frame["events"]
            if line["event"]["type"] == "amos.attempt.failed.v1"
        ]

    assert [answer["amos"]["provider"] for answer in answers] == ["tavily"] * 3 + ["jina"] * 7
    assert (tavily.count, tavily.credits_used) == (4, 3)
    assert (opened["reason"], opened["cooldown_s"]) == ("quota", 3600.0)
    assert [event["reason"] for event in failed] == ["quota"]
    assert "cost" not in failed[0]
    assert "assumed" not in failed[0]


async def test_late_answers_of_tavily_are_given_until_its_circuit_opens(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """Answers that took nearly all the time there is are used, and send the searches after them to Jina."""
    tavily.delay_s = 1.0
    policies = Policies(
        timing=ProviderTiming(search_s=5.0), circuit=CircuitPolicy(slow_ratio=0.15, failures_max=3)
    )
    async with serving(tmp_path, tavily=tavily, jina=jina, policies=policies) as amos:
        answers = await searches(amos, [f"question {n}" for n in range(5)])
        await amos.drain()
        (opened,) = amos.events("circuit:tavily")

    assert [answer["amos"]["provider"] for answer in answers] == ["tavily"] * 3 + ["jina"] * 2
    assert opened["reason"] == "slow"


async def test_empty_answers_open_no_circuit(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """Fifty times "nothing found" in a row are fifty successes: both providers go on being asked."""
    tavily.always(Fault.empty())
    jina.always(Fault.empty())
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        await searches(amos, [f"question {n}" for n in range(50)])

        assert await circuit_events(amos, "tavily") == await circuit_events(amos, "jina") == []
    assert (tavily.count, jina.count) == (50, 50)


async def test_callers_mistakes_open_no_circuit(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """Requests that Tavily refuses as invalid say nothing about its health."""
    tavily.always(Fault.status(400))
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        statuses = [(await amos.search(f"question {n}")).status_code for n in range(20)]

        assert await circuit_events(amos, "tavily") == []
    assert statuses == [400] * 20
    assert tavily.count == 20


async def test_a_caller_in_a_hurry_closes_no_provider_to_others(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """Extracts whose own short timeout cuts healthy providers off open no circuit for everybody else."""
    tavily.delay_s = jina.delay_s = 1.1
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        pages = [{"urls": [f"https://almanac.example/{number}"], "timeout": 1} for number in range(6)]
        hurried = await asyncio.gather(*(amos.client.post("/extract", json=page) for page in pages))
        assert {answer.status_code for answer in hurried} <= {503, 504}
        patient = await amos.search("tide tables")

        assert await circuit_events(amos, "tavily") == await circuit_events(amos, "jina") == []
    assert patient.status_code == 200
    assert patient.json()["amos"]["provider"] == "tavily"
