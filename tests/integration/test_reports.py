"""The reports equal a fold by hand over the raw frames, done in the simplest way there is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from orchestrator.filters.circuit_breaker import CircuitPolicy
from orchestrator.pipeline import Policies
from tests.support import naive_check, naive_reports
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.naive_fold import Fact, Question, facts_of
from tests.support.postgres import shared_postgres
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def amos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayServer]:
    """A gateway that has lived through some of everything, all of it in SQL; the tests only read."""
    tmp_path = tmp_path_factory.mktemp("amos")
    handbook = tmp_path / "handbook"
    handbook.mkdir()
    (handbook / "tides.md").write_text("# Tide tables\n\nHigh water at the harbour museum is at 06:40.\n")
    is_server = request.param == "postgresql"
    fields = {"database_url": shared_postgres().new_database(), "key_pepper": "p" * 32} if is_server else {}
    async with (
        TavilySimulator() as tavily,
        JinaSimulator() as jina,
        serving(
            tmp_path / "var",
            **fields,
            tavily=tavily,
            jina=jina,
            local_paths=(handbook,),
            policies=Policies(deadline_s=2.0, circuit=CircuitPolicy(cooldown_s=0.2)),
        ) as running,
    ):
        await live_through_it(running, tavily, jina)
        await running.drain()
        yield running


async def live_through_it(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator) -> None:
    """Misses, hits, joins, fallbacks, empties, the floor, failures, strangers, circuits and pages."""
    tavily.delay_s = 0.5  # longer than seven calls need to arrive on the busiest machine
    await asyncio.gather(*(amos.search("everybody at once", search_depth="advanced") for _ in range(7)))
    tavily.delay_s = jina.delay_s = 0.02
    for n in range(6):
        await amos.search(f"harbour {n}", topic="news" if n % 2 else "general")
    for n in range(9):
        await amos.search(f"Harbour  {n % 6}", topic="news" if n % 2 else "general")
    tavily.script(Fault.empty())
    await amos.search("jina finds more")
    tavily.script(Fault.empty())
    jina.script(Fault.empty())
    await amos.search("nobody finds it")
    tavily.script(Fault.hang())
    await amos.search("tavily is silent")
    pages = [f"https://almanac.example/{name}" for name in ("a", "b", "gone")]
    await amos.extract(pages)
    await amos.extract(pages[:2])
    await amos.extract([pages[0], "https://almanac.example/c"])
    await amos.search("x")
    await amos.search("y" * 401)
    await amos.search("not cached", {"Cache-Control": "only-if-cached"})
    for _ in range(5):
        await amos.search("a stranger", {"Via": "1.1 proxy.example"})
    tavily.always(Fault.status(500))
    for n in range(8):
        await amos.search(f"tavily is down {n}")
    jina.always(Fault.status(503))
    for n in range(8):
        await amos.search(f"tide tables {n}")
    await amos.extract(["https://almanac.example/nobody-reads-this"])
    tavily.recover()
    jina.recover()
    await asyncio.sleep(0.25)
    await amos.search("back again")
    await asyncio.sleep(1.1)  # strangers are counted by the second


async def report(amos: GatewayServer, name: str, **parameters: str) -> dict[str, Any]:
    """A report over HTTP, without the window it names."""
    response = await amos.client.get(f"/reports/{name}", params={"since": "1h", **parameters})
    assert response.status_code == 200, response.text
    return {key: value for key, value in response.json().items() if key not in ("since", "until")}


def facts(amos: GatewayServer) -> list[Fact]:
    """Everything that is recorded, oldest frame first."""
    return facts_of(amos.frames())


# --- figures that are exact ---------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["", "minute", "hour", "day"])
async def test_health_equals_the_fold_by_hand(amos: GatewayServer, by: str):
    """The health report says exactly what the frames say, and the frames have some of everything."""
    by_hand = naive_reports.health(facts(amos), Question(by))

    naive_check.check("health", await report(amos, "health", by=by), facts(amos), Question(by))
    assert by_hand["requests"]["degraded"] >= 8
    assert by_hand["requests"]["empty"] >= 1
    assert by_hand["refused"] == {"proxied": 5}
    assert set(by_hand["requests"]["errors"]) == {
        "invalid_request",
        "not_in_cache",
        "all_providers_failed",
    }
    tavily = next(one for one in by_hand["providers"] if one["provider"] == "tavily")
    assert set(tavily["circuit"]) == {"opened", "half_opened", "closed"}
    assert all(tavily[name] for name in ("success", "empty", "failed", "skipped"))


@pytest.mark.parametrize("by", ["", "operation", "door", "client", "topic", "provider", "cache", "hour"])
async def test_hit_rate_equals_the_fold_by_hand(amos: GatewayServer, by: str):
    """Hits, joins and results are exactly what the frames say, in a row for each value found in them."""
    by_hand = naive_reports.hit_rate(facts(amos), Question(by))

    naive_check.check("hit-rate", await report(amos, "hit-rate", by=by), facts(amos), Question(by))
    assert by_hand["l1"] >= 10
    assert by_hand["collapsed"] == 6
    assert by_hand["mixed"] == 1


@pytest.mark.parametrize("by", ["", "provider", "client", "operation", "minute", "hour", "day"])
async def test_cost_equals_the_fold_by_hand(amos: GatewayServer, by: str):
    """Money and units spent, assumed and saved are exactly what the frames say, attempt by attempt."""
    by_hand = naive_reports.cost(facts(amos), Question(by))

    naive_check.check("cost", await report(amos, "cost", by=by), facts(amos), Question(by))
    assert by_hand["saved_usd_micros"] > 0
    assert by_hand["spent_usd_micros"] > 0
    assert by_hand["assumed_usd_micros"] > 0


# --- latency ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["", "operation", "provider", "client", "hour"])
async def test_latency_equals_the_fold_by_hand(amos: GatewayServer, by: str):
    """Every stage has the calls, the mean and the quantiles that the frames say, however grouped."""
    found = await report(amos, "latency", by=by)

    naive_check.check("latency", found, facts(amos), Question(by))
    assert len({line["stage"] for line in found["rows" if by else "stages"]}) == (4 if by == "client" else 7)


# --- the window ---------------------------------------------------------------------------------------------


def numbers(value: Any) -> list[float]:
    """All numbers anywhere in a report."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for one in inner for number in numbers(one)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("name", ["health", "hit-rate", "latency", "cost"])
async def test_an_empty_window_is_a_report_of_nothing(amos: GatewayServer, name: str):
    """Yesterday nothing happened, and the report says so without dividing by it."""
    empty = await report(amos, name, since="3h", until="2h")

    assert set(numbers(empty)) <= {0}


async def test_bad_parameters_of_a_report_are_refused(amos: GatewayServer):
    """An unknown report is 404; a wrong window or grouping 400 as problem details that name it."""
    unknown = await amos.client.get("/reports/weather")
    wrong = [
        await amos.client.get(f"/reports/{query}")
        for query in (
            "hit-rate?by=weather",
            "latency?since=yesterdayish",
            "health?since=1h&until=2h",
            "health?by=client",
        )
    ]

    assert unknown.status_code == 404
    for response in wrong:
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["detail"]
