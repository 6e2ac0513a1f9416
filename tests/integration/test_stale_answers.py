"""Old answers over the wire: given at once while a fresh one comes, or when none can be had; both said."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp import Client as McpClient

from amos_sdk import AsyncClient
from storage import redis_flight
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.processes import until
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from pathlib import Path

TTL_S = 0.2
LATER_S = 1.3 * TTL_S
"""The jitter is a tenth."""

QUERY = "tide tables"


@pytest.fixture
async def revalidating(tmp_path: Path, tavily: TavilySimulator):
    """A gateway whose answers are soon old, and then given while a fresh one is fetched."""
    async with serving(tmp_path, tavily=tavily, cache_ttl_s=TTL_S) as running:
        yield running


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """A gateway whose answers are soon old, and given only when no fresh one can be had."""
    async with serving(
        tmp_path, tavily=tavily, jina=jina, cache_ttl_s=TTL_S, stale_while_revalidate_s=0
    ) as running:
        yield running


async def asked_before(amos: GatewayServer) -> httpx.Response:
    """A question has been asked, and its answer is old by now."""
    response = await amos.search(QUERY)
    await asyncio.sleep(LATER_S)
    return response


def ttl_of(response: httpx.Response) -> int:
    """What `Cache-Status` says of the time that is left."""
    return int(response.headers["cache-status"].split("ttl=")[1].split(",")[0])


async def story(amos: GatewayServer, response: httpx.Response) -> dict[str, Any]:
    """The explanation of an execution."""
    await amos.drain()
    execution_id = response.json()["amos"]["execution_id"]
    explanation: dict[str, Any] = (await amos.client.get(f"/executions/{execution_id}")).json()["explanation"]
    return explanation


# --- while a fresh one is fetched


async def test_an_old_answer_comes_at_once_and_the_next_is_fresh(
    revalidating: GatewayServer, tavily: TavilySimulator
):
    """It is a hit with a negative time to live, costs its caller nothing, and is fetched anew behind them."""
    first = await asked_before(revalidating)
    tavily.delay_s = 0.3

    old = await revalidating.search(QUERY)
    await until(lambda: tavily.count == 2, 5.0, lambda: "nothing was fetched")
    assert (await revalidating.search(QUERY)).json()["amos"]["stale"]  # it is under way, once
    await asyncio.sleep(0.4)

    assert old.json()["results"] == first.json()["results"]
    assert (old.json()["amos"]["stale"], old.json()["amos"]["cache"]) == (True, "l1")
    assert (old.json()["amos"]["credits"], old.json()["amos"]["attempts"]) == (0, [])
    assert old.json()["response_time"] < 0.3
    assert old.headers["cache-status"].startswith("amos-l1; hit; ttl=")
    assert old.headers["age"] == "0"
    assert tavily.count == 2
    explained = await story(revalidating, old)
    assert (explained["status"], explained["is_stale"], explained["cost"]["amount"]) == ("answered", True, 1)
    assert any("while a fresh one is fetched" in sentence for sentence in explained["why"])


async def test_many_old_answers_of_two_hosts_cost_one_call(
    tmp_path: Path, tavily: TavilySimulator, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Instances that share a Redis fetch one fresh answer for all their callers, who wait for none of it."""
    # Both share this event loop: what holds it up is no leader's death.
    monkeypatch.setattr(redis_flight, "LEASE_MS", 20_000)
    options = {"redis_url": valkey.url, "redis_timeout_s": 1.0, "cache_ttl_s": TTL_S}
    async with (
        serving(tmp_path / "a", tavily=tavily, **options) as first,
        serving(tmp_path / "b", tavily=tavily, **options) as second,
    ):
        await asked_before(first)
        tavily.delay_s = 4.0  # under way until all have been answered

        answers = await asyncio.gather(*(amos.search(QUERY) for _ in range(50) for amos in (first, second)))
        await until(lambda: tavily.count == 2, 5.0, lambda: "nothing was fetched")

    assert all(answer.json()["amos"]["stale"] for answer in answers)
    assert tavily.count == 2


async def test_the_answer_names_itself_by_its_content(revalidating: GatewayServer):
    """An old answer that the client has is 304 like a fresh one (RFC 9110, 15.4.5)."""
    fresh = await revalidating.client.get("/search", params={"q": QUERY})
    await asyncio.sleep(LATER_S)

    known = await revalidating.client.get(
        "/search", params={"q": QUERY}, headers={"If-None-Match": fresh.headers["etag"]}
    )

    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["etag"] == fresh.headers["etag"]
    assert known.headers["cache-status"].startswith("amos-l1; hit; ttl=")


# --- when no fresh one can be had


async def test_when_no_provider_can_answer_the_old_answer_stands_in(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """Status 200 with the old results, their age, and why: in the body, the header and the record."""
    first = await asked_before(amos)
    tavily.always(Fault.status(500))
    jina.always(Fault.reset())

    old, new = await amos.search(QUERY), await amos.search("something else")

    assert (old.status_code, new.status_code) == (200, 503)
    assert old.json()["results"] == first.json()["results"]
    told = old.json()["amos"]
    assert (told["stale"], told["cache"], told["credits"]) == (True, "l1", 0)
    assert told["age_s"] >= LATER_S
    assert {attempt["provider"] for attempt in told["attempts"]} == {"tavily", "jina"}
    assert old.headers["cache-status"].startswith("amos-l1; fwd=stale; detail=error; ttl=")
    assert ttl_of(old) <= 0
    assert "age" in old.headers
    explained = await story(amos, old)
    assert explained["is_stale"]
    assert any("because no provider could answer" in sentence for sentence in explained["why"])


async def test_with_every_circuit_open_the_answer_takes_milliseconds(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """Old questions are answered and new ones refused at once while nobody can be asked."""
    await asked_before(amos)
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))
    circuits = amos.gateway._pipeline.circuits.values()
    for number in range(30):
        if all(circuit.state == "open" for circuit in circuits):
            break
        await amos.search(f"question {number}")
    calls = tavily.count + jina.count
    took_s = []

    for number in range(10):
        begun = time.monotonic()
        old, new = await amos.search(QUERY), await amos.search(f"new question {number}")
        took_s.append(time.monotonic() - begun)
        assert (old.status_code, old.json()["amos"]["stale"], new.status_code) == (200, True, 503)

    assert tavily.count + jina.count == calls
    assert min(took_s) < 0.1  # of both; the quickest, because the machine may be busy


async def test_the_quota_of_the_providers_is_its_own_cause(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """With every plan used up an old answer is given for longer, and says why."""
    await asked_before(amos)
    tavily.always(Fault.status(432))
    jina.always(Fault.status(402))

    old, new = await amos.search(QUERY), await amos.search("something else")

    assert (old.status_code, new.status_code) == (200, 432)
    assert "detail=quota" in old.headers["cache-status"]


@pytest.mark.parametrize(
    ("wishes", "status"),
    [
        ("stale-if-error=60", 200),
        ("stale-if-error=0", 503),
        ("max-age=0", 503),
        ("max-age=0, stale-if-error=60", 200),
        ("no-cache", 503),
        ("no-cache, stale-if-error=60", 200),
        ("only-if-cached", 504),
        ("no-store, stale-if-error=60", 503),
    ],
)
async def test_the_caller_has_a_say(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator, wishes: str, status: int
):
    """`stale-if-error` bounds how old an answer may be, and lets those have one who asked for a fresh one."""
    await asked_before(amos)
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))

    response = await amos.search(QUERY, {"Cache-Control": wishes})

    assert response.status_code == status


async def test_an_old_page_of_an_extract(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator):
    """A page that cannot be read now is given as it was, and the whole is called stale."""
    url = "https://almanac.example/tides"
    first = await amos.extract(url)
    await asyncio.sleep(LATER_S)
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))

    old = await amos.extract(url)

    assert old.json()["results"] == first.json()["results"]
    assert (old.json()["amos"]["stale"], old.json()["amos"]["cache"]) == (True, "l1")


# --- through the other doors


async def test_it_is_said_at_every_door(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator):
    """The Python client and a model are told as well."""
    await asked_before(amos)
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))

    async with AsyncClient(amos.base_url) as client, McpClient(f"{amos.base_url}/mcp") as model:
        answer = await client.search(QUERY, stale_if_error_s=60)
        result = await model.call_tool("web_search", {"query": QUERY})

    assert answer.why.stale
    assert answer.why.age_s >= LATER_S
    assert result.structured_content["amos"]["stale"]
    assert result.structured_content["amos"]["age_s"] >= LATER_S
