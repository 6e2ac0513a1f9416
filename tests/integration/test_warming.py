"""Warming over a real gateway: what was asked most is a hit again, and every figure says so."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from api import composition
from api.settings import Settings
from orchestrator.cache_policy import CachePolicy
from orchestrator.errors import CannotWarm
from orchestrator.filters.retry import RetryPolicy
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming
from orchestrator.warming import Warming
from orchestrator.warming_plan import WarmingPolicy
from tests.support import naive_check
from tests.support.gateway_server import GatewayServer, serving
from tests.support.naive_fold import Question, facts_of, of, refreshes
from tests.support.processes import until
from tests.support.simulator import Fault
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.jina_simulator import JinaSimulator
    from tests.support.tavily_simulator import TavilySimulator

TTL_S = 6.0
"""chosen: longer than a loaded machine takes to warm forty answers and to ask for them again."""

POLICIES = Policies(
    cache=CachePolicy(ttl_s=TTL_S, jitter_ratio=0.0),
    retry=RetryPolicy(attempts_max=1),
    timing=ProviderTiming(search_s=2.0),
)

EAGER = WarmingPolicy(pause_s=0.0, horizon_s=0.5)
"""Without the pauses that spare providers, of which a simulated one needs none."""


REPORTS_BY_CLIENT = ("hit-rate", "cost", "latency", "clients")


def skewed(count: int = 50) -> list[str]:
    """So many queries, the first asked most: the n-th once, and 20 / n times more; shuffled by a seed."""
    queries = [f"tide tables of harbour {number}" for number in range(1, count + 1)]
    asked = [query for number, query in enumerate(queries, 1) for _ in range(1 + 20 // number)]
    random.Random(5).shuffle(asked)
    return asked


async def warm(amos: GatewayServer, **fields: Any) -> list[dict[str, Any]]:
    """`POST /cache/warm` without pauses; its lines."""
    assert amos.gateway.warming is not None
    amos.gateway.warming.policy = EAGER
    answer = await amos.client.post("/cache/warm", json=fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_warmed_cache_answers_what_is_asked_most(tmp_path: Path, tavily: TavilySimulator):
    """What was asked twice is fetched once, ahead; then it is a hit, and callers' figures are theirs."""
    asked = Counter(skewed())
    often = {query for query, count in asked.items() if count >= 2}
    async with serving(tmp_path, tavily=tavily, policies=POLICIES, l1_max_bytes=10_000_000) as amos:
        for query in asked.elements():
            await amos.search(query)
        assert tavily.count == len(asked)
        await asyncio.sleep(TTL_S + 0.5)
        await amos.drain()

        *lines, last = await warm(amos)
        warmed = tavily.count - len(asked)
        hits = [(await amos.search(query)).json()["amos"]["cache"] for query in sorted(often)]
        await amos.drain()
        facts = facts_of(amos.frames())
        reports = {
            name: (await amos.client.get(f"/reports/{name}", params={"by": "client"})).json()
            for name in REPORTS_BY_CLIENT
        }

    assert last["finished"] | {"duration_s": 0} == {
        "cause": "command",
        "ended_by": "done",
        "candidates": len(often),
        "warmed": len(often),
        "skipped": 0,
        "failed": 0,
        "unknown": 0,
        "cost": {"amount": float(len(often)), "unit": "credits", "usd_micros": 8_000 * len(often)},
        "duration_s": 0,
    }
    assert warmed == len(often) == len(refreshes(facts))
    assert {line["candidate"]["text"] for line in lines} == often
    assert {line["candidate"]["text"]: line["candidate"]["calls"] for line in lines} == {
        query: count for query, count in asked.items() if count >= 2
    }
    assert hits == ["l1"] * len(often)
    # Its price is its own, and no caller's figures know of it.
    by_client = {row["client"]: row for row in reports["cost"]["rows"]}
    assert by_client["warming"]["spent_usd_micros"] == 8_000 * len(often)
    assert by_client["local"]["spent_usd_micros"] == 8_000 * len(asked)
    assert {row["client"] for row in reports["hit-rate"]["rows"]} == {"local"}
    for name in REPORTS_BY_CLIENT:
        naive_check.check(name, reports[name], facts, Question(by="client"))


async def test_an_execution_without_a_caller_is_shown(tmp_path: Path, tavily: TavilySimulator):
    """`/executions/{id}` and the view of events know it like any other."""
    async with serving(tmp_path, tavily=tavily, policies=POLICIES) as amos:
        for _ in range(2):
            await amos.search("tide tables", topic="news", max_results=3)
        await amos.drain()
    async with serving(tmp_path, tavily=tavily, policies=POLICIES) as amos:
        assert amos.gateway.warming is not None
        await amos.gateway.warming.run(EAGER, cause="command")
        await amos.drain()
        (stream,) = refreshes(facts_of(amos.frames()))
        shown = (await amos.client.get(f"/executions/{stream}")).json()

    explained = shown["explanation"]
    assert (explained["status"], explained["client"], explained["operation"]) == (
        "answered",
        "warming",
        "search",
    )
    assert explained["cost"]["usd_micros"] == 8_000
    assert [item["event"]["type"] for item in shown["events"]] == [
        "amos.cache.refresh_started.v1",
        "amos.attempt.started.v1",
        "amos.attempt.succeeded.v1",
        "amos.cache.stored.v1",
    ]
    # It asked as its caller had asked, with every option.
    first, second = (call.json for call in tavily.calls)
    assert first == second


async def test_the_budget_and_the_rehearsal_over_http(tmp_path: Path, tavily: TavilySimulator):
    """A rehearsal costs nothing and says what a run would; the run stops before its budget is exceeded."""
    async with serving(tmp_path, tavily=tavily, policies=POLICIES) as amos:
        for query in skewed(10):
            await amos.search(query)
        await amos.drain()
    async with serving(tmp_path, tavily=tavily, policies=POLICIES) as amos:
        before = tavily.count
        *due, rehearsed = await warm(amos, dry_run=True, top=5)
        assert tavily.count == before
        *lines, last = await warm(amos, budget_usd=0.025)

    assert [line["candidate"]["outcome"] for line in due] == ["due"] * 5
    assert rehearsed["rehearsed"]["cost"]["usd_micros"] == 5 * 8_000
    assert (last["finished"]["ended_by"], len(lines), tavily.count - before) == ("budget", 3, 3)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"top": 0}, 400, "invalid_request"),
        ({"top": "many"}, 400, "invalid_request"),
        ({"since": "soon"}, 400, "invalid_request"),
        ({"since": "now"}, 400, "invalid_request"),
        ({"budget_usd": -1}, 400, "invalid_request"),
        ({"depth": 3}, 400, "invalid_request"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    tmp_path: Path, tavily: TavilySimulator, body: dict[str, Any], status: int, code: str
):
    """The fault is named, and nothing is fetched."""
    async with serving(tmp_path, tavily=tavily) as amos:
        answer = await amos.client.post("/cache/warm", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert tavily.count == 0


async def test_what_cannot_be_warmed_says_why(tmp_path: Path, tavily: TavilySimulator):
    """Without texts there is nothing to go by: 409 and the setting's name."""
    async with serving(tmp_path, tavily=tavily, store_query_text=False) as amos:
        answer = await amos.client.post("/cache/warm", json={})

    assert (answer.status_code, answer.json()["code"]) == (409, "cannot_warm")
    assert "AMOS_STORE_QUERY_TEXT" in answer.json()["detail"]


async def test_only_an_admin_may(tmp_path: Path, tavily: TavilySimulator):
    """It spends money: a key without the scope is refused."""
    async with serving(tmp_path, tavily=tavily, key_pepper="p" * 32) as amos:
        await amos.drain()
        boss = (await amos.client.post("/keys", json={"client": "boss", "scopes": ["admin"]})).json()["key"]
        header = {"Authorization": f"Bearer {boss}"}
        made = await amos.client.post(
            "/keys", json={"client": "acme", "scopes": ["search", "reports"]}, headers=header
        )
        acme = {"Authorization": f"Bearer {made.json()['key']}"}

        assert (await amos.client.post("/cache/warm", json={})).status_code == 401
        assert (await amos.client.post("/cache/warm", json={}, headers=acme)).status_code == 403
        assert (await amos.client.post("/cache/warm", json={}, headers=header)).status_code == 200


async def test_a_client_that_leaves_ends_its_run(tmp_path: Path, tavily: TavilySimulator):
    """What is under way is seen through and recorded; the rest is left, and the next run goes on there."""
    async with serving(tmp_path, tavily=tavily, policies=POLICIES) as amos:
        for query in skewed(10):
            await amos.search(query)
        await amos.drain()
    async with serving(tmp_path, tavily=tavily, policies=POLICIES) as amos:
        before = tavily.count
        assert amos.gateway.warming is not None
        amos.gateway.warming.policy = msgspec.structs.replace(EAGER, lanes=1, pause_s=0.2)
        async with amos.client.stream("POST", "/cache/warm", json={}) as answer:
            async for _ in answer.aiter_lines():
                break
        await until(lambda: not amos.gateway.warming._is_running, 10.0, lambda: "it runs on")
        cut = tavily.count - before
        await amos.drain()
        facts = facts_of(amos.frames())
        *_, last = await warm(amos)

    (finished,) = of(facts, "warming.finished")
    assert (finished["ended_by"], finished["warmed"]) == ("cancelled", cut)
    assert 1 <= cut < 10
    assert len(of(facts, "attempt.started")) == len(of(facts, "attempt.succeeded"))
    assert (last["finished"]["skipped"], last["finished"]["warmed"]) == (cut, 10 - cut)


async def test_an_ill_provider_ends_a_run(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """The second provider is not worn out for nobody: it is asked as often as it takes to be sure."""
    async with serving(tmp_path, tavily=tavily, policies=POLICIES) as amos:
        for query in skewed(10):
            await amos.search(query)
        await amos.drain()
    async with serving(tmp_path, tavily=tavily, jina=jina, policies=POLICIES) as amos:
        tavily.always(Fault.status(500))
        *_, last = await warm(amos)

    assert last["finished"]["ended_by"] == "provider"
    assert jina.count <= EAGER.lost_max + EAGER.lanes - 1


async def test_of_two_instances_one_warms_for_both(tmp_path: Path, tavily: TavilySimulator):
    """They share the lease and the cache: one is refused while the other runs, then finds all fresh."""
    async with Valkey() as redis:
        options: dict[str, Any] = {
            "tavily": tavily,
            "policies": POLICIES,
            "redis_url": redis.url,
            "redis_timeout_s": 1.0,
            "database_url": f"sqlite:///{tmp_path / 'shared.db'}",
            "key_pepper": "p" * 32,
        }
        async with serving(tmp_path / "zero", **options) as zero:
            for query in skewed(10):
                await zero.search(query)
            await zero.drain()
        redis.flushall()
        async with serving(tmp_path / "one", **options) as one, serving(tmp_path / "two", **options) as two:
            before = tavily.count
            warmings = [amos.gateway.warming for amos in (one, two)]
            tavily.delay_s = 0.1

            ends = await asyncio.gather(
                *(one.run(EAGER, cause="command") for one in warmings if one), return_exceptions=True
            )
            refused = next(n for n, end in enumerate(ends) if isinstance(end, CannotWarm))
            again = warmings[refused]
            assert isinstance(again, Warming)
            after = await again.run(EAGER, cause="command")
            hit = (await two.search("tide tables of harbour 1")).json()["amos"]["cache"]

    assert [getattr(end, "warmed", None) for end in ends if not isinstance(end, CannotWarm)] == [10]
    assert (after.warmed, after.skipped, tavily.count - before) == (0, 10, 10)
    assert hit in {"l1", "l2"}


async def test_a_server_warms_nothing_when_it_starts(tmp_path: Path, tavily: TavilySimulator):
    """With the shortest schedule too the first minute belongs to callers; it ends with the server."""
    async with serving(tmp_path, tavily=tavily) as amos:
        for query in skewed(3):
            await amos.search(query)
        await amos.drain()
    settings = Settings(
        data_dir=tmp_path,
        tavily_base_url=tavily.base_url,
        tavily_api_key=tavily.api_key,
        warm_every_s=60,
    )
    before = tavily.count

    async with asyncio.timeout(10.0), composition.gateway(settings, warms=True):
        await asyncio.sleep(1.0)
        assert any(task.get_name() == "warming" for task in asyncio.all_tasks())

    assert tavily.count == before
    assert not any(task.get_name() == "warming" for task in asyncio.all_tasks())
