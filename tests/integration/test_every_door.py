"""The promise of the product: the same question gives the same answer at every door, and costs once.

One table of doors, one question. Whichever door is asked first pays; every other one gives the same results
in the same order from the same cache entry, and what is recorded differs in nothing but the door.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from amos_sdk import AsyncClient
from tests.support.command_line import CommandLine
from tests.support.gateway_server import GatewayServer, serving
from tests.support.mcp_wire import LEGACY, MODERN, call
from tests.support.tavily_simulator import TavilySimulator

Results = list[tuple[str, str]]
"""Title and URL, in order."""

DOOR_FIELDS = {"door", "dialect", "method", "target"}
TIMES = {"duration_s", "age_s", "upstream_s", "trace_id"}


class Door(NamedTuple):
    """One way in. `ask` gives the results; `counts` are the numbers of results that may be asked for."""

    ask: Callable[[GatewayServer, str, int], Awaitable[Results]]
    counts: tuple[int, ...] = (5, 10)


def tavily_door(method: str) -> Door:
    """The native path with this method."""

    async def ask(amos: GatewayServer, query: str, count: int) -> Results:
        if method == "GET":
            answer = await amos.client.get("/search", params={"q": query, "max_results": count})
        else:
            content = json.dumps({"query": query, "max_results": count})
            answer = await amos.client.request(method, "/search", content=content)
        return _pairs(answer.json()["results"])

    return Door(ask)


def perplexity_door(path: str) -> Door:
    """A path at which Perplexity is spoken."""

    async def ask(amos: GatewayServer, query: str, count: int) -> Results:
        answer = await amos.client.post(path, json={"query": query, "max_results": count})
        return _pairs(answer.json()["results"])

    return Door(ask)


def searxng_door(method: str, path: str) -> Door:
    """A path of SearXNG, whose pages have ten results."""

    async def ask(amos: GatewayServer, query: str, _count: int) -> Results:
        given = {"q": query, "format": "json"}
        if method == "GET":
            answer = await amos.client.get(path, params=given)
        else:
            answer = await amos.client.post(path, data=given)
        return _pairs(answer.json()["results"])

    return Door(ask, counts=(10,))


def mcp_door(version: str, tool: str) -> Door:
    """A tool, in the era of this version. The tool `search` has no number of results but the default."""
    has_count = tool != "search"

    async def ask(amos: GatewayServer, query: str, count: int) -> Results:
        arguments = {"query": query, **({"max_results": count} if has_count else {})}
        headers, body = call(version, tool, arguments)
        answer = await amos.client.post("/mcp", content=body, headers=headers)
        text = answer.text
        if not text.startswith("{"):  # The legacy era may answer as a stream of one message.
            text = next(line[6:] for line in text.splitlines() if line.startswith("data: "))
        return _pairs(json.loads(text)["result"]["structuredContent"]["results"])

    return Door(ask) if has_count else Door(ask, counts=(5,))


async def ask_webui(amos: GatewayServer, query: str, count: int) -> Results:
    """Open WebUI's external search engine."""
    answer = await amos.client.post("/openwebui/search", json={"query": query, "count": count})
    return [(one["title"], one["link"]) for one in answer.json()]


async def ask_console(amos: GatewayServer, query: str, count: int) -> Results:
    """The page for people, as it is without scripts."""
    answer = await amos.client.get("/", params={"q": query, "max_results": count})
    found = re.findall(r'class="result-title"><a href="([^"]+)"[^>]*>([^<]+)</a>', answer.text)
    return [(unescape(title), unescape(url)) for url, title in found]


async def ask_sdk(amos: GatewayServer, query: str, count: int) -> Results:
    """The Python client."""
    async with AsyncClient(amos.base_url) as client:
        answer = await client.search(query, max_results=count)
    return [(one.title, one.url) for one in answer.results]


async def ask_command(amos: GatewayServer, query: str, count: int) -> Results:
    """`amos search --url`, in a process of its own."""
    command = CommandLine(amos.settings.data_dir.parent)
    arguments = ("search", query, "--max-results", str(count), "--json", "--url", amos.base_url)
    result = await asyncio.to_thread(command.run, *arguments)
    return _pairs(result.json["results"])


def _pairs(results: list[dict[str, Any]]) -> Results:
    return [(one["title"], one["url"]) for one in results]


DOORS: dict[str, Door] = {
    "POST /search": tavily_door("POST"),
    "GET /search": tavily_door("GET"),
    "QUERY /search": tavily_door("QUERY"),
    "POST /v1/search": perplexity_door("/v1/search"),
    "POST /v1/search/{tool}": perplexity_door("/v1/search/web"),
    "POST /perplexity/search": perplexity_door("/perplexity/search"),
    "GET /searxng/search": searxng_door("GET", "/searxng/search"),
    "POST /searxng/search": searxng_door("POST", "/searxng/search"),
    "GET /searxng": searxng_door("GET", "/searxng"),
    "GET /searxng/{key}/search": searxng_door("GET", "/searxng/any-key/search"),
    "POST /openwebui/search": Door(ask_webui),
    "MCP web_search": mcp_door(MODERN, "web_search"),
    "MCP web_search, handshake era": mcp_door(LEGACY, "web_search"),
    "MCP search": mcp_door(MODERN, "search"),
    "GET /": Door(ask_console),
    "SDK": Door(ask_sdk),
    "CLI --url": Door(ask_command),
}


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator) -> AsyncIterator[GatewayServer]:
    """A gateway with one provider, all of whose doors are open."""
    async with serving(tmp_path / "data", tavily=tavily, path_keys=True) as running:
        yield running


def recorded(amos: GatewayServer) -> list[list[dict[str, Any]]]:
    """The events of each execution in order, without what is the door's and without times and ids."""
    executions: dict[str, list[dict[str, Any]]] = {}
    for frame in amos.frames():
        if len(frame["stream"]) == 36:
            events = (envelope["event"] for envelope in frame["events"])
            executions.setdefault(frame["stream"], []).extend(
                {name: value for name, value in event.items() if name not in DOOR_FIELDS | TIMES}
                for event in events
            )
    return list(executions.values())


@pytest.mark.parametrize("count", [5, 10])
async def test_all_doors_share_one_answer(amos: GatewayServer, tavily: TavilySimulator, count: int):
    """Asked at one door after the other: one call to the provider, the same results, the same events."""
    doors = {name: door for name, door in DOORS.items() if count in door.counts}

    found = {name: await door.ask(amos, "tide tables", count) for name, door in doors.items()}
    await amos.drain()

    native = found["POST /search"]
    assert len(native) == count
    assert {name: results for name, results in found.items() if results != native} == {}
    assert len(tavily.calls) == 1
    _, first_hit, *others = recorded(amos)
    assert [event["type"].split(".", 1)[1] for event in first_hit] == [
        "request.received.v1",
        "caller.authenticated.v1",
        "cache.hit.v1",
        "request.completed.v1",
    ]
    assert len(others) == len(doors) - 2
    assert [events for events in others if events != first_hit] == []


@pytest.mark.parametrize("first", [name for name in DOORS if name != "CLI --url"])
async def test_what_one_door_paid_for_every_other_has(
    amos: GatewayServer, tavily: TavilySimulator, first: str
):
    """Whichever door is asked first, the native path then has its answer from the cache."""
    count = DOORS[first].counts[0]

    found = await DOORS[first].ask(amos, "ebb and flow", count)
    again = (await amos.search("ebb and flow", max_results=count)).json()

    assert found == _pairs(again["results"])
    assert again["amos"]["cache"] == "l1"
    assert len(tavily.calls) == 1


async def test_each_door_is_recorded_as_itself(amos: GatewayServer):
    """Door, dialect, method and route are what tells executions apart; no route holds a caller's own text."""
    for name, door in DOORS.items():
        if name not in ("SDK", "CLI --url"):
            await door.ask(amos, "tide tables", door.counts[0])
    await amos.drain()

    firsts = [frame["events"][0]["event"] for frame in amos.frames() if len(frame["stream"]) == 36]
    received = [one for one in firsts if one["type"] == "amos.request.received.v1"]
    assert [(one["method"], one["target"], one.get("dialect", "")) for one in received] == [
        ("POST", "/search", "tavily"),
        ("GET", "/search", "tavily"),
        ("QUERY", "/search", "tavily"),
        ("POST", "/v1/search", "perplexity"),
        ("POST", "/v1/search/{tool}", "perplexity"),
        ("POST", "/perplexity/search", "perplexity"),
        ("GET", "/searxng/search", "searxng"),
        ("POST", "/searxng/search", "searxng"),
        ("GET", "/searxng", "searxng"),
        ("GET", "/searxng/search", "searxng"),
        ("POST", "/openwebui/search", "openwebui"),
        *[("tools/call", "web_search", "")] * 2,
        ("tools/call", "search", ""),
        ("GET", "/", ""),
    ]
