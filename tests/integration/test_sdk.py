"""The Python client against the running gateway."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import amos_sdk
from amos_sdk import AsyncClient, Client, InvalidRequest, NotFound, RetryPolicy, Unavailable
from tests.support.faults import Fault
from tests.support.gateway_server import serving


async def test_the_client_that_awaits(tmp_path, tavily):
    """A search, its repetition from the cache, an extract, a report and the call's own account."""
    async with serving(tmp_path, tavily=tavily) as amos, AsyncClient(amos.base_url) as client:
        first = await client.search("harbour museum", max_results=2)
        second = await client.search("harbour museum", max_results=2)
        pages = await client.extract(["https://almanac.example/tides/how"])
        await amos.drain()
        report = await client.report("hit-rate", since="1h")
        account = await client.execution(first.why.execution_id)
        newest = await client.executions(operation="search", text="HARBOUR", limit=1, min_duration=0.0)
        oldest = await client.executions(operation="search", before=newest.next)
        health = await client.health()
        usage = await client.usage()

    assert len(first.results) == 2
    assert (first.why.cache, second.why.cache) == ("miss", "l1")
    assert second.why.cost_usd == 0
    assert pages.pages[0].url == "https://almanac.example/tides/how"
    assert report.figures["hits"] == 1
    assert (usage.client, usage.credits, usage.by_operation["search"]) == ("local", 1, 1)
    assert account.execution_id == first.why.execution_id
    assert (account.status, account.provider) == ("answered", "tavily")
    assert account.events[-1].type == "amos.request.completed.v1"
    assert account.why[-1].startswith("Answered")
    assert [(one.cache, one.text) for one in newest.executions] == [("l1", "harbour museum")]
    assert [one.execution_id for one in oldest.executions] == [first.why.execution_id]
    assert oldest.next is None
    assert health["status"] == "ok" or health["components"]


async def test_the_client_that_blocks(tmp_path, tavily):
    """The same in a thread, with the same values."""
    async with serving(tmp_path, tavily=tavily) as amos:

        def work():
            with Client(amos.base_url) as client:
                return client.search("harbour museum"), client.search("harbour museum")

        first, second = await asyncio.to_thread(work)

    assert (first.why.cache, second.why.cache) == ("miss", "l1")
    assert first.results == second.results


async def test_errors_have_types(tmp_path, tavily):
    """A bad request, an unknown execution and a dead chain raise what their names say."""
    tavily.always(Fault.status(500))
    retries = RetryPolicy(attempts_max=2, backoff_base_s=0.0, wait_s_max=0.0)
    async with (
        serving(tmp_path, tavily=tavily) as amos,
        AsyncClient(amos.base_url, retries=retries) as client,
    ):
        with pytest.raises(InvalidRequest, match="short"):
            await client.search("x")
        with pytest.raises(NotFound):
            await client.execution("01a20753-4062-758d-85b4-5a2f60876c30")
        with pytest.raises(Unavailable) as caught:
            await client.search("harbour museum")

    assert caught.value.code == "all_providers_failed"
    assert caught.value.execution_id


def test_the_client_stands_alone():
    """Its modules import httpx and the standard library, and nothing of the server."""
    for name in ("client", "errors", "exchange", "models", "wire"):
        source = inspect.getsource(getattr(amos_sdk, name))
        assert not any(f"from {room}" in source for room in ("api", "orchestrator", "storage"))
