"""`/reports/...`: windows as people write them, and only for those who may see them."""

from __future__ import annotations

import time

import httpx
import pytest

from api.rest.reports import question
from api.rest.tables import preferred
from orchestrator.errors import InvalidRequest
from orchestrator.reports.catalogue import REPORTS

NOW = 1_795_000_000.0


@pytest.mark.parametrize("name", REPORTS)
async def test_a_report_covers_a_day_unless_told(client: httpx.AsyncClient, name: str):
    """Without parameters a report is about the last 24 hours, ungrouped."""
    body = (await client.get(f"/reports/{name}")).json()

    assert body["until"] - body["since"] == pytest.approx(86_400)
    assert body["until"] == pytest.approx(time.time(), abs=60)
    assert body.get("by", "") == ""


async def test_a_report_takes_a_window_and_a_group(client: httpx.AsyncClient):
    """The window and the grouping reach the store."""
    answer = await client.get("/reports/hit-rate?since=1000000000&until=1000002000&by=provider")

    assert answer.json() == {"since": 1e9, "until": 1_000_002_000.0, "by": "provider", "rows": []}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/reports/hit-rate?by=weather", 400),
        ("/reports/hit-rate?since=never", 400),
        ("/reports/hit-rate?since=1h&until=2h", 400),
        ("/reports/hit-rate?sinse=1h", 400),
        ("/reports/health?by=weather", 400),
        ("/reports/queries?by=hour", 400),
        ("/reports/health?since=", 400),
        ("/reports/health?by=", 400),
        ("/reports/health?since=1h&since=2h", 400),
        ("/reports/health?tz=UTC&tz=UTC", 400),
        ("/reports/health?until=9999-12-31", 400),
        ("/reports/health?until=99999999999999999999", 400),
        ("/reports/health?since=-5", 400),
        ("/reports/clients?limit=0", 400),
        ("/reports/clients?limit=-1", 400),
        ("/reports/clients?limit=1001", 400),
        ("/reports/clients?limit=99999999999999999999", 400),
        ("/reports/clients?limit=%D9%A3", 400),
        ("/reports/clients?limit=1e1", 400),
        ("/reports/health?tz=", 400),
        ("/reports/health?tz=../../etc/passwd", 400),
        ("/reports/health?tz=Europe/Atlantis", 400),
        ("/reports/health?tz=" + "x" * 3_000, 400),
        ("/reports/health?tz=UTC%00", 400),
        ("/reports/health?format=xml", 400),
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


def test_each_refusal_names_its_parameter():
    """Whoever gives a wrong value is told of which parameter, and what would be right."""
    wrong = {"since": "never", "until": "", "by": "", "limit": "many", "tz": "Mars", "format": "xml"}
    for name, value in wrong.items():
        with pytest.raises(InvalidRequest, match=f"^{name}: ") as refusal:
            question([(name, value)], NOW)
        assert refusal.value.field == name


def test_a_moment_without_an_offset_is_in_the_zone():
    """Noon is noon where the report is made for; an offset of its own wins."""
    asked = question(
        [("since", "1970-01-02T12:00"), ("until", "1970-01-03T12:00Z"), ("tz", "Asia/Tokyo")], NOW
    )

    assert (asked.since, asked.until) == (86_400.0 + 3 * 3_600, 2 * 86_400.0 + 12 * 3_600)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ([], "json"),
        (["*/*"], "json"),
        (["text/csv"], "csv"),
        (["application/json, text/csv"], "json"),
        (["application/json;q=0.5", "Text/CSV ; q=0.9"], "csv"),
        (["text/csv;q=0"], "json"),
        (["text/html, text/csv;q=0.1, */*;q=0.01"], "csv"),
        (["text/csv;q=high"], "json"),
        ([",;,=;q=,\u0000text/csv"], "json"),
    ],
)
def test_csv_is_for_who_prefers_it(accept: list[str], expected: str):
    """JSON is the default, also for garbage; nobody is refused for what they accept."""
    assert preferred(accept) == expected


async def test_a_parameter_wins_over_the_header(client: httpx.AsyncClient):
    """`format` decides; without it `Accept` does. A browser must take neither for a page."""
    csv = await client.get("/reports/hit-rate?by=day&format=csv", headers={"Accept": "application/json"})
    json = await client.get("/reports/hit-rate?format=json", headers={"Accept": "text/csv"})

    assert csv.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert csv.headers["x-content-type-options"] == "nosniff"
    assert csv.headers["cache-control"] == "no-store"
    assert json.headers["content-type"] == "application/json"


async def test_a_stranger_sees_no_report(client: httpx.AsyncClient):
    """Reports are for known callers."""
    answer = await client.get("/reports/health", headers={"via": "1.1 proxy"})

    assert answer.status_code == 401
