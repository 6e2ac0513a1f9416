"""`/livez`, `/readyz`, `/health`: one word for anybody, the details for whoever operates it."""

from __future__ import annotations

import httpx
import pytest

from orchestrator.errors import EventLogUnavailable
from tests.support.memory_gateway import MemoryGateway

PROXIED = {"x-forwarded-for": "1.2.3.4"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_running_process_is_live(client: httpx.AsyncClient, memory: MemoryGateway, method: str):
    """Live says nothing about anything the process depends on."""
    memory.sick = True

    assert (await client.request(method, "/livez")).status_code == 200


async def test_ready_follows_the_gateway(client: httpx.AsyncClient, memory: MemoryGateway):
    """An instance that cannot keep facts asks for its calls to go elsewhere, and says why."""
    assert (await client.get("/readyz")).json() == {"status": "ready"}
    memory.sick = True
    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "reasons": ["The journal is full."]}


async def test_a_balancer_gets_one_word(client: httpx.AsyncClient, memory: MemoryGateway):
    """Through a proxy the state is told, and no reason."""
    memory.sick = True

    answer = await client.get("/readyz", headers=PROXIED)

    assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})
    assert (await client.get("/livez", headers=PROXIED)).status_code == 200


async def test_health_lists_every_component(client: httpx.AsyncClient):
    """What is not configured is listed and does no harm."""
    body = (await client.get("/health")).json()

    statuses = {component["name"]: component["status"] for component in body["components"]}
    assert body["status"] == "ok"
    assert statuses == {"journal": "ok", "provider:scripted": "ok", "provider:tavily": "unconfigured"}


async def test_health_is_as_bad_as_its_worst_part(client: httpx.AsyncClient, memory: MemoryGateway):
    """A part that keeps the instance from serving makes it down, with the status balancers understand."""
    memory.sick = True

    answer = await client.get("/health")

    assert (answer.status_code, answer.json()["status"]) == (503, "down")


async def test_a_stranger_sees_no_components(client: httpx.AsyncClient):
    """What an instance consists of is for whoever operates it."""
    assert (await client.get("/health", headers=PROXIED)).status_code == 401


async def test_a_full_journal_does_not_keep_health_from_answering(
    client: httpx.AsyncClient, memory: MemoryGateway
):
    """When it matters most, health still answers."""
    memory.journal.is_full = True
    with pytest.raises(EventLogUnavailable):
        await memory.journal.append("x", 0.0, (), {})

    assert (await client.get("/health")).status_code == 200
