"""The official client of the protocol, in both of its eras, against `/mcp` on the real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODES = ["auto", "legacy", "2026-07-28"]
ERAS = ["legacy", "2026-07-28"]

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jina() -> AsyncIterator[JinaSimulator]:
    """Jina, simulated."""
    async with JinaSimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, tavily: TavilySimulator, jina: JinaSimulator
) -> AsyncIterator[GatewayServer]:
    """One gateway for all of this file; each test asks something of its own."""
    async with serving(tmp_path_factory.mktemp("var"), tavily=tavily, jina=jina, deadline_s=6) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def amos(shared: GatewayServer, tavily: TavilySimulator) -> AsyncIterator[GatewayServer]:
    """The gateway, with a Tavily that is well and has forgotten every call."""
    tavily.recover()
    tavily.clear()
    yield shared
    tavily.recover()


def connected(amos: GatewayServer, mode: str) -> Client:
    """The official client, in this mode."""
    return Client(f"{amos.base_url}/mcp", mode=mode)


@pytest.mark.parametrize("mode", MODES)
async def test_every_tool_can_be_used(amos: GatewayServer, mode: str):
    """Whatever era a client speaks, it lists the tools and has an answer of each, which fits its schema."""
    async with connected(amos, mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [
            *("search", "fetch", "web_search", "extract", "tavily_search", "tavily_extract")
        ]
        found = await client.call_tool("web_search", {"query": f"tide tables {mode}", "max_results": 3})
        plain = await client.call_tool("search", {"query": f"tide tables {mode}"})
        page = await client.call_tool("fetch", {"id": plain.structured_content["results"][0]["id"]})
        pages = await client.call_tool("extract", {"urls": ["https://almanac.example/tides"]})
        named = await client.call_tool("tavily_search", {"query": f"tide tables {mode}", "max_results": 3})

    assert len(found.structured_content["results"]) == 3
    assert found.structured_content["amos"]["provider"] == "tavily"
    assert page.structured_content["url"] == plain.structured_content["results"][0]["url"]
    assert page.structured_content["text"]
    assert pages.structured_content["results"][0]["url"] == "https://almanac.example/tides"
    assert named.structured_content["results"] == found.structured_content["results"]
    assert named.content[0].text.startswith("Detailed Results:\n\nTitle: ")
    for result in (found, plain, page, pages):
        assert [content.type for content in result.content] == ["text"]
        assert json.loads(result.content[0].text) == result.structured_content


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_learns_who_serves_it_and_how(amos: GatewayServer, mode: str):
    """The server says its name and that results are data; its tools only read, and have titles."""
    async with connected(amos, mode) as client:
        tools = (await client.list_tools()).tools

        assert client.server_info.name == "amos"
        assert "never instructions" in " ".join(str(client.instructions).split())
    assert all(tool.annotations.read_only_hint and tool.annotations.open_world_hint for tool in tools)
    assert all(tool.title and tool.output_schema for tool in tools)


async def test_the_answer_is_that_of_the_other_doors(amos: GatewayServer, tavily: TavilySimulator):
    """One pipeline and one cache: what HTTP has asked costs nothing here, and the results are the same."""
    over_http = (await amos.search("harbour museum", max_results=4)).json()

    async with connected(amos, "auto") as client:
        result = await client.call_tool("web_search", {"query": "Harbour  Museum", "max_results": 4})

    over_mcp = result.structured_content
    assert over_mcp["amos"]["cache"] == "l1"
    assert over_mcp["results"] == over_http["results"]
    assert set(over_mcp) == set(over_http)
    assert tavily.count == 1


@pytest.mark.parametrize("mode", ERAS)
async def test_calls_are_on_record_under_the_trace_of_their_caller(amos: GatewayServer, mode: str):
    """An execution that came in by MCP says so, and carries on the trace that its request names."""
    async with connected(amos, mode) as client:
        result = await client.call_tool(
            "web_search", {"query": f"traced {mode}"}, meta={"traceparent": TRACEPARENT}
        )

    await amos.drain()
    received = amos.events(result.structured_content["amos"]["execution_id"])[0]
    assert (received["door"], received["operation"]) == ("mcp", "search")
    assert (received["trace_id"], received["parent_span_id"]) == (TRACE_ID, "00f067aa0ba902b7")


async def test_a_trace_in_the_headers_is_carried_on(amos: GatewayServer):
    """A client that knows HTTP better than MCP names its trace in a header."""
    http = httpx2.AsyncClient(headers={"traceparent": TRACEPARENT})
    async with http, Client(streamable_http_client(f"{amos.base_url}/mcp", http_client=http)) as client:
        result = await client.call_tool("web_search", {"query": "traced by header"})

    await amos.drain()
    received = amos.events(result.structured_content["amos"]["execution_id"])[0]
    assert received["trace_id"] == TRACE_ID


@pytest.mark.parametrize("mode", ERAS)
async def test_what_a_model_can_mend_is_a_result(amos: GatewayServer, mode: str):
    """Wrong arguments are a result with isError, whose text names the argument and the reason."""
    async with connected(amos, mode) as client:
        wrong = await client.call_tool("web_search", {"query": "tides", "max_results": "many"})

    assert wrong.is_error
    assert wrong.content[0].text == (
        "max_results: expected an integer, got a string. Correct the arguments and call again."
    )


@pytest.mark.parametrize("mode", ERAS)
async def test_failed_providers_are_named_with_the_time_to_wait(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator, mode: str
):
    """When nobody has an answer the model learns why, of each, and when to come back."""
    tavily.when(f"nobody {mode}", Fault.body("{}"))
    jina.when(f"nobody {mode}", Fault.body("{}"))

    async with connected(amos, mode) as client:
        failed = await client.call_tool("web_search", {"query": f"nobody {mode}"})

    assert failed.is_error
    assert failed.content[0].text.startswith(
        "No search provider could answer (tavily: bad_shape; jina: bad_shape). Try again in "
    )


@pytest.mark.parametrize("mode", ERAS)
async def test_an_unknown_tool_is_an_error_of_the_protocol(amos: GatewayServer, mode: str):
    """A tool that was never listed is the client's mistake, not the model's: -32602, as the spec has it."""
    async with connected(amos, mode) as client:
        with pytest.raises(MCPError, match="There are search, fetch") as refused:
            await client.call_tool("browse", {"query": "tides"})

    assert refused.value.error.code == -32602


@pytest.mark.parametrize("mode", ERAS)
async def test_slow_calls_report_progress(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator, mode: str
):
    """Who wants progress hears whom AMOS asks and what became of the one before; it ends with the answer."""
    tavily.when(f"slow {mode}", msgspec.structs.replace(Fault.body("{}"), delay_s=2.0))
    jina.when(f"slow {mode}", Fault.delay(0.6))
    heard: list[tuple[float, str | None]] = []

    async def on_progress(done: float, _total: float | None, message: str | None) -> None:
        heard.append((done, message))

    async with connected(amos, mode) as client:
        result = await client.call_tool(
            "web_search", {"query": f"slow {mode}"}, progress_callback=on_progress
        )
        at_the_answer = len(heard)
        await asyncio.sleep(0.3)

    assert result.structured_content["amos"]["provider"] == "jina"
    figures = [done for done, _ in heard]
    assert figures == sorted(set(figures))
    messages = [message for _, message in heard]
    assert messages[:2] == ["asking tavily", "asking tavily"], "a sign of life after a second"
    assert "tavily failed: bad_shape, asking jina" in messages
    assert len(heard) == at_the_answer


async def test_a_cached_answer_reports_nothing(amos: GatewayServer):
    """What is there at once needs no progress, even if the caller asked for it."""
    heard: list[float] = []

    async def on_progress(done: float, _total: float | None, _message: str | None) -> None:
        heard.append(done)

    async with connected(amos, "auto") as client:
        await client.call_tool("web_search", {"query": "warm"})
        result = await client.call_tool("web_search", {"query": "warm"}, progress_callback=on_progress)

    assert result.structured_content["amos"]["cache"] == "l1"
    assert heard == []
