"""`/metrics` and `/metrics/instance`: who may read them, how, and when there is nothing to read."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_plain

from orchestrator.errors import EventLogUnavailable
from orchestrator.reports.totals import Standing, Totals

PATHS = ("/metrics", "/metrics/instance")
PROXIED = {"x-forwarded-for": "1.2.3.4"}


def values(answer):
    """The values of an answer by name and labels."""
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in read_plain(answer.text)
        for sample in family.samples
    }


@pytest.fixture
def lagging(memory, monkeypatch):
    """Makes the reports lack everything of the last so many seconds."""

    def lag(seconds):
        async def totals(needs):
            standing = Standing(position=2, counted_position=1, waiting_since=time.time() - seconds)
            return Totals(sums=[{} for _ in needs], standing=standing)

        monkeypatch.setattr(memory.gateway.reports, "totals", totals)

    return lag


async def test_calls_are_counted(client):
    """What was answered is in the metrics as soon as it is in the log."""
    before = values(await client.get("/metrics"))
    await client.post("/search", json={"query": "tide tables"})
    await client.post("/search", json={"query": "tide tables"})
    after = values(await client.get("/metrics"))

    answered = ("amos_requests_total", ("error", ""), ("operation", "search"), ("outcome", "answered"))
    assert answered not in before
    assert after[answered] == 2.0


async def test_the_process_is_measured(client):
    """What is under way, circuits and the process itself, without a look into the log."""
    found = values(await client.get("/metrics/instance"))

    names = {name for name, *_ in found}
    assert {"amos_calls_under_way", "amos_circuit_state", "process_cpu_seconds_total"} <= names


@pytest.mark.parametrize("path", PATHS)
async def test_strangers_read_nothing(client, path):
    """What is asked of AMOS is for whoever operates it."""
    answer = await client.get(path, headers=PROXIED)

    assert answer.status_code == 401
    assert "amos_" not in answer.text


@pytest.mark.parametrize("path", PATHS)
async def test_head_and_other_methods(client, path):
    """HEAD is GET without the body; nothing can be written here."""
    assert (await client.head(path)).status_code == 200
    assert (await client.post(path)).status_code == 405


@pytest.mark.parametrize("path", PATHS)
async def test_nobody_keeps_an_answer(client, path):
    """A kept answer would be figures of the past."""
    assert (await client.get(path)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
async def test_the_format_is_the_readers(client, path):
    """OpenMetrics for whoever asks for it."""
    answer = await client.get(path, headers={"accept": "application/openmetrics-text"})

    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")


async def test_figures_of_the_past_are_refused(client, lagging):
    """Thirty seconds behind is the present; more is said in a sentence; the process still tells of itself."""
    lagging(25)
    assert (await client.get("/metrics")).status_code == 200
    lagging(45)
    answer = await client.get("/metrics")

    assert (answer.status_code, answer.json()["code"]) == (503, "reports_behind")
    assert answer.json()["detail"].startswith("What was recorded in the last 45 s is not counted yet")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await client.get("/metrics/instance")).status_code == 200


async def test_a_database_out_of_reach_is_said(client, memory, monkeypatch):
    """The cause is the answer; the process still tells of itself."""

    async def fail(_needs):
        raise EventLogUnavailable("The event log is out of reach: the server cannot be reached.")

    monkeypatch.setattr(memory.gateway.reports, "totals", fail)
    answer = await client.get("/metrics")

    assert (answer.status_code, answer.json()["code"]) == (503, "event_log_unavailable")
    assert (await client.get("/metrics/instance")).status_code == 200
