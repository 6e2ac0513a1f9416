"""Budgets as operators and clients meet them: what is limited, what is told, and what a restart forgets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from typing_extensions import override

from orchestrator.clock import SystemClock
from orchestrator.health import ComponentHealth
from orchestrator.key_admin import KeyWish
from orchestrator.ports import Clock
from storage.memory_rate_limit import MemoryRateLimit
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

PRICE_USD = 0.008


async def key(amos: GatewayServer, client: str, *scopes: str) -> dict[str, str]:
    """The header of a new key."""
    assert amos.gateway.keys is not None
    wish = KeyWish(client=client, scopes=scopes or ("search",))
    made = await amos.gateway.keys.create(wish, by="test")
    return {"Authorization": f"Bearer {made.raw}"}


async def facts(amos: GatewayServer, stream: str) -> list[dict[str, Any]]:
    """The facts of a stream, from SQL."""
    await amos.drain()
    return amos.events(stream)


def error(response: httpx.Response) -> str:
    """The sentence of a refusal."""
    return str(response.json()["detail"]["error"])


async def test_a_client_that_has_spent_its_budget_is_told_and_others_go_on(
    tmp_path: Path, tavily: TavilySimulator
):
    """432 with what, how much and until when; what is in the cache it is still given."""
    options: dict[str, Any] = {"tavily": tavily, "client_budget_usd_per_day": 2 * PRICE_USD}
    async with serving(tmp_path, **options) as amos:
        await amos.drain()
        ann, bob = await key(amos, "ann"), await key(amos, "bob")
        answered = [await amos.search(f"question {n}", headers=ann) for n in range(2)]
        refused = await amos.search("question 2", headers=ann)
        cached = await amos.search("question 1", headers=ann)
        other = await amos.search("question 3", headers=bob)
        stopped = await facts(amos, "budget:client:ann")

    assert [one.status_code for one in answered] == [200, 200]
    assert refused.status_code == 432
    assert "your budget of 0.016 USD" in error(refused)
    assert "(UTC). A new one begins at" in error(refused)
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert (cached.status_code, other.status_code) == (200, 200)
    assert tavily.count == 3
    assert [event["type"] for event in stopped] == ["amos.budget.warned.v1", "amos.budget.stopped.v1"]
    assert stopped[0]["percent"] == 90  # two calls: the first is half of it, the second all


async def test_a_provider_that_has_spent_its_credits_is_passed_by(
    tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """The next one is asked, and health says which is near its limit."""
    options = {"tavily": tavily, "jina": jina, "tavily_credits_per_day": 2, "jina_tokens_per_month": 20_000}
    async with serving(tmp_path, **options) as amos:
        answers = [(await amos.search(f"question {n}")).json() for n in range(5)]
        await amos.drain()
        health = await _health(amos, "budget:tavily:day")

    providers = [answer["amos"].get("provider", "") for answer in answers]
    assert providers == ["tavily", "tavily", "jina", "jina", ""]
    assert "tavily: budget; jina: budget" in answers[4]["detail"]["error"]
    near = health["budget:tavily:day"]
    assert (near.status, near.detail) == ("degraded", "2 of 2 credits of this day (UTC) are spent.")
    assert "AMOS_TAVILY_CREDITS_PER_DAY" in near.advice
    assert health["budget:jina:month"].detail == "20,000 of 20,000 tokens of this month (UTC) are spent."


async def test_a_restart_warns_of_nothing_twice_and_forgets_nothing(tmp_path: Path, tavily: TavilySimulator):
    """Neither what client and provider have spent, nor which marks were told; a raised limit has its own."""
    limits = {"client_budget_usd_per_day": 4 * PRICE_USD, "tavily_credits_per_month": 4}
    told = []
    statuses = []
    for number, factor in enumerate((1, 1, 2)):
        options: dict[str, Any] = {name: factor * limit for name, limit in limits.items()}
        async with serving(tmp_path, tavily=tavily, **options) as amos:
            statuses += [(await amos.search(f"question {number} {n}")).status_code for n in range(3)]
            told = await facts(amos, "budget:provider:tavily")

    assert statuses == [200, 200, 200, 200, 432, 432, 200, 200, 200]
    assert tavily.count == 7
    marks = [(event.get("percent", 100), event["limit"] // 1_000_000) for event in told]
    assert sorted(marks) == [(75, 4), (75, 8), (90, 4), (100, 4)]


async def test_who_may_see_sees_all_figures(tmp_path: Path, tavily: TavilySimulator):
    """Every account, counted and recorded, for the scope `reports`; asking the providers needs `admin`."""
    options = {"tavily": tavily, "budget_usd_per_day": 1.0, "client_budget_usd_per_month": 0.5}
    async with serving(tmp_path, **options) as amos:
        await amos.drain()
        ann, reader, admin = (
            await key(amos, "ann"),
            await key(amos, "eve", "reports"),
            await key(amos, "root", "admin"),
        )
        await amos.search("tide tables", headers=ann)
        await amos.drain()
        refused = [
            (await amos.client.get("/budget")).status_code,
            (await amos.client.get("/budget", headers=ann)).status_code,
            (await amos.client.post("/budget/reconcile", headers=reader)).status_code,
        ]
        seen = (await amos.client.get("/budget", headers=reader)).json()
        asked = (await amos.client.post("/budget/reconcile", headers=admin)).json()

    assert refused == [401, 403, 403]
    accounts = {one["account"]: one for one in seen["accounts"]}
    assert accounts["all"] == {
        "account": "all",
        "period": accounts["all"]["period"],
        "unit": "USD",
        "spent": PRICE_USD,
        "limit": 1.0,
        "left": 1.0 - PRICE_USD,
        "spent_ratio": PRICE_USD,
        "recorded": PRICE_USD,
        "ends_at": accounts["all"]["ends_at"],
    }
    assert (accounts["client:ann"]["spent"], accounts["client:ann"]["limit"]) == (PRICE_USD, 0.5)
    assert seen["usage"] == []
    assert asked["not_told"] == []
    assert [one["provider"] for one in asked["usage"]] == ["tavily"]


async def test_providers_that_count_otherwise(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """Somebody else uses the key: the difference is recorded, in the report and in health, and not booked."""
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        budgets = amos.gateway.budgets
        assert budgets is not None
        await _ask(amos)
        await amos.search("tide tables")
        await amos.drain()
        await _ask(amos)
        before = {one.name: one.status for one in await amos.gateway.health()}
        await _somebody_else(tavily, 40)
        jina.balance -= 500_000
        await _ask(amos)
        report = {one.provider: one for one in (await budgets.report()).usage}
        health = {one.name: one for one in await amos.gateway.health()}
        recorded = await facts(amos, "budget:provider:tavily")
    async with serving(tmp_path, tavily=tavily, jina=jina) as amos:
        assert amos.gateway.budgets is not None
        known = {one.provider: one for one in (await amos.gateway.budgets.report()).usage}

    assert (before["usage:tavily"], before["usage:jina"]) == ("ok", "ok")
    assert (report["tavily"].reported, report["tavily"].recorded) == (41.0, 1.0)
    assert (report["jina"].difference, report["jina"].is_off) == (500_000.0, True)
    assert health["usage:tavily"].status == "degraded"
    assert health["usage:tavily"].detail == "It has counted 41 credits where 1 are recorded."
    assert [event["reported"] for event in recorded] == [0.0, 1.0, 41.0]
    for name, one in report.items():  # asked once by us, once by the record, a moment later
        assert msgspec.structs.replace(known[name], asked_at=one.asked_at) == one
    assert known.keys() == report.keys()


async def test_a_provider_that_does_not_tell(tmp_path: Path, tavily: TavilySimulator):
    """The reason is shown, nothing is recorded, and searches go on."""
    tavily.always(Fault.status(503))
    async with serving(tmp_path, tavily=tavily) as amos:
        report = (await amos.client.post("/budget/reconcile")).json()
        again = (await amos.client.post("/budget/reconcile")).json()
        recorded = await facts(amos, "budget:provider:tavily")

    assert report["not_told"] == [
        {"provider": "tavily", "reason": "tavily has a fault of its own (HTTP 503)."}
    ]
    assert again["not_told"] == [{"provider": "tavily", "reason": "It was asked less than a minute ago."}]
    assert recorded == []


async def _health(amos: GatewayServer, name: str) -> dict[str, ComponentHealth]:
    """The health of every component, once this one is known."""
    while True:
        health = {one.name: one for one in await amos.gateway.health()}
        if name in health:
            return health
        await asyncio.sleep(0.05)


async def _somebody_else(tavily: TavilySimulator, searches: int) -> None:
    """Use our key without us."""
    headers = {"Authorization": f"Bearer {tavily.api_key}"}
    async with httpx.AsyncClient(base_url=tavily.base_url, headers=headers, trust_env=False) as client:
        for _ in range(searches):
            (await client.post("/search", json={"query": "tides"})).raise_for_status()


class Later(SystemClock):
    """The clock, a minute later than another."""

    def __init__(self, other: Clock) -> None:
        self._other = other

    @override
    def now(self) -> float:
        return self._other.now() + 61.0


MINUTES_AHEAD = timedelta(minutes=5)
"""No test here goes further ahead."""


async def _ask(amos: GatewayServer) -> None:
    """Ask the providers as `amos budget --reconcile` does, and as if a minute had passed since."""
    now = datetime.now(UTC)
    if (now + MINUTES_AHEAD).month != now.month:
        pytest.skip("the UTC month ends in some minutes, and what is compared begins anew with it")
    assert amos.gateway.budgets is not None
    reconciliation = amos.gateway.budgets._reconciliation
    reconciliation._rate_limits = MemoryRateLimit(SystemClock())
    reconciliation._clock = Later(reconciliation._clock)
    assert (await amos.gateway.budgets.reconcile()).not_told == ()
