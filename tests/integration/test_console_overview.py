"""The console's figures on a real server, beside those of the reports, and while the database is away."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from api.console import overview
from api.console.data import CHARTS
from api.quantities import dollars, ratio, seconds
from orchestrator.errors import EventLogUnavailable
from tests.support.faults import Fault
from tests.support.gateway_server import GatewayServer, serving
from tests.support.postgres import shared_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.jina_simulator import JinaSimulator
    from tests.support.tavily_simulator import TavilySimulator

DRIVER_S_MAX = 4.0
"""The two seconds in which the driver lets go of a connection that hangs, on a busy machine."""

HTMX = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator) -> AsyncIterator[GatewayServer]:
    """A gateway that a few have asked, one of them in vain; all is counted."""
    async with serving(tmp_path, tavily=tavily, jina=jina, budget_usd_per_month=1) as server:
        for query in ("tide tables", "tide tables", "ferries", ""):
            await server.search(query)
        await server.drain()
        yield server


@contextlib.contextmanager
def without_database(amos: GatewayServer) -> Iterator[None]:
    """Something that is no database is in its place."""
    assert isinstance(amos.database, type(amos.settings.data_dir))
    files = list(amos.database.parent.glob("amos.db*"))
    for file in files:
        file.rename(file.with_name(f"away-{file.name}"))
    amos.database.write_bytes(b"no database" * 1_000)
    try:
        yield
    finally:
        amos.database.unlink()
        for file in files:
            file.with_name(f"away-{file.name}").rename(file)


async def test_the_overview_says_what_the_reports_say(amos: GatewayServer):
    """Every figure of the first row is that of a report; nothing needs a script."""
    page = html.unescape((await amos.client.get("/console/overview?range=1h")).text)
    health, hits, latency, cost = [
        (await amos.client.get(f"/reports/{name}?since=1h")).json()
        for name in ("health", "hit-rate", "latency", "cost")
    ]
    p95_s = {stage["stage"]: stage["p95_s"] for stage in latency["stages"]}
    values = dict(re.findall(r'<dt>([^<]+)</dt><dd><span class="stat-value">([^<]+)</span>', page))

    assert values == {
        "Availability": f"{health['availability'] * 100:.2f} %",
        "Calls": str(health["requests"]["total"]),
        "Hit rate": ratio(hits["hit_ratio"]),
        "Hit p95": seconds(p95_s["hit"]),
        "Miss p95": seconds(p95_s["miss"]),
        "Spent": dollars(cost["spent_usd_micros"]),
    }
    assert "0 failed, 1 refused" in page
    assert "of 1 USD" in page
    assert '<div class="stat stat-success"><dt>Availability</dt>' in page
    assert "No calls in the last" not in page
    assert page.index("tavily") < page.index("jina")


async def test_searches_that_fail_are_named(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """By their text, which strangers wrote and which stays text."""
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))
    await amos.search("<b>lost</b> ferries")
    await amos.drain()
    page = (await amos.client.get("/console/overview/queries?range=1h")).text
    figures = (await amos.client.get("/console/overview/kpis?range=1h")).text

    assert '<div class="stat stat-danger"><dt>Availability</dt>' in figures
    assert "&lt;b&gt;lost&lt;/b&gt; ferries" in page
    assert "<b>lost" not in page
    assert "None took longer than 2 s." in page


async def test_charts_are_data_and_tables(amos: GatewayServer):
    """A script gets numbers, whoever has none a page with the same, and htmx the table alone."""
    for name, chart in CHARTS.items():
        data = (await amos.client.get(f"/console/data/{name}?range=1h&tz=Europe/Berlin", headers=JSON)).json()
        assert [one["name"] for one in data["series"]] == [one.name for one in chart.series]
        assert len(data["columns"]) == len(chart.series) + 1
        assert not data["is_empty"]
    traffic = (await amos.client.get("/console/data/traffic?range=1h", headers=JSON)).json()
    page = (await amos.client.get("/console/overview/table/traffic?range=1h")).text
    part = (await amos.client.get("/console/overview/table/traffic?range=1h", headers=HTMX)).text

    assert [sum(column) for column in traffic["columns"][1:]] == [3, 0, 1]
    assert ("<html" in page, "<html" in part) == (True, False)
    for text in (page, part):
        cells = [int(cell) for cell in re.findall(r'<td class="num">(\d+)</td>', text)]
        assert [sum(cells[place::3]) for place in range(3)] == [3, 0, 1]


async def test_what_is_wrong_is_told_in_the_form_that_was_asked_for(amos: GatewayServer):
    """A range or chart that there is not: a page, a part of one, or problem details."""
    page = await amos.client.get("/console/overview?range=9y")
    part = await amos.client.get("/console/overview/queries?range=9y", headers=HTMX)
    data = await amos.client.get("/console/data/weather", headers=JSON)

    assert (page.status_code, part.status_code, data.status_code) == (400, 400, 404)
    assert "range: expected one of" in page.text
    assert ("<html" in page.text, "<html" in part.text) == (True, False)
    assert "There is no such chart" in data.json()["detail"]


async def test_without_calls_the_page_says_how_to_begin(tmp_path: Path):
    """Before anything was recorded there is no database; each part says what is missing, and none fails."""
    async with serving(tmp_path) as fresh:
        page = html.unescape((await fresh.client.get("/console/overview")).text)
        data = (await fresh.client.get("/console/data/latency", headers=JSON)).json()
        queries = (await fresh.client.get("/console/overview/queries", headers=HTMX)).text
        executions = (await fresh.client.get("/console/executions")).text

    assert f"curl '{fresh.base_url}/search?q=tide+tables'" in page
    assert "cannot be read" not in page + queries
    assert "Nothing happened yet" in executions
    assert data["is_empty"]
    assert set(data["columns"][1]) == {None}


async def test_while_the_database_is_away_the_rest_is_there(amos: GatewayServer):
    """Figures say why they cannot be read; providers are shown all the same, and all is back by itself."""
    with without_database(amos):
        page = await amos.client.get("/console/overview")
        kpis = await amos.client.get("/console/overview/kpis", headers=HTMX)
        data = await amos.client.get("/console/data/cost", headers=JSON)
        listed = await amos.client.get("/console/providers")
        queries = await amos.client.get("/console/overview/queries", headers=HTMX)
    back = await amos.client.get("/console/data/cost", headers=JSON)

    assert (page.status_code, kpis.status_code, listed.status_code) == (200, 200, 200)
    assert "The figures cannot be read" in page.text
    assert "The figures cannot be read" in kpis.text
    assert queries.text.count("The searches cannot be read") == 2
    assert '<th scope="row">tavily</th>' in page.text
    assert (data.status_code, data.json()["code"]) == (503, "event_log_unavailable")
    assert "The figures of the last 24 hours cannot be read" in listed.text
    assert "provider-tavily" in listed.text
    assert back.status_code == 200


async def test_a_database_that_hangs_is_waited_for_once(amos: GatewayServer, monkeypatch: pytest.MonkeyPatch):
    """The parts of the page are asked for side by side, so it comes when the slowest of them has given up."""
    asked: list[str] = []
    both = asyncio.Event()

    async def hang(name: str, _question: object) -> dict[str, Any]:
        asked.append(name)
        if len(asked) == 2:
            both.set()
        async with asyncio.timeout(5.0):
            await both.wait()
        raise EventLogUnavailable("The event log is out of reach.")

    monkeypatch.setattr(amos.gateway.reports, "report", hang)

    page = await amos.client.get("/console/overview")

    assert page.status_code == 200
    assert "The figures cannot be read" in page.text
    assert "The history of the circuits cannot be read" in page.text


async def test_a_postgresql_that_hangs_is_not_waited_for_long(
    tmp_path: Path, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch
):
    """However many questions a page has, and whatever the driver's own limits are, it has one deadline."""
    monkeypatch.setattr(overview, "PART_S_MAX", 0.3)
    server = shared_postgres()
    url = server.new_database()
    async with serving(
        tmp_path, tavily=tavily, budget_usd_per_month=1, database_url=url, key_pepper="p" * 32
    ) as amos:
        await amos.drain()
        shown = await amos.client.get("/console/overview")
        server.pause()
        try:
            begun = time.monotonic()
            hanging = await amos.client.get("/console/overview")
            took_s = time.monotonic() - begun
        finally:
            server.resume()

    faults = (
        "The figures cannot be read",
        "The budgets cannot be read",
        "The history of the circuits cannot be read",
    )
    assert [shown.text.count(fault) for fault in faults] == [0, 0, 0]
    assert [hanging.text.count(fault) for fault in faults] == [1, 1, 1]
    assert hanging.text.count("The record did not answer within 0.3 s.") == 3
    assert '<th scope="row">tavily</th>' in hanging.text
    assert took_s < 0.3 + DRIVER_S_MAX


async def test_a_provider_is_asked_one_question(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """By itself, and recorded like any other call: also when it fails, which is told."""
    before = jina.count
    tested = await amos.client.post("/console/providers/jina/test", json={}, headers=HTMX)
    tavily.always(Fault.status(401))
    failed = await amos.client.post("/console/providers/tavily/test", json={}, headers=HTMX)
    await amos.drain()

    jina.delay_s = 0.3
    both = [amos.client.post("/console/providers/jina/test", json={}, headers=HTMX) for _ in range(2)]

    assert (tested.status_code, failed.status_code) == (200, 200)
    assert "jina answered in" in tested.text
    assert "notice-danger" in failed.text
    assert jina.count == before + 1
    assert [frame["provider"] for frame in amos.frames() if frame["door"] == "console"] == ["jina", ""]
    assert sorted([one.status_code for one in await asyncio.gather(*both)]) == [200, 503]
