"""Clients: who asks for how much, and what becomes of it."""

from __future__ import annotations

from orchestrator.reports.clients import ClientsReport
from orchestrator.reports.latency import LatencyReport
from tests.support.histories import answered, hit, miss, numbered, refused
from tests.support.reported import report_of


def report(*events, by="", limit=20):
    """The clients of these events."""
    return report_of(ClientsReport(), numbered(events), by, limit=limit)


def test_a_client_has_its_calls_and_its_money():
    """Ends by outcome and error, hits of the answered ones, doors, and the client's part of the ledger."""
    found = report(
        *hit("agent"),
        *miss("agent"),
        answered(client="agent", cache="collapsed", door="mcp"),
        refused("rate_limited", client="agent"),
    )

    (agent,) = found["rows"]
    assert (agent["requests"], agent["answered"], agent["failed"]) == (4, 3, 1)
    assert (agent["hits"], agent["hit_ratio"]) == (1, 1 / 3)
    assert (agent["collapsed"], agent["collapsed_ratio"]) == (1, 1 / 3)
    assert agent["errors"] == {"rate_limited": 1}
    assert agent["doors"] == {"http": 3, "mcp": 1}
    money = [agent[f"{name}_usd_micros"] for name in ("spent", "assumed", "saved")]
    assert money == [8_000, 0, 8_000]


def test_the_busiest_come_first_and_the_rest_is_counted():
    """The list ends at the limit; the totals are of all clients."""
    found = report(*hit("b"), *hit("a"), *hit("c"), *hit("c"), limit=2)

    assert [row["client"] for row in found["rows"]] == ["c", "a"]
    assert (found["clients"], found["requests"]) == (3, 4)


def test_quantiles_are_those_of_whole_stays():
    """One client's half and 95 % are what the latency report says of its stages taken together."""
    stays = [answered(client="a", duration_s=number / 100) for number in range(1, 101)]
    found = report(*stays)
    of_latency = report_of(LatencyReport(), numbered(stays), "client")

    assert [found["p50_s"], found["p95_s"]] == [of_latency["rows"][0][name] for name in ("p50_s", "p95_s")]
    assert found["mean_s"] == 0.505


def test_by_time_there_is_one_row_for_all_clients():
    """Time series are of the whole, and are not cut."""
    found = report(*hit("a"), *hit("b"), by="hour", limit=1)

    (row,) = found["rows"]
    assert (found["by"], row["requests"]) == ("hour", 2)
    assert "clients" not in found


def test_nothing_asked_has_no_ratios():
    """Of nothing there is no share and no mean."""
    found = report()

    assert [found[name] for name in ("hit_ratio", "collapsed_ratio", "mean_s", "p50_s")] == [None] * 4
    assert found["rows"] == []
