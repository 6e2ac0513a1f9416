"""The server of the SDK around a gateway, in memory: who its callers are, and what a bug of ours tells."""

from __future__ import annotations

import logging

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from api.mcp_server import mcp_server, operator
from api.mcp_texts import INTERNAL_ERROR
from orchestrator.events import CallerAuthenticated
from tests.support.memory_gateway import MemoryGateway


async def test_whoever_starts_the_process_needs_no_key(memory: MemoryGateway):
    """Over pipes the caller owns the data folder and the settings, keys or no keys."""
    async with Client(mcp_server(memory.gateway, operator)) as client:
        result = await client.call_tool("web_search", {"query": "tide tables"})

    assert not result.is_error
    facts = [envelope.event for frame in memory.journal.frames for envelope in frame.events]
    (known,) = (fact for fact in facts if isinstance(fact, CallerAuthenticated))
    assert (known.client, known.method) == ("local", "in_process")


async def test_a_bug_of_ours_tells_a_model_nothing(memory: MemoryGateway, caplog: pytest.LogCaptureFixture):
    """The model learns that something failed and that calling again does not help; the log has the rest."""

    async def broken(_call: object) -> None:
        raise ZeroDivisionError("secret")

    memory.gateway.search = broken  # type: ignore[method-assign,assignment]

    with caplog.at_level(logging.ERROR, "amos.mcp"):
        async with Client(mcp_server(memory.gateway, operator)) as client:
            result = await client.call_tool("web_search", {"query": "tide tables"})

    assert result.is_error
    assert result.content[0].text == INTERNAL_ERROR
    assert "secret" in caplog.text


async def test_only_the_tools_that_are_offered_can_be_used(memory: MemoryGateway):
    """The list is the operator's, in the operator's order; another tool does not exist, whoever knows it."""
    async with Client(mcp_server(memory.gateway, operator, ("fetch", "web_search"))) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        with pytest.raises(MCPError, match="There are fetch, web_search"):
            await client.call_tool("search", {"query": "tide tables"})

    assert listed == ["fetch", "web_search"]
    assert not memory.provider.calls


async def test_there_are_no_prompts_and_no_resources(memory: MemoryGateway):
    """Clients ask for them at every start, whatever the server says it has; the lists are empty."""
    async with Client(mcp_server(memory.gateway, operator)) as client:
        assert (await client.list_prompts()).prompts == []
        assert (await client.list_resources()).resources == []
        assert (await client.list_resource_templates()).resource_templates == []
