"""`/executions/{id}`: one execution, as its events and what they mean."""

from __future__ import annotations

import httpx
import pytest
import uuid_utils


async def test_an_execution_is_explained(client: httpx.AsyncClient):
    """Every fact is there in order, and why the answer was what it was."""
    execution_id = (await client.post("/search", json={"query": "tides"})).json()["request_id"]

    body = (await client.get(f"/executions/{execution_id}")).json()

    assert body["execution_id"] == execution_id
    assert [event["seq"] for event in body["events"]] == list(range(1, len(body["events"]) + 1))
    assert body["events"][0]["event"]["type"] == "amos.request.received.v1"
    assert body["events"][-1]["event"]["type"] == "amos.request.completed.v1"
    assert body["explanation"]["provider"] == "scripted"
    assert body["explanation"]["why"]
    assert "tides" not in str(body)


async def test_an_id_may_be_written_without_hyphens(client: httpx.AsyncClient):
    """A trace id is an execution id without hyphens."""
    execution_id = (await client.post("/search", json={"query": "tides"})).json()["request_id"]

    answer = await client.get(f"/executions/{execution_id.replace('-', '').upper()}")

    assert answer.json()["execution_id"] == execution_id


async def test_one_that_is_not_there_yet_may_come(client: httpx.AsyncClient):
    """The log follows the answers by a moment, so the 404 of an id just made says when to look again."""
    answer = await client.get(f"/executions/{uuid_utils.uuid7()}")

    assert (answer.status_code, answer.headers["retry-after"]) == (404, "1")


@pytest.mark.parametrize(
    "old",
    [
        "01a20727-a6b1-7e53-9c7d-6b1f0f2d8a11",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "5d0c1b9e-2f63-4a7d-9c51-8e0f6a3b7d24",
    ],
)
async def test_one_that_is_long_gone_never_comes(client: httpx.AsyncClient, old: str):
    """An id of days ago, of a far future or of no time at all is on its way nowhere."""
    answer = await client.get(f"/executions/{old}")

    assert (answer.status_code, "retry-after" in answer.headers) == (404, False)


@pytest.mark.parametrize(
    "name", ["none", "1", "01a20727-a6b1-7e53-9c7d-6b1f0f2d8a1g", "circuit:tavily", "%00"]
)
async def test_what_is_no_id_never_comes(client: httpx.AsyncClient, name: str):
    """There is no use in looking again, and other streams are not looked into."""
    answer = await client.get(f"/executions/{name}")

    assert answer.status_code == 404
    assert "retry-after" not in answer.headers


async def test_a_stranger_sees_no_execution(client: httpx.AsyncClient):
    """Executions are for known callers."""
    execution_id = (await client.post("/search", json={"query": "tides"})).json()["request_id"]

    answer = await client.get(f"/executions/{execution_id}", headers={"x-forwarded-for": "1.2.3.4"})

    assert answer.status_code == 401
