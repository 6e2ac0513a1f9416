"""Every panel asks what there is to be asked: its SQL of a real PostgreSQL, its PromQL of a real Prometheus.

A gateway has lived through a few of everything. Each query is given to the database as Grafana gives it, by
the user as whom Grafana reads, and has to come back with columns that its kind of panel can draw, and with
something in them. What a query uses and the database or the metrics do not have is told by the names of both.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import promql_parser
import pytest
import pytest_asyncio
import yaml

from api.process_figures import recorder_figures
from storage.file_status import RecorderStatus, TracesStatus
from tests.support.grafana_lived import PROMQL, SQL, Asked, Lived, after_traffic
from tests.support.processes import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUIET = {
    "amos-overview / Assumed",
    "amos-queries / Slow",
    "amos-event-store / Not counted",
    "amos-event-store / Projection lag",
    "amos-event-store / Parked frames",
    "amos-event-store / What is parked",
    "alert AmosHistoryLate",
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lived(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lived]:
    """A gateway that has lived through some of everything, and the servers that Grafana asks about it."""
    async with after_traffic(tmp_path_factory.mktemp("dashboards")) as lived:
        yield lived


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


async def test_quantiles_over_time_are_those_of_the_report(lived: Lived, connection: asyncpg.Connection):
    """The p95 of each stage in each minute is the one of the latency report."""
    window = {"since": lived.window.since, "until": lived.window.until, "by": "minute"}
    told = (await lived.amos.client.get("/reports/latency", params=window)).json()["rows"]
    found = await connection.fetch(lived.sql(SQL["amos-overview / p95 by stage"]))

    shown = sorted((row["metric"], float(row["value"])) for row in found)
    of_report = sorted((row["stage"], row["p95_s"]) for row in told if row["stage"] != "attempt")
    assert [stage for stage, _ in shown] == [stage for stage, _ in of_report]
    assert [value for _, value in shown] == pytest.approx([value for _, value in of_report])


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

    found = await lived.prometheus.query(expression, lived.scraped_at)

    assert bool(found) == (name not in WITHOUT_SERIES), expression
