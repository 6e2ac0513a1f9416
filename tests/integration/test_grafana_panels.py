"""Every panel asks what there is to be asked: its SQL of a real PostgreSQL, its PromQL of a real Prometheus.

A gateway has lived through a few of everything. Each query is given to the database as Grafana gives it, by
the user as whom Grafana reads, and has to come back with columns that its kind of panel can draw, and with
something in them. What a query uses and the database or the metrics do not have is told by the names of both.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import promql_parser
import pytest
import pytest_asyncio
import yaml

from api.process_figures import recorder_figures
from grafana.generate import dashboards
from orchestrator.cooldown import CircuitPolicy
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming
from storage.file_status import RecorderStatus, TracesStatus
from tests.support.gateway_server import GatewayServer, serving
from tests.support.grafana import Window, expanded, interpolated, panels_of, prometheus_form, values_of
from tests.support.jina_simulator import JinaSimulator
from tests.support.postgres import shared_postgres
from tests.support.processes import ROOT
from tests.support.prometheus import Prometheus
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

DASHBOARDS = {dashboard["uid"]: dashboard for dashboard in dashboards()}

QUIET = {
    "amos-overview / Assumed",
    "amos-queries / Slow",
    "amos-event-store / Not counted",
    "amos-event-store / Projection lag",
    "amos-event-store / Parked frames",
    "amos-event-store / What is parked",
}
"""Panels with nothing or zero to show where all is well and nothing is slow."""

WITHOUT_SERIES = {
    "amos-overview / Error budget burn / A",
    "amos-overview / Error budget burn / B",
    "amos-providers / Budget used / A",
    "amos-event-store / Trouble / C",
    "amos-event-store / Traces exported / A",
    "amos-event-store / Traces exported / B",
}
"""Expressions of what this gateway does not have: rules, limits, Redis, a collector."""

SECRET = "reader"

READER = (ROOT / "grafana" / "reader.sql").read_text(encoding="utf-8")


@dataclass
class Asked:
    """One query of one panel, with its name: dashboard, panel, and the letter if it is not the only one."""

    name: str
    kind: str
    target: dict[str, Any]
    dashboard: dict[str, Any] = field(repr=False)


def queries(key: str) -> Iterator[Asked]:
    """All queries of one language: `rawSql` or `expr`."""
    for uid, dashboard in DASHBOARDS.items():
        for panel in panels_of(dashboard):
            for target in panel.get("targets", ()):
                if key in target:
                    name = f"{uid} / {panel['title']}" + (f" / {target['refId']}" if key == "expr" else "")
                    yield Asked(name, panel["type"], target, dashboard)
        if key == "rawSql":
            yield from _beside(uid, dashboard)


def _beside(uid: str, dashboard: dict[str, Any]) -> Iterator[Asked]:
    """What a dashboard asks beside its panels: marks and choices."""
    for mark in dashboard["annotations"]["list"]:
        yield Asked(f"{uid} / mark {mark['name']}", "annotation", mark["target"], dashboard)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            target = {"rawSql": variable["query"], "format": "table"}
            yield Asked(f"{uid} / variable {variable['name']}", "variable", target, dashboard)


SQL = {asked.name: asked for asked in queries("rawSql")}
PROMQL = {asked.name: asked for asked in queries("expr")}


def policies() -> Policies:
    """Impatient ones, so that a failure takes no time and a circuit opens at the second."""
    return Policies(
        deadline_s=3.0,
        circuit=CircuitPolicy(failures_max=2, cooldowns_s=(0.2,), jitter_ratio=0.0),
        timing=ProviderTiming(search_s=0.8, search_advanced_s=1.6, extract_s=0.8),
    )


@dataclass
class Lived:
    """The gateway after its traffic; `reader` is the address of its database for Grafana's user."""

    amos: GatewayServer
    prometheus: Prometheus
    reader: str
    window: Window
    chosen: dict[str, list[str]] = field(default_factory=dict)
    """What is to be chosen on the dashboards: all that each variable offers."""

    def sql(self, asked: Asked, interval_s: int = 60) -> str:
        """The query as PostgreSQL gets it."""
        values = values_of(asked.dashboard, self.chosen)
        query = interpolated(asked.target["rawSql"], values)
        return expanded(query, self.window._replace(interval_s=interval_s))

    def expression(self, asked: Asked) -> str:
        """The expression as Prometheus gets it."""
        values = values_of(asked.dashboard, self.chosen)
        return prometheus_form(interpolated(asked.target["expr"], values), self.window)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lived(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lived]:
    """A gateway on PostgreSQL that has lived through some of everything, scraped twice a second."""
    folder = tmp_path_factory.mktemp("dashboards")
    url = shared_postgres().new_database()
    async with (
        TavilySimulator() as tavily,
        JinaSimulator() as jina,
        serving(
            folder / "var",
            tavily=tavily,
            jina=jina,
            policies=policies(),
            database_url=url,
            key_pepper="p" * 32,
        ) as amos,
    ):
        await amos.drain()  # makes the tables
        target = [{"targets": [f"127.0.0.1:{amos.port}"]}]
        configuration = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [
                {"job_name": "amos", "static_configs": target},
                {"job_name": "amos-instance", "metrics_path": "/metrics/instance", "static_configs": target},
            ],
        }
        async with Prometheus(configuration) as prometheus:
            await _traffic(amos, tavily, jina)
            now = int(time.time())
            lived = Lived(amos, prometheus, await _reader(url), Window(now - 3_600, now + 60))
            lived.chosen |= await _choices(lived)
            await _until_counted(prometheus)
            yield lived


async def _reader(url: str) -> str:
    """Make the user as whom Grafana reads, as an operator does; the address with its name and password."""
    connection = await asyncpg.connect(url)
    await connection.execute(READER)
    await connection.execute(READER)  # again, as after an upgrade
    await connection.execute(f"ALTER ROLE grafana PASSWORD '{SECRET}'")
    await connection.close()
    return shared_postgres().url(url.rpartition("/")[2], user="grafana", password=SECRET)


async def _choices(lived: Lived) -> dict[str, list[str]]:
    """What the variables offer."""
    connection = await asyncpg.connect(lived.reader)
    found = {
        variable["name"]: sorted(row[0] for row in await connection.fetch(variable["query"]))
        for dashboard in DASHBOARDS.values()
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }
    await connection.close()
    return found


async def _traffic(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator) -> None:
    """Misses, hits, a join, extracts, fallbacks, failures of every kind, a circuit that opens and closes."""
    tavily.delay_s = 0.02
    await asyncio.gather(*(amos.search("everybody at once") for _ in range(3)))
    for query in ("harbour", "tides", "harbour", "moon"):
        await amos.search(query)
    await amos.search("x" * 401)
    await amos.search("a stranger", {"Via": "1.1 proxy.example"})
    await amos.extract(["https://almanac.example/a", "https://almanac.example/b"])
    tavily.script(Fault.empty())
    jina.script(Fault.empty())
    await amos.search("nobody finds it")
    tavily.script(Fault.status(500))
    await amos.search("works the second time")
    tavily.script(Fault.status(500), times=8)
    jina.script(Fault.status(500), times=4)
    await amos.search("nobody answers")
    await amos.search("jina answers")
    await amos.search("passed by")
    await asyncio.sleep(0.3)
    await amos.search("well again")
    await asyncio.sleep(1.1)  # who is turned away is counted by the second
    await amos.drain()


async def _until_counted(prometheus: Prometheus) -> None:
    """Wait until Prometheus has all that has happened, more than once, so that there are rates."""
    async with asyncio.timeout(20):
        while await prometheus.total("count_over_time(amos_log_position[1m])") < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(lived: Lived) -> AsyncIterator[asyncpg.Connection]:
    """A connection as Grafana has it."""
    opened = await asyncpg.connect(lived.reader)
    yield opened
    await opened.close()


def complaints(asked: Asked, columns: dict[str, str], rows: list[Any]) -> list[str]:
    """What is wrong with an answer for this kind of query; `columns` are names and types."""
    found: list[str] = []
    numbers = {"int4", "int8", "float8", "numeric"}
    if asked.target["format"] == "time_series":
        if next(iter(columns)) != "time" or columns["time"] not in {*numbers, "timestamptz"}:
            found.append("the first column is no time")
        values = [name for name in columns if name not in {"time", "metric"}]
        if not values or any(columns[name] not in numbers for name in values):
            found.append(f"not all values are numbers: {columns}")
        if "metric" in columns and (columns["metric"] != "text" or len(columns) != 3):
            found.append("a series is named by a text and has one value")
        if rows != sorted(rows, key=lambda row: row["time"]):
            found.append("it is not in the order of time")
    if asked.kind == "stat" and (len(columns) != 1 or set(columns.values()) - numbers):
        found.append("it is not one number")
    if asked.kind == "annotation" and list(columns) != ["time", "text", "tags"]:
        found.append("a mark has a time, a text and tags")
    is_empty = not any(value not in (None, 0) for row in rows for value in row.values())
    if is_empty and asked.name not in QUIET:
        found.append("there is nothing in it")
    return found


@pytest.mark.parametrize("name", SQL)
async def test_postgresql_answers(lived: Lived, connection: asyncpg.Connection, name: str):
    """The query is understood, has the columns that its kind of panel draws, and something in them."""
    asked = SQL[name]
    statement = await connection.prepare(lived.sql(asked))
    columns = {one.name: one.type.name for one in statement.get_attributes()}

    rows = await statement.fetch()

    assert len(columns) == len(statement.get_attributes()), "two columns of one name"
    assert complaints(asked, columns, rows) == []


@pytest.mark.parametrize("interval_s", [3_600, 86_400, 2_592_000])
async def test_longer_points_are_answered_too(lived: Lived, connection: asyncpg.Connection, interval_s: int):
    """At every resolution there is something in every panel."""
    for asked in SQL.values():
        rows = await connection.fetch(lived.sql(asked, interval_s))
        assert rows or asked.name in QUIET, asked.name


async def test_figures_are_those_of_the_reports(lived: Lived, connection: asyncpg.Connection):
    """What the dashboards show is what `amos report` shows: the same sums, ratios and quantiles."""

    async def rows(name: str) -> list[Any]:
        return [dict(row) for row in await connection.fetch(lived.sql(SQL[name]))]

    async def report(name: str) -> Any:
        window = {"since": lived.window.since, "until": lived.window.until}
        return (await lived.amos.client.get(f"/reports/{name}", params=window)).json()

    health, hit_rate = await report("health"), await report("hit-rate")
    assert await rows("amos-overview / Calls") == [{"calls": health["requests"]["total"]}]
    assert await rows("amos-overview / Availability") == [
        {"availability": pytest.approx(health["availability"])}
    ]
    assert await rows("amos-overview / Hit rate") == [{"hit_ratio": pytest.approx(hit_rate["hit_ratio"])}]
    providers = {row["provider"]: row for row in (await report("providers"))["rows"]}
    for row in await rows("amos-providers / Providers"):
        told = providers.pop(row["provider"])
        assert (row["attempts"], row["answers"]) == (told["calls"], told["won"] or None)
        assert float(row["mean"]) == pytest.approx(told["mean_s"])
        assert float(row["p95"]) == pytest.approx(told["p95_s"])
        assert float(row["success"]) == pytest.approx(told["success_ratio"])
    assert not providers
    clients = {row["client"]: row for row in (await report("clients"))["rows"]}
    for row in await rows("amos-queries / Clients"):
        told = clients.pop(row["client"])
        assert (row["calls"], row["failed"] + row["callers_own"]) == (told["requests"], told["failed"])
        assert float(row["p95"]) == pytest.approx(told["p95_s"])
    assert not clients


async def test_executions_lead_to_their_traces(lived: Lived, connection: asyncpg.Connection):
    """The ids in the table are those of the executions and of their traces."""
    newest = await connection.fetchrow(lived.sql(SQL["amos-queries / Newest executions"]))

    received = lived.amos.events(newest["execution_id"])[0]
    assert received["type"] == "amos.request.received.v1"
    assert newest["trace_id"] == received["trace_id"]


async def test_grafana_reads_the_views_and_nothing_else(lived: Lived, connection: asyncpg.Connection):
    """Its user sees no frame, no key, no text, and writes nothing; a text only if that is granted."""
    for forbidden in ("SELECT * FROM frames", "SELECT * FROM api_keys", "SELECT * FROM queries"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(forbidden)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("CREATE TABLE mine (x int)")
    asked = lived.sql(SQL["amos-queries / Asked most"])
    assert {row["query"] for row in await connection.fetch(asked)} == {""}

    owner = await asyncpg.connect(lived.amos.database)
    await owner.execute("GRANT SELECT ON queries TO grafana")

    assert "harbour" in {row["query"] for row in await connection.fetch(asked)}
    await owner.execute("REVOKE SELECT ON queries FROM grafana")
    await owner.close()


async def test_a_column_that_is_gone_is_told_by_name(lived: Lived):
    """Where a view loses a column each panel that uses it complains of that column; no other one does."""
    owner = await asyncpg.connect(lived.amos.database)
    change = owner.transaction()
    await change.start()
    await owner.execute("ALTER VIEW dashboard_cache RENAME COLUMN cache TO tier")
    found = {}
    for asked in SQL.values():
        inner = owner.transaction()
        await inner.start()
        try:
            await owner.prepare(lived.sql(asked))
        except asyncpg.PostgresError as fault:
            found[asked.name] = str(fault)
        await inner.rollback()
    await change.rollback()
    await owner.close()

    panels = ("Hit rate", "Answers by cache", "Hit rate over time")
    assert found == {f"amos-overview / {name}": 'column "cache" does not exist' for name in panels}


METRIC = re.compile(r"\b(?:amos_|job:amos_|provider:amos_)[a-zA-Z0-9_:]+")


def known_metrics() -> set[str]:
    """Every name there may be: documented metrics and their parts, the recorder's status, rules."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(amos_[a-z0-9_]+)`", page))
    parts = {name + part for name in documented for part in ("_bucket", "_count", "_sum")}
    status = RecorderStatus(
        pid=1, at=0.0, drained_at=0.0, backlog_bytes=0, frames=0, damaged=0, traces=TracesStatus(since=0.0)
    )
    fields = {family.name for family in recorder_figures(status)}
    rules = [
        rule["record"]
        for path in (ROOT / "deploy/prometheus/rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "record" in rule
    ]
    return documented | parts | fields | set(rules)


def unknown_metrics(known: set[str]) -> dict[str, set[str]]:
    """The metrics that nobody has, by the name of the query that asks for them."""
    found = {name: set(METRIC.findall(asked.target["expr"])) - known for name, asked in PROMQL.items()}
    return {name: missing for name, missing in found.items() if missing}


async def test_every_metric_is_there():
    """Each name in an expression is a documented metric or recorded by a rule."""
    assert unknown_metrics(known_metrics()) == {}


async def test_a_metric_that_is_gone_is_told_by_name():
    """Where a metric gets another name each panel that uses it is told, with that metric."""
    known = known_metrics() - {"amos_calls_max"} | {"amos_calls_limit"}

    assert unknown_metrics(known) == {"amos-overview / Calls under way / B": {"amos_calls_max"}}


@pytest.mark.parametrize("name", PROMQL)
async def test_prometheus_answers(lived: Lived, name: str):
    """The expression is understood by a parser and by the server, and has series where there is traffic."""
    expression = lived.expression(PROMQL[name])
    promql_parser.parse(expression)

    found = await lived.prometheus.query(expression)

    assert bool(found) == (name not in WITHOUT_SERIES), expression
