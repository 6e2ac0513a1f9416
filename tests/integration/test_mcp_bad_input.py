"""Whatever arrives at `/mcp`, there is a clear answer, nothing inner gets out, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support import mcp_wire
from tests.support.gateway_server import GatewayServer, serving
from tests.support.mcp_wire import ERAS, LEGACY, MODERN, assert_says_nothing_inner, post
from tests.support.processes import until
from tests.support.simulator import Fault
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


NO_REQUESTS = {
    "nothing": (b"", -32700),
    "no JSON": (b"{", -32700),
    "no UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    "no UTF-8 in a parameter": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xff"}}', -32700),
    "half a pair": (b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', -32700),
    "deep nesting": (b'{"a":' + b"[" * 100_000, -32700),
    "a batch": ([mcp_wire.message(LEGACY, "ping")], -32600),
    "an empty batch": ([], -32600),
    "a word": (b'"ping"', -32600),
    "null": (b"null", -32600),
    "no version": ({"id": 1, "method": "ping"}, -32600),
    "another version": ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, -32600),
    "no method": ({"jsonrpc": "2.0", "id": 1}, -32600),
    "a number for a method": ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600),
    "a fraction for an id": ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, -32600),
    "an object for an id": ({"jsonrpc": "2.0", "id": {}, "method": "ping"}, -32600),
    "null for an id": ({"jsonrpc": "2.0", "id": None, "method": "ping"}, -32600),
    "a list of parameters": ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, -32600),
    "a response": ({"jsonrpc": "2.0", "id": 1, "result": {}}, -32600),
}
"""Bodies that are no request, and the code they get."""


@pytest.mark.parametrize("version", ERAS)
@pytest.mark.parametrize("name", NO_REQUESTS)
async def test_what_is_no_request_gets_an_error_of_json_rpc(amos: GatewayServer, version: str, name: str):
    """In both eras: 400, the code that JSON-RPC has for it, and a sentence of ours."""
    body, code = NO_REQUESTS[name]

    answer = await post(amos.client, body, mcp_wire.headers(version, "ping"))

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    assert answer.json()["id"] is None
    assert_says_nothing_inner(answer)


@pytest.mark.parametrize("version", ERAS)
@pytest.mark.parametrize("token", [None, {}, [], 1.5])
async def test_a_token_for_progress_is_a_word_or_a_number(
    amos: GatewayServer, tavily: TavilySimulator, version: str, token: Any
):
    """Any other is an error of the protocol, and nothing is searched for."""
    before = tavily.count
    headers, body = mcp_wire.call(version, "web_search", {"query": "no token"}, progressToken=token)

    answer = await post(amos.client, body, headers)

    assert '"code":-32602' in answer.text
    assert_says_nothing_inner(answer)
    assert tavily.count == before


@pytest.mark.parametrize("version", ERAS)
async def test_a_call_without_an_id_is_not_made(amos: GatewayServer, tavily: TavilySimulator, version: str):
    """A notification is never answered, so a search that nobody hears of would only cost money."""
    before = tavily.count
    headers, body = mcp_wire.call(version, "web_search", {"query": "unheard"})
    message = {name: value for name, value in json.loads(body).items() if name != "id"}

    answer = await post(amos.client, message, headers)
    await amos.search(f"afterwards {version}")

    assert (answer.status_code, answer.text) == (202, "")
    assert tavily.count == before + 1


@pytest.mark.parametrize("version", ERAS)
@pytest.mark.parametrize("number", [2**63, -5, "", "x" * 100_000])
async def test_any_id_comes_back(amos: GatewayServer, version: str, number: Any):
    """Ids mean nothing to us, whatever their size."""
    answer = await post(
        amos.client, mcp_wire.message(version, "tools/list", number), mcp_wire.headers(version, "tools/list")
    )

    assert answer.json()["id"] == number


@pytest.mark.parametrize("version", ERAS)
@pytest.mark.parametrize(
    "params",
    [
        {"name": "web_search", "arguments": []},
        {"name": "web_search", "arguments": "tides"},
        {"name": 5, "arguments": {}},
        {"arguments": {"query": "tides"}},
        {"name": "browse", "arguments": {"query": "tides"}},
        {"name": "x" * 10_000, "arguments": {}},
    ],
)
async def test_wrong_types_around_a_call_are_errors_of_the_protocol(
    amos: GatewayServer, version: str, params: dict[str, Any]
):
    """What is no call of a tool we have is invalid parameters, whatever the era."""
    answer = await post(
        amos.client,
        mcp_wire.message(version, "tools/call", **params),
        mcp_wire.headers(version, "tools/call", str(params.get("name", ""))),
    )

    assert answer.json()["error"]["code"] in {-32602, -32020}
    assert_says_nothing_inner(answer)


@pytest.mark.parametrize("version", ERAS)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"query": None},
        {"query": ["tides"]},
        {"query": "x" * 500_000},
        {"query": "tides", "include_domains": "noaa.gov"},
        {"query": "tides", "max_results": -1},
        {"query": "tides", "include_answer": {"a": 1}},
        {"query": "tides", "nested": [[[[[[]]]]]]},
        {"query": "\u202e\u0000"},
    ],
)
async def test_wrong_arguments_are_results_a_model_can_act_on(
    amos: GatewayServer, tavily: TavilySimulator, version: str, arguments: dict[str, Any]
):
    """Whatever a model makes up, the text names the argument, and no provider is asked."""
    before = tavily.count
    headers, body = mcp_wire.call(version, "web_search", arguments)

    answer = await post(amos.client, body, headers)

    result = answer.json()["result"]
    assert result["isError"] is True
    assert result["content"][0]["text"].partition(":")[0] in {*arguments, "query"}
    assert len(result["content"][0]["text"]) < 1_000
    assert_says_nothing_inner(answer)
    assert tavily.count == before


@pytest.mark.parametrize("version", ERAS)
async def test_five_megabytes_are_too_much(amos: GatewayServer, version: str):
    """The client gets to read why, rather than a connection cut while it is still sending."""
    headers, body = mcp_wire.call(version, "web_search", {"query": "x" * 5_000_000})

    for _ in range(5):
        answer = await post(amos.client, body, headers)

        assert answer.status_code == 413
        assert answer.json()["code"] == "body_too_large"


@pytest.mark.parametrize("version", ERAS)
async def test_an_id_may_be_used_again(amos: GatewayServer, version: str):
    """Ids belong to a client; of ten calls under the same id each has its own answer."""
    calls = [mcp_wire.call(version, "web_search", {"query": f"same id {number}"}) for number in range(10)]

    answers = await asyncio.gather(*(post(amos.client, body, headers) for headers, body in calls))

    queries = [answer.json()["result"]["structuredContent"]["query"] for answer in answers]
    assert queries == [f"same id {number}" for number in range(10)]


@pytest.mark.parametrize("version", ["", LEGACY, MODERN])
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
async def test_only_post_is_offered(amos: GatewayServer, method: str, version: str):
    """There is no stream to open and no session to end: 405 at once, which says what is allowed."""
    headers = {"Accept": "text/event-stream", **({"MCP-Protocol-Version": version} if version else {})}

    answer = await amos.client.request(method, "/mcp", headers=headers)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_must_be_declared_as_json(amos: GatewayServer, content_type: str):
    """The protocol demands it, and the refusal is a problem like any other."""
    headers, body = mcp_wire.call(MODERN, "web_search", {"query": "tides"})

    answer = await post(amos.client, body, {**headers, "Content-Type": content_type})

    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")


@pytest.mark.parametrize("method", ["initialize", "server/discover", "tools/list", "tools/call"])
async def test_a_stranger_is_refused_before_any_json_rpc(amos: GatewayServer, method: str):
    """Who is not known gets 401 with the scheme to use, whatever they ask for, also with a wrong key."""
    version = LEGACY if method == "initialize" else MODERN

    for shown in ({}, {"Authorization": "Bearer wrong"}):
        answer = await post(
            amos.client,
            mcp_wire.message(version, method),
            {**mcp_wire.headers(version, method), "Via": "1.1 proxy.example", **shown},
        )

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("forged", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
@pytest.mark.parametrize("version", ERAS)
async def test_forged_hosts_and_origins_are_refused(
    amos: GatewayServer, version: str, forged: dict[str, str], status: int
):
    """The guard decides, in front of the SDK, whose own look at them is switched off."""
    headers, body = mcp_wire.call(version, "web_search", {"query": "rebinding"})

    answer = await post(amos.client, body, {**headers, **forged})

    assert answer.status_code == status
    assert_says_nothing_inner(answer)


async def test_our_own_page_may_ask(amos: GatewayServer):
    """The Origin of the gateway itself passes the guard, and the SDK does not object."""
    headers, body = mcp_wire.call(MODERN, "web_search", {"query": "own origin"})

    answer = await post(amos.client, body, {**headers, "Origin": amos.base_url})

    assert answer.status_code == 200


@pytest.mark.parametrize("meta", [{}, {"progressToken": "p"}], ids=["at once", "streaming"])
@pytest.mark.parametrize("version", ERAS)
async def test_a_client_that_leaves_ends_its_wait_and_not_the_flight(
    amos: GatewayServer, tavily: TavilySimulator, version: str, meta: dict[str, Any]
):
    """Its call is over at once and leaves no task behind; what was paid for goes on into the cache."""
    query = f"left {version} {len(meta)}"
    tavily.when(query, Fault.delay(1.5))
    headers, body = mcp_wire.call(version, "web_search", {"query": query}, **meta)
    tasks_before, calls_before = len(tasks_of_calls()), tavily.count
    cut_before = await cut_short(amos)

    await leave_after(0.5, amos, headers, body)

    again = await amos.search(query)
    assert again.json()["amos"]["cache"] in {"collapsed", "l1"}
    assert tavily.count == calls_before + 1
    assert await cut_short(amos) == cut_before + 1
    await until(lambda: len(tasks_of_calls()) <= tasks_before, 5.0, lambda: str(tasks_of_calls()))


def tasks_of_calls() -> list[asyncio.Task[Any]]:
    """The tasks under way but those of connections and of the server software."""
    others = ("hypercorn", "sse_starlette", "api/connections.py")
    files = [(task, task.get_coro().cr_code.co_filename) for task in asyncio.all_tasks()]
    return [task for task, file in files if not any(other in file for other in others)]


async def leave_after(seconds: float, amos: GatewayServer, headers: dict[str, str], body: bytes) -> None:
    """Ask, and close the connection after that time whatever has come back."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    host = f"Host: 127.0.0.1:{amos.port}\r\nContent-Length: {len(body)}\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", amos.port)
    writer.write(f"POST /mcp HTTP/1.1\r\n{host}{head}\r\n".encode() + body)
    await asyncio.sleep(seconds)
    writer.close()
    await writer.wait_closed()


async def cut_short(amos: GatewayServer) -> int:
    """How many executions on record ended without an answer because their caller had left."""
    await amos.drain()
    events = [event for frame in amos.frames() for event in frame["events"]]
    return json.dumps(events).count('"cancelled"')
