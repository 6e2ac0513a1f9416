"""From a provider that breaks to whom is told: a real AMOS, Prometheus and Alertmanager, and a receiver."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.alerting import Receiver, hurried, routing, rules, scraping
from tests.support.processes import AmosProcesses
from tests.support.prometheus import Alertmanager, Prometheus
from tests.support.simulator import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.tavily_simulator import TavilySimulator

HEARD_S = 40.0
"""chosen: Prometheus looks for the first time after five seconds, and the alerts wait for two; the rest
is for a machine that does other things."""


def is_about(name: str, status: str) -> Any:
    """Whether an alert is this one and fires, or is resolved."""
    return lambda alert: (alert["labels"]["alertname"], alert["status"]) == (name, status)


@contextlib.asynccontextmanager
async def calling(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Somebody who asks for something new four times a second, whatever comes of it."""

    async def ask() -> None:
        while True:
            await client.post("/search", json={"query": f"at {time.monotonic()}"})
            await asyncio.sleep(0.25)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_broken_provider_is_told_and_so_is_its_recovery(
    tmp_path: Path, tavily: TavilySimulator
) -> None:
    """Callers fail: who is on call hears of it, others hear of the circuit, and both hear when it is over."""
    settings = {
        "TAVILY_API_KEY": tavily.api_key,
        "AMOS_TAVILY_BASE_URL": tavily.base_url,
        "AMOS_CIRCUIT_COOLDOWNS_S": "1",
    }
    async with AmosProcesses(tmp_path / "var", settings) as amos, Receiver() as receiver:
        made, output = await amos.command(
            *("keys", "create", "--client", "prometheus", "--limit-minute", "1000"),
            *("--scope", "search", "--scope", "reports"),
        )
        assert made == 0, output
        key = next(word for word in output.split() if word.startswith("amos_live_"))
        address = amos.base_url.removeprefix("http://")
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            Alertmanager(routing(receiver, tmp_path)) as alertmanager,
            Prometheus(scraping(address, tmp_path, key, alertmanager), hurried(rules())) as prometheus,
            httpx.AsyncClient(base_url=amos.base_url, headers=headers, trust_env=False) as client,
            calling(client),
        ):
            await prometheus.until_scraped("amos")
            await prometheus.until_scraped("amos-instance")
            healthy = await prometheus.query("up")
            tavily.always(Fault.status(500))
            page = await receiver.until(is_about("AmosAvailabilityBurn", "firing"), HEARD_S)
            ticket = await receiver.until(is_about("AmosCircuitOpen", "firing"), HEARD_S)
            tavily.recover()
            for name in ("AmosAvailabilityBurn", "AmosCircuitOpen"):
                await receiver.until(is_about(name, "resolved"), HEARD_S)

    assert set(healthy.values()) == {1.0}
    assert page["labels"] == {
        "alertname": "AmosAvailabilityBurn", "job": "amos", "severity": "page", "slo": "availability",
        "window": page["labels"]["window"],
    }  # fmt: skip
    assert "had no useful answer" in page["annotations"]["summary"]
    assert ticket["labels"] == {
        "alertname": "AmosCircuitOpen", "job": "amos-instance", "provider": "tavily", "severity": "ticket",
    }  # fmt: skip
    assert ticket["annotations"]["runbook_url"] == (
        "https://docs.example.org/amos/operations/runbooks.md#amoscircuitopen"
    )
    unexpected = {alert["labels"]["alertname"] for alert in receiver.heard}
    assert unexpected == {"AmosAvailabilityBurn", "AmosCircuitOpen"}


INHIBITED = {
    "no instance at all": (
        [{"alertname": "AmosDown"}],
        [
            {"alertname": "AmosInstanceDown", "instance": "g1"},
            {"alertname": "AmosFiguresMissing", "instance": "lb"},
        ],
        [{"alertname": "AmosBudgetLow", "account": "all"}],
    ),
    "no figures": (
        [{"alertname": "AmosFiguresMissing", "instance": "lb"}],
        [{"alertname": "AmosHistoryLate", "grafana_folder": "AMOS"}],
        [{"alertname": "AmosRecorderBehind", "instance": "g1"}],
    ),
    "one instance": (
        [{"alertname": "AmosInstanceDown", "instance": "g1"}],
        [{"alertname": "AmosRedisAway", "instance": "g1"}],
        [{"alertname": "AmosRedisAway", "instance": "g2"}, {"alertname": "AmosCircuitOpen"}],
    ),
    "a promise": (
        [{"alertname": "AmosAvailabilityBurn", "slo": "availability", "severity": "page"}],
        [{"alertname": "AmosAvailabilityBurn", "slo": "availability", "severity": "ticket"}],
        [
            {"alertname": "AmosLatencyBurn", "slo": "latency", "severity": "ticket"},
            {"alertname": "AmosCircuitOpen", "severity": "ticket"},
        ],
    ),
    "a budget": (
        [{"alertname": "AmosBudgetNearlySpent", "account": "all", "per": "day"}],
        [{"alertname": "AmosBudgetLow", "account": "all", "per": "day"}],
        [{"alertname": "AmosBudgetLow", "account": "all", "per": "month"}],
    ),
    "a journal": (
        [{"alertname": "AmosJournalNotWritable", "instance": "g1"}],
        [{"alertname": "AmosJournalFills", "instance": "g1"}],
        [{"alertname": "AmosJournalFills", "instance": "g2"}],
    ),
}
"""What fires, what it silences, and what it does not."""


def as_sets(alerts: list[dict[str, str]]) -> set[frozenset[tuple[str, str]]]:
    """Labels without an order."""
    return {frozenset(labels.items()) for labels in alerts}


@pytest.mark.parametrize("about", INHIBITED)
async def test_what_says_nothing_new_is_not_told(tmp_path: Path, about: str) -> None:
    """An alert that follows from another is suppressed while that fires; its likes elsewhere are not."""
    fires, silenced, heard = INHIBITED[about]
    async with Receiver() as receiver, Alertmanager(routing(receiver, tmp_path)) as alertmanager:
        sent = [{"labels": labels} for labels in (*fires, *silenced, *heard)]
        (await alertmanager.client.post("/api/v2/alerts", json=sent)).raise_for_status()

        alerts = (await alertmanager.client.get("/api/v2/alerts")).json()

    suppressed = [alert["labels"] for alert in alerts if alert["status"]["inhibitedBy"]]
    assert len(alerts) == len(sent)
    assert as_sets(suppressed) == as_sets(silenced)
