"""Several gateways on one Redis behave as one: one flight, one set of circuits, one budget.

Each has its own data folder, as on a machine of its own; they share Redis and the simulated providers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from orchestrator.cooldown import CircuitPolicy
from orchestrator.parts import Policies
from storage import redis_flight
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.processes import until
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

INSTANCES = 3

CALLERS = 200

DEADLINE_S = 9.0

TRIES = 3


@pytest.fixture(autouse=True)
def no_dead_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """All gateways of a test share its event loop: what holds that up is no leader's death."""
    monkeypatch.setattr(redis_flight, "LEASE_MS", 20_000)


@contextlib.asynccontextmanager
async def instances(folder: Path, redis: Valkey, **options: Any) -> AsyncIterator[list[GatewayServer]]:
    """Three gateways that share one Redis, which is not taken for dead because the machine is busy."""
    options = {"redis_timeout_s": 1.0, **options}
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(serving(folder / f"instance{n}", redis_url=redis.url, **options))
            for n in range(INSTANCES)
        ]


async def spread(
    amos: Sequence[GatewayServer], query: str, count: int = CALLERS, **options: Any
) -> list[httpx.Response]:
    """The same search so many times at once, at each gateway in turn."""
    return await asyncio.gather(*(amos[n % len(amos)].search(query, **options) for n in range(count)))


async def records(amos: Sequence[GatewayServer]) -> list[list[dict[str, Any]]]:
    """The events of every execution, of all gateways."""
    executions: dict[str, list[dict[str, Any]]] = {}
    for gateway in amos:
        await gateway.drain()
        for frame in gateway.frames():
            if ":" not in frame["stream"] and frame["stream"] != "callers":
                events = [line["event"] for line in frame["events"]]
                executions.setdefault(frame["stream"], []).extend(events)
    return list(executions.values())


async def facts(amos: Sequence[GatewayServer], stream: str) -> list[str]:
    """The types of the facts of a stream over all gateways, without prefix and version."""
    for gateway in amos:
        await gateway.drain()
    events = [event for gateway in amos for event in gateway.events(stream)]
    return sorted(event["type"].removeprefix("amos.").rpartition(".")[0] for event in events)


async def circuits(amos: Sequence[GatewayServer], provider: str = "tavily") -> list[str]:
    """The status of the provider in the health of each gateway."""
    found = [await gateway.gateway.health() for gateway in amos]
    return [one.status for health in found for one in health if one.name == f"provider:{provider}"]


async def all_are(amos: Sequence[GatewayServer], status: str, within_s: float) -> None:
    """Wait until every gateway says so of Tavily. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while set(seen := await circuits(amos)) != {status}:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{seen}")
        await asyncio.sleep(0.02)


# --- flights ------------------------------------------------------------------------------------------------


async def test_identical_queries_over_all_instances_cost_one(
    tmp_path: Path, tavily: TavilySimulator, valkey: Valkey
):
    """Of 200 identical searches at three gateways one is paid; all are answered alike and recorded whole.

    On a machine that gives Redis no time for a second it is out of reach, and everybody goes alone. A try in
    which that was recorded proves nothing and is made again.
    """
    for number in range(TRIES):
        tavily.clear()
        tavily.delay_s = 1.0
        async with instances(tmp_path / f"try{number}", valkey, tavily=tavily) as amos:
            responses = await spread(amos, f"tide tables {number}")
            executions = await records(amos)
            lost = await facts(amos, "store:redis")
        if not lost:
            break
    assert not lost, "Redis was out of reach in every try"

    answers = [response.json() for response in responses]
    assert tavily.count == 1, [e for events in executions if len(events) > 4 for e in events]
    assert {response.status_code for response in responses} == {200}
    assert all(answer["results"] == answers[0]["results"] for answer in answers)
    assert Counter(answer["amos"]["cache"] for answer in answers)["miss"] == 1
    assert sum(answer["amos"]["credits"] for answer in answers) == 1
    assert {
        answer["amos"]["attempts"][0]["provider"] for answer in answers if answer["amos"]["attempts"]
    } == {"tavily"}
    ends = [events[-1] for events in executions]
    assert len(ends) == CALLERS
    assert {end["type"] for end in ends} == {"amos.request.completed.v1"}
    assert sum(end.get("cost", {}).get("amount", 0) for end in ends) == 1
    payers = [e for events in executions for e in events if e["type"] == "amos.attempt.succeeded.v1"]
    assert len(payers) == 1


async def test_a_follower_names_the_leader_of_another_instance(
    tmp_path: Path, tavily: TavilySimulator, valkey: Valkey
):
    """The execution that waited says for which one, whose record is elsewhere."""
    tavily.delay_s = 0.5
    async with instances(tmp_path, valkey, tavily=tavily) as amos:
        first = asyncio.create_task(amos[0].search("tide tables"))
        await until(lambda: tavily.count > 0, 5.0, lambda: "no call arrived")
        second = (await amos[1].search("Tide  Tables")).json()
        leader = (await first).json()["amos"]["execution_id"]
        await amos[1].drain()
        events = amos[1].events(second["amos"]["execution_id"])

    assert second["amos"]["cache"] == "collapsed"
    assert [e["leader"] for e in events if e["type"] == "amos.flight.joined.v1"] == [leader]


async def test_a_failure_costs_all_instances_one(tmp_path: Path, tavily: TavilySimulator, valkey: Valkey):
    """What the one call fails with all callers are told, with its reason; the next search asks again."""
    tavily.delay_s = 1.0
    tavily.script(Fault.body("{}"))
    async with instances(tmp_path, valkey, tavily=tavily) as amos:
        failed = await spread(amos, "tide tables", 30)
        again = await amos[1].search("tide tables")

    assert {response.status_code for response in failed} == {503}
    assert len({response.json()["detail"]["error"] for response in failed}) == 1
    assert again.status_code == 200
    assert tavily.count == 2


async def test_pages_are_read_once_for_all_instances(tmp_path: Path, tavily: TavilySimulator, valkey: Valkey):
    """Extracts of the same pages at once are one call of one gateway."""
    tavily.delay_s = 1.0
    urls = [f"https://almanac.example/{n}" for n in range(3)]
    async with instances(tmp_path, valkey, tavily=tavily) as amos:
        responses = await asyncio.gather(*(amos[n % INSTANCES].extract(urls) for n in range(12)))

    assert {response.status_code for response in responses} == {200}
    assert {len(response.json()["results"]) for response in responses} == {3}
    assert tavily.count == 1


async def test_redis_dies_in_the_middle_of_a_flight(tmp_path: Path, tavily: TavilySimulator):
    """Those who wait on other gateways go alone at once: nobody fails, and each gateway pays at most once."""
    tavily.delay_s = 1.0
    async with Valkey() as redis, instances(tmp_path, redis, tavily=tavily) as amos:
        begun = time.monotonic()
        searches = asyncio.create_task(spread(amos, "tide tables", 30))
        await until(lambda: tavily.count > 0, 5.0, lambda: "no call arrived")
        redis.kill()
        responses = await searches

    assert {response.status_code for response in responses} == {200}
    assert tavily.count <= INSTANCES
    assert time.monotonic() - begun < DEADLINE_S / 2


async def test_redis_stops_in_the_middle_of_a_flight(tmp_path: Path, tavily: TavilySimulator):
    """A Redis that takes connections and answers none holds nobody up either, nor whoever comes after."""
    tavily.delay_s = 1.0
    async with Valkey() as redis, instances(tmp_path, redis, tavily=tavily, redis_timeout_s=0.05) as amos:
        searches = asyncio.create_task(spread(amos, "tide tables", 30))
        await until(lambda: tavily.count > 0, 5.0, lambda: "no call arrived")
        redis.pause()
        responses = await searches
        tavily.delay_s = 0.0
        begun = time.monotonic()
        others = await asyncio.gather(*(amos[n % INSTANCES].search(f"after {n}") for n in range(30)))
        took_s = time.monotonic() - begun
        redis.resume()

    assert {response.status_code for response in (*responses, *others)} == {200}
    assert tavily.count <= INSTANCES + 30
    assert took_s < DEADLINE_S / 2


# --- circuits -----------------------------------------------------------------------------------------------

FAILURES_MAX = 5

SHORT = Policies(circuit=CircuitPolicy(failures_max=FAILURES_MAX, cooldowns_s=(2.0,), jitter_ratio=0.0))


async def hear(amos: Sequence[GatewayServer], redis: Valkey, failures: int) -> None:
    """Wait until Redis knows of so many failures, and if they opened the circuit, until all gateways do.

    No call waits for that: while the machine gives Redis no time, more are made than there should be.
    """
    known: list[Any] = []

    def are_told() -> bool:
        known[:] = redis.command("HMGET", "amos:circuit:{tavily}", "state", "failures")
        return known[0] == "open" or int(known[1] or 0) >= failures

    await until(are_told, 5.0, lambda: f"{failures} failures, known {known}")
    if known[0] == "open":
        await all_are(amos, "down", 1.5)


async def test_a_dead_provider_is_noticed_by_all_together(
    tmp_path: Path, tavily: TavilySimulator, valkey: Valkey
):
    """Five failures anywhere open all circuits, one probe closes them all; each change is recorded once."""
    tavily.always(Fault.status(500))
    async with (
        JinaSimulator(balance=10**12) as jina,
        instances(tmp_path, valkey, tavily=tavily, jina=jina, policies=SHORT) as amos,
    ):
        for n in range(30):
            response = await amos[n % INSTANCES].search(f"question {n}")
            assert response.json()["amos"]["provider"] == "jina"
            await hear(amos, valkey, tavily.count)
        dead_calls = tavily.count
        tavily.recover()
        tavily.delay_s = 1.5
        await asyncio.sleep(SHORT.circuit.cooldowns_s[0] + 0.1)

        during = await asyncio.gather(*(amos[n % INSTANCES].search(f"probing {n}") for n in range(12)))
        calls = tavily.count - dead_calls
        await all_are(amos, "ok", 1.5)
        changes = Counter(await facts(amos, "circuit:tavily"))

    # A machine so slow that a cooldown passes among the first searches has seen a probe for each.
    early = changes["circuit.opened"] - 1
    assert changes == {"circuit.opened": early + 1, "circuit.half_opened": early + 1, "circuit.closed": 1}
    # The search whose failure was the last may have tried again before it heard.
    assert FAILURES_MAX <= dead_calls <= FAILURES_MAX + 1 + early
    assert calls == 1
    providers = Counter(response.json()["amos"]["provider"] for response in during)
    assert providers == {"tavily": 1, "jina": 11}


async def test_a_load_on_a_dead_provider_stays_bounded(
    tmp_path: Path, tavily: TavilySimulator, valkey: Valkey
):
    """Also under concurrent load only what is under way at the opening reaches it."""
    tavily.always(Fault.status(500))
    at_once = 4
    async with (
        JinaSimulator(balance=10**12) as jina,
        instances(tmp_path, valkey, tavily=tavily, jina=jina) as amos,
    ):
        gate = asyncio.Semaphore(at_once)

        async def one(n: int) -> int:
            async with gate:
                return (await amos[n % INSTANCES].search(f"question {n}")).status_code

        statuses = await asyncio.gather(*(one(n) for n in range(150)))
        opened = await facts(amos, "circuit:tavily")

    assert set(statuses) == {200}
    assert opened == ["circuit.opened"]
    assert tavily.count <= FAILURES_MAX + 2 * at_once


async def test_a_restarted_instance_remembers(tmp_path: Path, tavily: TavilySimulator, valkey: Valkey):
    """A circuit that was open when an instance ended is open when it comes back."""
    tavily.script(Fault.status(432))
    options: dict[str, Any] = {"tavily": tavily, "redis_url": valkey.url}
    async with serving(tmp_path / "a", **options) as amos:
        assert (await amos.search("tide tables")).status_code == 432
    async with serving(tmp_path / "a", **options) as amos:
        await all_are([amos], "down", 1.5)
        again = await amos.search("opening hours")
        opened = await facts([amos], "circuit:tavily")

    assert again.status_code == 432
    assert tavily.count == 1
    assert opened == ["circuit.opened"]


# --- budgets ------------------------------------------------------------------------------------------------


async def test_one_budget_for_all_instances(tmp_path: Path, tavily: TavilySimulator, valkey: Valkey):
    """What all gateways spend together stays within the day's budget, and each mark is recorded once.

    A gateway for which Redis was out of reach counted alone: such a try proves nothing and is made again.
    """
    budget = {"budget_usd_per_day": 20 * 0.008}
    for number in range(TRIES):
        tavily.clear()
        valkey.flushall()
        async with instances(tmp_path / f"try{number}", valkey, tavily=tavily, **budget) as amos:
            responses = await asyncio.gather(
                *(amos[n % INSTANCES].search(f"question {n}") for n in range(60))
            )
            told = await facts(amos, "budget:all")
            executions = await records(amos)
            lost = await facts(amos, "store:redis")
        if not lost:
            break
    assert not lost, "Redis was out of reach in every try"

    assert tavily.count == 20
    assert Counter(response.status_code for response in responses) == {200: 20, 432: 40}
    assert told == ["budget.stopped", "budget.warned", "budget.warned"]
    skipped = [e for events in executions for e in events if e["type"] == "amos.provider.skipped.v1"]
    assert [event["reason"] for event in skipped] == ["budget"] * 40
    refused = next(response for response in responses if response.status_code == 432)
    assert "budget" in refused.json()["detail"]["error"]


async def test_a_budget_survives_its_process(tmp_path: Path, tavily: TavilySimulator):
    """Without Redis a gateway that starts again begins with what its record says was spent today."""
    options: dict[str, Any] = {"tavily": tavily, "budget_usd_per_day": 3 * 0.008}
    async with serving(tmp_path, **options) as amos:
        first = [(await amos.search(f"question {n}")).status_code for n in range(2)]
        await amos.drain()
    async with serving(tmp_path, **options) as amos:
        second = [(await amos.search(f"question {n}")).status_code for n in range(2, 5)]

    assert first == [200, 200]
    assert second == [200, 432, 432]
    assert tavily.count == 3
