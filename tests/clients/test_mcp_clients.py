"""Clients of MCP use `/mcp` unchanged, in each era they speak: they list the tools, call them, show a key."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from orchestrator.key_admin import KeyWish
from tests.clients.conftest import StartClient
from tests.support.foreign import ClientError
from tests.support.foreign_mcp import INSPECTOR, KINDS, Inspector, Kind, McpUser
from tests.support.foreign_tavily import NPM_FOLDER
from tests.support.gateway_server import GatewayServer
from tests.support.jina_simulator import JinaSimulator
from tests.support.npm import install_packages
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

TOOLS = {"search", "fetch", "web_search", "extract", "tavily_search", "tavily_extract"}

PAGE = "https://almanac.example/tides"
DEAD_PAGE = "https://almanac.example/gone"


@pytest.fixture(params=KINDS, ids=[f"{kind.name}-{kind.mode}" for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Which client the test is about, installed."""
    if request.param.name == INSPECTOR:
        install_packages(NPM_FOLDER)
    return request.param


@pytest_asyncio.fixture(loop_scope="session")
async def user(kind: Kind, start_client: StartClient, amos: GatewayServer, tmp_path: Path) -> McpUser:
    """The client, pointed at the gateway."""
    client = Inspector(tmp_path) if kind.name == INSPECTOR else await start_client(*kind.command)
    return McpUser(kind, client, f"{amos.base_url}/mcp")


async def test_the_tools(user: McpUser):
    """A client that has only been told the address is offered every tool."""
    assert set(await user.list_tools()) >= TOOLS


async def test_a_search(user: McpUser):
    """It has the whole answer, with why it is this one."""
    answer = await user.call_tool("web_search", query="tide tables", max_results=2)

    assert len(answer["results"]) == 2
    assert answer["amos"]["provider"] == "tavily"


async def test_jinas_answer_reads_the_same(user: McpUser, tavily: TavilySimulator):
    """An answer of the fallback has results like any other."""
    tavily.always(Fault.status(500))

    answer = await user.call_tool("web_search", query="tide tables", max_results=2)

    assert [set(result) >= {"title", "url", "content", "score"} for result in answer["results"]] == [True] * 2
    assert answer["amos"]["provider"] == "jina"


async def test_pages(user: McpUser):
    """The page that can be read is there beside the failure of the other."""
    answer = await user.call_tool("extract", urls=[PAGE, DEAD_PAGE])

    assert [result["url"] for result in answer["results"]] == [PAGE]
    assert [failure["url"] for failure in answer["failed_results"]] == [DEAD_PAGE]


async def test_a_failure(user: McpUser, tavily: TavilySimulator, jina: JinaSimulator):
    """What a model can act on reaches it: that every provider has failed, and what to do."""
    tavily.always(Fault.status(500))
    jina.always(Fault.status(500))

    with pytest.raises(ClientError, match="No search provider could answer"):
        await user.call_tool("web_search", query="tide tables")


@pytest.mark.parametrize("path", ["/mcp/", "/t/mcp", "/t/mcp/"])
async def test_any_form_of_the_address(user: McpUser, amos: GatewayServer, path: str):
    """An address with a slash at its end, with our prefix, or both, is served without a redirect."""
    answer = await user.call_tool("web_search", url=amos.base_url + path, query="tide tables")

    assert answer["results"]


async def test_a_key(user: McpUser, amos: GatewayServer, tavily: TavilySimulator):
    """Once there are keys a client that shows one is served, and one without is not."""
    await amos.drain()  # which migrates the database
    assert amos.gateway.keys is not None
    made = await amos.gateway.keys.create(KeyWish(client="acme"), by="test")

    assert (await user.call_tool("web_search", key=made.raw, query="tide tables"))["results"]
    assert set(await user.list_tools(key=made.raw)) >= TOOLS
    calls_count = tavily.count
    for key in ("", made.raw[:-1]):
        with pytest.raises(ClientError) as refused:
            await user.call_tool("web_search", key=key, query="harbour opening hours")
        assert made.raw[:-1] not in str(refused.value)
    assert tavily.count == calls_count
