"""A gateway on PostgreSQL after a few seconds of life, with all that Grafana would ask about it.

    async with after_traffic(folder) as lived:
        ... lived.sql(asked), lived.expression(asked), lived.reader, lived.prometheus

`SQL` and `PROMQL` are the queries of all dashboards by their names.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from grafana.generate import dashboards
from orchestrator.cooldown import CircuitPolicy
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming
from tests.support.gateway_server import GatewayServer, serving
from tests.support.grafana import Window, expanded, interpolated, panels_of, prometheus_form, values_of
from tests.support.jina_simulator import JinaSimulator
from tests.support.postgres import shared_postgres
from tests.support.processes import ROOT
from tests.support.prometheus import Prometheus
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

DASHBOARDS = {dashboard["uid"]: dashboard for dashboard in dashboards()}

SECRET = "reader"
"""The password of Grafana's user."""

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
    yield from _of_alerts(key)


def _beside(uid: str, dashboard: dict[str, Any]) -> Iterator[Asked]:
    """What a dashboard asks beside its panels: marks and choices."""
    for mark in dashboard["annotations"]["list"]:
        yield Asked(f"{uid} / mark {mark['name']}", "annotation", mark["target"], dashboard)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            target = {"rawSql": variable["query"], "format": "table"}
            yield Asked(f"{uid} / variable {variable['name']}", "variable", target, dashboard)


def _of_alerts(key: str) -> Iterator[Asked]:
    """What Grafana's own alerts ask: each for one number."""
    alerting = yaml.safe_load((ROOT / "grafana/provisioning/alerting/amos.yaml").read_text(encoding="utf-8"))
    for rule in (rule for group in alerting["groups"] for rule in group["rules"]):
        for model in (item["model"] for item in rule["data"]):
            if key in model:
                yield Asked(f"alert {rule['title']}", "stat", model, DASHBOARDS["amos-overview"])


SQL: dict[str, Asked] = {asked.name: asked for asked in queries("rawSql")}
PROMQL: dict[str, Asked] = {asked.name: asked for asked in queries("expr")}


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
    scraped_at: float = 0.0
    """When Prometheus had all of it; later ones may be a page that timed out on a busy machine."""
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


@contextlib.asynccontextmanager
async def after_traffic(folder: Path) -> AsyncIterator[Lived]:
    """A gateway on PostgreSQL that has lived through some of everything, scraped every second."""
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
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": "amos", "static_configs": target},
                {"job_name": "amos-instance", "metrics_path": "/metrics/instance", "static_configs": target},
            ],
        }
        async with Prometheus(configuration) as prometheus, amos.draining():
            await _traffic(amos, tavily, jina)
            now = int(time.time())
            lived = Lived(amos, prometheus, await _reader(url), Window(now - 3_600, now + 60))
            lived.chosen |= await _choices(lived)
            await _until_counted(prometheus)
            for job in ("amos", "amos-instance"):
                await prometheus.until_scraped(job)
            lived.scraped_at = time.time()
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
