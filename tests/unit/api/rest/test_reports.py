"""`/reports/...`: windows as people write them, and only for those who may see them."""

from __future__ import annotations

import time

import httpx
import pytest

from api.rest.reports import moment
from orchestrator.errors import InvalidRequest

NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("90s", NOW - 90),
        ("15m", NOW - 900),
        ("24h", NOW - 86_400),
        ("7d", NOW - 604_800),
        ("2w", NOW - 1_209_600),
        ("1795000000", NOW),
        ("1795000000.5", NOW + 0.5),
        ("1970-01-02", 86_400.0),
        ("0001-01-01", 0.0),
        ("999999999w", 0.0),
        ("1970-01-01T01:00:00Z", 3_600.0),
        ("1970-01-01T01:00:00", 3_600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T01:00:00 01:00", 0.0),
    ],
)
def test_a_moment_is_written_in_many_ways(text: str, expected: float):
    """Ages, dates and epoch seconds all name a moment; without an offset it is UTC."""
    assert moment("since", text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "24", "-1h", "1y", "h", "1e9", "2026-13-01", "0001-01-01T00:00:00+25:00", "٣h"]
)
def test_anything_else_is_refused_with_an_example(text: str):
    """Whoever writes a moment wrongly is shown a right one; a small number is an age without its unit."""
    with pytest.raises(InvalidRequest, match="24h"):
        moment("since", text, NOW)


@pytest.mark.parametrize("name", ["health", "hit-rate", "latency", "cost"])
async def test_a_report_covers_a_day_unless_told(client: httpx.AsyncClient, name: str):
    """Without parameters a report is about the last 24 hours, ungrouped."""
    body = (await client.get(f"/reports/{name}")).json()

    assert body["until"] - body["since"] == pytest.approx(86_400)
    assert body["until"] == pytest.approx(time.time(), abs=60)
    assert body.get("by", "") == ""


async def test_a_report_takes_a_window_and_a_group(client: httpx.AsyncClient):
    """The window and the grouping reach the store."""
    answer = await client.get("/reports/hit-rate?since=1000000000&until=1000002000&by=provider")

    assert answer.json() == {"since": 1e9, "until": 1_000_002_000.0, "by": "provider"}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/reports/hit-rate?by=weather", 400),
        ("/reports/hit-rate?since=never", 400),
        ("/reports/hit-rate?since=1h&until=2h", 400),
        ("/reports/hit-rate?sinse=1h", 400),
        ("/reports/health?by=weather", 400),
        ("/reports/nothing", 404),
        ("/reports", 404),
    ],
)
async def test_what_cannot_be_reported_is_a_problem(client: httpx.AsyncClient, path: str, status: int):
    """Faults are told in problem details."""
    answer = await client.get(path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


async def test_a_stranger_sees_no_report(client: httpx.AsyncClient):
    """Reports are for known callers."""
    answer = await client.get("/reports/health", headers={"via": "1.1 proxy"})

    assert answer.status_code == 401
