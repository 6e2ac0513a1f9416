"""Headers at `/mcp` that do not fit: to the body, to the era, to what there is to read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support import mcp_wire
from tests.support.gateway_server import GatewayServer, serving
from tests.support.mcp_wire import ERAS, LEGACY, MODERN, assert_says_nothing_inner, post
from tests.support.tavily_simulator import TavilySimulator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def amos(
    tmp_path_factory: pytest.TempPathFactory, tavily: TavilySimulator
) -> AsyncIterator[GatewayServer]:
    """One gateway for all of this file, past the first request, which loads the SDK."""
    async with serving(tmp_path_factory.mktemp("var"), tavily=tavily) as running:
        await post(running.client, mcp_wire.message(LEGACY, "ping"), mcp_wire.headers(LEGACY, "ping"))
        yield running


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Mcp-Method": None}, -32020),
        ({"Mcp-Name": None}, -32020),
        ({"Mcp-Method": "tools/list"}, -32020),
        ({"Mcp-Name": "search"}, -32020),
        ({"MCP-Protocol-Version": "2031-01-01"}, -32020),
    ],
)
async def test_headers_must_agree_with_the_body(
    amos: GatewayServer, tavily: TavilySimulator, changes: dict[str, str | None], code: int
):
    """A balancer may route by headers, so a call whose headers say something else is refused unasked."""
    headers, body = mcp_wire.call(MODERN, "web_search", {"query": "disagreement"})
    changed = {name: value for name, value in {**headers, **changes}.items() if value is not None}
    before = tavily.count

    answer = await post(amos.client, body, changed)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    assert tavily.count == before


async def test_a_version_nobody_speaks_is_refused_with_those_there_are(amos: GatewayServer):
    """A client of the future learns what it may fall back to."""
    message = mcp_wire.message(MODERN, "tools/list")
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2031-01-01"
    headers = {**mcp_wire.headers(MODERN, "tools/list"), "MCP-Protocol-Version": "2031-01-01"}

    answer = await post(amos.client, message, headers)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32022
    assert answer.json()["error"]["data"]["supported"] == [MODERN]


def of_the_other_era(version: str, changes: dict[str, str]) -> tuple[Any, bytes]:
    """A call whose headers are of one era and whose body is of the other."""
    headers, _ = mcp_wire.call(version, "web_search", {"query": "eras"})
    _, body = mcp_wire.call(MODERN if version == LEGACY else LEGACY, "web_search", {"query": "eras"})
    return headers | changes, body


@pytest.mark.parametrize(
    ("version", "changes", "status", "code"),
    [
        (MODERN, {}, 400, -32602),
        (MODERN, {"MCP-Protocol-Version": ""}, 400, -32602),
        (LEGACY, {"MCP-Protocol-Version": "banana"}, 400, -32020),
        (LEGACY, {"MCP-Protocol-Version": f"{LEGACY}, {MODERN}"}, 400, -32020),
        (LEGACY, {"MCP-Protocol-Version": "1999-01-01"}, 400, -32020),
    ],
)
async def test_headers_of_the_wrong_era_are_refused(
    amos: GatewayServer, version: str, changes: dict[str, str], status: int, code: int
):
    """The header says which era a request is of; what does not fit it is refused with the reason."""
    answer = await post(amos.client, *reversed(of_the_other_era(version, changes)))

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["id"] == 1
    assert_says_nothing_inner(answer)


async def test_a_body_of_the_new_era_is_served_under_headers_of_the_old(amos: GatewayServer):
    """There the additions to its `_meta` mean nothing and do no harm."""
    answer = await post(amos.client, *reversed(of_the_other_era(LEGACY, {})))

    assert answer.json()["result"]["structuredContent"]["query"] == "eras"


@pytest.mark.parametrize(
    ("version", "method", "status"),
    [(MODERN, "initialize", 404), (MODERN, "ping", 404), (LEGACY, "server/discover", 200)],
)
async def test_a_method_of_the_other_era_does_not_exist(
    amos: GatewayServer, version: str, method: str, status: int
):
    """Clients find out by that which era a server speaks."""
    answer = await post(amos.client, mcp_wire.message(version, method), mcp_wire.headers(version, method))

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, -32601)


@pytest.mark.parametrize("name", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
async def test_a_header_may_not_come_twice(amos: GatewayServer, name: str):
    """A balancer may have read the other one."""
    headers, body = mcp_wire.call(MODERN, "web_search", {"query": "twice"})

    answer = await amos.client.post("/mcp", content=body, headers=[*headers.items(), (name, headers[name])])

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize("version", ERAS)
@pytest.mark.parametrize("accepted", ["text/event-stream", "text/html", ""])
async def test_a_client_must_read_json(amos: GatewayServer, version: str, accepted: str):
    """Whoever does not is told what to accept, in either era."""
    headers, body = mcp_wire.call(version, "web_search", {"query": "tides"})

    answer = await post(amos.client, body, {**headers, "Accept": accepted})

    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
