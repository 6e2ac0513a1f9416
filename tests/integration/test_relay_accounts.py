"""Who may have something passed on to Tavily, under which of our keys, and who pays for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import tavily as tavily_python
from tavily import errors as tavily_errors

from orchestrator.key_admin import KeyWish
from tests.support.gateway_server import GatewayServer, serving
from tests.support.simulator import Fault
from tests.support.tavily_clients import IDS, KINDS, clients
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

SITE = "https://almanac.example"

PRICE_USD = 0.008


async def key(amos: GatewayServer, client: str, *scopes: str) -> str:
    """A new key."""
    assert amos.gateway.keys is not None
    wish = KeyWish(client=client, scopes=scopes or ("search", "extract"))
    return (await amos.gateway.keys.create(wish, by="test")).raw


def bearer(raw: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {raw}"}


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
async def test_each_refusal_is_the_clients_own_exception(
    tmp_path: Path, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch, kind: Any
):
    """401, 403 and 429 are what Tavily's are, for what is ours and for what is passed on."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    async with serving(tmp_path, tavily=tavily, rate_burst=4, rate_per_minute=4) as amos:
        await amos.drain()
        good, narrow = await key(amos, "ann"), await key(amos, "bob", "search")
        async with clients(kind, amos.base_url) as make:
            for method in ("search", "extract", "map"):
                with pytest.raises(tavily_python.InvalidAPIKeyError, match="key"):
                    await make(api_key="tvly-wrong").call(method, SITE)
            for method in ("extract", "crawl", "research", "feedback"):
                with pytest.raises(tavily_errors.ForbiddenError, match="lacks the scope extract"):
                    await make(api_key=narrow).call(method, SITE)
            client = make(api_key=good)
            for method in ("search", "extract", "map", "crawl"):
                await client.call(method, SITE)
            for method in ("search", "extract", "map", "research"):
                with pytest.raises(tavily_python.UsageLimitExceededError, match="Too many requests: 4 per"):
                    await client.call(method, SITE)
        refused = await amos.client.post("/map", json={"url": SITE}, headers=bearer(good))

    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"].startswith('"burst";r=0')
    assert tavily.count == 4


async def test_a_research_is_told_to_its_client_alone(tmp_path: Path, tavily: TavilySimulator):
    """Another key of the client will do; another client, and an id made up, find nothing: 404."""
    async with serving(tmp_path, tavily=tavily) as amos:
        await amos.drain()
        ann, other_of_ann, bob = await key(amos, "ann"), await key(amos, "ann"), await key(amos, "bob")
        begun = await amos.client.post("/research", json={"input": "tides"}, headers=bearer(ann))
        task = begun.json()["request_id"]
        looks = [
            await amos.client.get(f"/research/{one}", headers=bearer(raw))
            for raw, one in (
                (ann, task),
                (other_of_ann, task),
                (bob, task),
                (ann, task[:-1] + "x"),
                (ann, "x"),
            )
        ]
        told = await amos.client.post("/feedback", json={"request_id": task}, headers=bearer(bob))

    assert [look.status_code for look in looks] == [202, 200, 404, 404, 404]
    assert looks[2].json()["detail"]["error"] == "Research task not found"
    assert tavily.count == 4
    # What is not the client's own id is just a text, and Tavily does not know it.
    assert (told.status_code, tavily.relays.feedback[0]["request_id"]) == (200, task)


async def test_a_research_is_asked_for_with_the_key_that_began_it(tmp_path: Path, tavily: TavilySimulator):
    """By any instance with the same data folder, also when the keys have another order by then."""
    tavily.keys = {"tvly-one", "tvly-two"}
    tavily.api_key = "tvly-one,tvly-two"
    tavily.for_key("tvly-one", Fault.status(432))
    async with serving(tmp_path, tavily=tavily) as amos:
        begun = (await amos.client.post("/research", json={"input": "tides"})).json()
    tavily.recover()
    statuses = []
    for keys in ("tvly-one,tvly-two", "tvly-two,tvly-one", "tvly-one"):
        tavily.api_key = keys
        async with serving(tmp_path, tavily=tavily) as amos:
            statuses.append((await amos.client.get(f"/research/{begun['request_id']}")).status_code)

    sent = [call.headers["authorization"].removeprefix("Bearer ") for call in tavily.calls]
    assert sent == ["tvly-one", "tvly-two", "tvly-two", "tvly-two", "tvly-one"]
    assert statuses == [202, 200, 404]  # the last of them knows it under no key that is left


async def test_what_it_costs_is_reserved_and_settled(tmp_path: Path, tavily: TavilySimulator):
    """A map that may cost more than is left is refused before anything is sent; else its bill counts."""
    async with serving(tmp_path, tavily=tavily, client_budget_usd_per_day=6 * PRICE_USD) as amos:
        answers = [
            await amos.client.post(path, json={"url": SITE, **options})
            for path, options in (
                ("/crawl", {}),  # may cost 15 credits
                ("/map", {}),  # may cost 5, and costs 2
                ("/map", {}),  # 5 do not fit into the 4 that are left
                ("/map", {"limit": 20}),  # may cost 2, and does
                ("/research", {"input": "tides", "model": "mini"}),
            )
        ]
        await amos.drain()
        cost = (await amos.client.get("/reports/cost?by=operation")).json()

    assert [answer.status_code for answer in answers] == [432, 200, 432, 200, 432]
    assert "your budget of 0.048 USD" in answers[0].json()["detail"]["error"]
    assert [(call.path, call.billed) for call in tavily.calls] == [("/map", 2), ("/map", 2)]
    assert [(row["operation"], row["spent_usd_micros"]) for row in cost["rows"]] == [("map", 32_000)]


async def test_a_research_counts_as_the_most_it_may_cost(tmp_path: Path, tavily: TavilySimulator):
    """Its bill comes later and to whoever looks: until then, and after, the books assume the most."""
    async with serving(tmp_path, tavily=tavily, client_budget_usd_per_month=400 * PRICE_USD) as amos:
        begun = await amos.client.post("/research", json={"input": "tides", "model": "pro"})
        refused = await amos.client.post("/research", json={"input": "tides", "model": "pro"})
        await amos.client.get(f"/research/{begun.json()['request_id']}?include_usage=true")
        await amos.drain()
        cost = (await amos.client.get("/reports/cost")).json()

    assert [begun.status_code, refused.status_code] == [200, 432]
    assert (cost["spent_usd_micros"], cost["assumed_usd_micros"]) == (0, 2_000_000)
    assert cost["units"] == [
        {"provider": "tavily", "unit": "credits", "spent": 0, "assumed": 250, "saved": 0}
    ]


async def test_a_server_that_ends_has_recorded_what_was_under_way(tmp_path: Path, tavily: TavilySimulator):
    """Nobody waits for the crawl any more, but Tavily may have made it: its price is assumed."""
    tavily.always(Fault.hang())
    async with serving(tmp_path, tavily=tavily) as amos:
        body = {"url": SITE, "limit": 10}
        crawl = asyncio.create_task(amos.client.post("/crawl", json=body))
        async with asyncio.timeout(5):
            while not tavily.calls:  # noqa: ASYNC110 - the simulator has no event for it
                await asyncio.sleep(0.01)
    await asyncio.gather(crawl, return_exceptions=True)
    async with serving(tmp_path, tavily=tavily) as amos:
        await amos.drain()
        cost = (await amos.client.get("/reports/cost?by=operation")).json()
        health = (await amos.client.get("/reports/health")).json()

    assert [(row["operation"], row["assumed_usd_micros"]) for row in cost["rows"]] == [("crawl", 24_000)]
    assert health["requests"]["errors"] == {"cancelled": 1}


async def test_an_open_circuit_spares_tavily_crawls_too(tmp_path: Path, tavily: TavilySimulator):
    """What searches have found out of Tavily holds for what is passed on, and the other way round."""
    tavily.always(Fault.status(500))
    async with serving(tmp_path, tavily=tavily) as amos:
        failed = [await amos.client.post("/map", json={"url": SITE}) for _ in range(5)]
        count = tavily.count
        skipped = await amos.client.post("/crawl", json={"url": SITE})
        searched = await amos.search("tide tables")

    assert {answer.status_code for answer in failed} == {503}
    assert (skipped.status_code, searched.status_code, tavily.count) == (503, 503, count)
    assert "circuit_open" in skipped.json()["detail"]["error"]
    assert int(skipped.headers["Retry-After"]) > 0


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
async def test_callers_without_a_key_where_they_are_served(
    tmp_path: Path, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch, kind: Any
):
    """They may search and extract, as at Tavily; a limit is the error their client has for it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("TAVILY_API_KEY", raising=False)
    async with serving(tmp_path, tavily=tavily, anonymous_per_minute=2) as amos:
        await amos.drain()
        await key(amos, "ann")
        async with clients(kind, amos.base_url) as make:
            client = make(api_key=None)
            assert (await client.call("search", "tide tables"))["results"]
            assert (await client.call("extract", SITE))["results"]
            with pytest.raises(tavily_python.TavilyKeylessLimitError) as limited:
                await client.call("search", "harbour")
        relayed = await amos.client.post("/map", json={"url": SITE})
        usage = await amos.client.get("/usage")

    assert limited.value.code == "rate_limited"
    assert "2 per" in str(limited.value)
    assert limited.value.window in ("burst", "minute")
    assert limited.value.retry_after_seconds >= 1
    assert [relayed.status_code, usage.status_code] == [401, 401]
    assert "An API key is needed" in relayed.json()["detail"]["error"].replace("For this an", "An")


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
async def test_callers_without_a_key_where_they_are_not(
    tmp_path: Path, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch, kind: Any
):
    """401 with what to do, in the error that their client knows."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("TAVILY_API_KEY", raising=False)
    async with serving(tmp_path, tavily=tavily) as amos:
        await amos.drain()
        await key(amos, "ann")
        async with clients(kind, amos.base_url) as make:
            with pytest.raises(tavily_python.InvalidAPIKeyError, match="Authorization: Bearer amos_live"):
                await make(api_key=None).call("search", "tide tables")

    assert tavily.count == 0
