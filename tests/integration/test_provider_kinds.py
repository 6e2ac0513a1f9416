"""The kinds `searxng` and `mcp` in the chain of a whole gateway, and gateways behind gateways."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.faults import Fault
from tests.support.gateway_server import serving
from tests.support.mcp_remote_server import RemoteServer
from tests.support.mcp_simulator import McpSimulator
from tests.support.ports import free_port, free_ports
from tests.support.searxng_simulator import SearxngSimulator
from tests.support.tavily_simulator import TavilySimulator

QUERY = "tide tables harbour museum"
CHAIN = ("tavily", "remote")


def remote(url, tool="find", **options):
    """The options of a provider `remote` of the kind `mcp`."""
    return {"remote": {"kind": "mcp", "url": url, "tool": tool, **options}}


def gateway_as_remote(base_url):
    """Those of a provider that is another gateway, over its MCP tool `web_search`."""
    arguments = {name: f"{{{name}}}" for name in ("query", "max_results", "topic", "include_domains")}
    return remote(f"{base_url}/mcp", "web_search", arguments=arguments)


async def test_a_searxng_stands_in_for_tavily(tmp_path, tavily: TavilySimulator):
    """With Tavily down the engine in the house answers, for nothing, and says what it could not do."""
    tavily.always(Fault.status(500))
    async with SearxngSimulator() as engine:
        options = {"intranet": {"kind": "searxng", "url": engine.base_url}}
        chain = ("tavily", "intranet")
        async with serving(tmp_path, tavily=tavily, providers=chain, provider_options=options) as amos:
            answer = (await amos.search(QUERY, country="iceland", max_results=3)).json()
            again = (await amos.search(QUERY, country="iceland", max_results=3)).json()

    assert len(answer["results"]) == 3
    assert (answer["amos"]["provider"], answer["amos"]["unsupported"]) == ("intranet", ["country"])
    assert answer["amos"]["cost_usd"] == 0
    assert again["amos"]["cache"] == "l1"
    assert engine.count == 1


async def test_a_remote_tool_stands_in_for_tavily_and_is_billed(tmp_path, tavily: TavilySimulator):
    """With Tavily down a tool of a remote MCP server answers; what the operator says it costs is counted."""
    tavily.always(Fault.status(500))
    async with McpSimulator() as server:
        options = remote(server.url, usd_per_call=0.004)
        fields = {"providers": CHAIN, "provider_options": options, "budget_usd_per_day": 0.009}
        async with serving(tmp_path, tavily=tavily, **fields) as amos:
            answer = (await amos.search(QUERY)).json()
            await amos.search("another")
            refused = await amos.search("a third")
            await amos.drain()
            ends = [event for event in amos.events(answer["amos"]["execution_id"]) if "cost" in event]

    assert (len(answer["results"]), answer["amos"]["provider"]) == (5, "remote")
    assert answer["amos"]["cost_usd"] == pytest.approx(0.004)
    assert refused.status_code == 432
    assert sum(method == "tools/call" for method in server.methods()) == 2
    assert ends[-1]["cost"]["usd_micros"] == 4_000


async def test_a_remote_tool_reads_the_pages_that_tavily_cannot(tmp_path, tavily: TavilySimulator):
    """Only the page that Tavily could not read is asked of the tool."""
    pages = ["https://almanac.example/how", "https://almanac.example/gone"]
    async with McpSimulator() as server:
        server.tools["read"] = {"properties": {"url": {"type": "string"}}}
        server.result = {"content": [{"type": "text", "text": "What the almanac says."}]}
        options = remote(server.url, extract_tool="read")
        async with serving(tmp_path, tavily=tavily, providers=CHAIN, provider_options=options) as amos:
            answer = (await amos.extract(pages)).json()

    texts = {one["url"]: one["raw_content"] for one in answer["results"]}
    assert texts[pages[1]] == "What the almanac says."
    assert server.methods().count("tools/call") == 1


async def test_a_remote_that_dies_in_the_middle_is_passed_on(tmp_path, tavily: TavilySimulator):
    """The call whose server is killed is answered by the next provider."""
    with RemoteServer("sdk") as server:
        options = remote(server.url, "slow")
        chain = ("remote", "tavily")
        async with serving(tmp_path, tavily=tavily, providers=chain, provider_options=options) as amos:
            asked = asyncio.create_task(amos.search(QUERY))
            await asyncio.sleep(1.0)
            server.kill()
            killed_at = time.monotonic()
            answer = (await asked).json()

    assert time.monotonic() - killed_at < 2
    assert answer["amos"]["provider"] == "tavily"
    first = answer["amos"]["attempts"][0]
    assert (first["provider"], first["outcome"]) == ("remote", "retryable")


async def test_a_mapping_that_does_not_fit_costs_nobody_the_answer(tmp_path, tavily: TavilySimulator):
    """A tool that is not there fails its own provider and never the call."""
    async with McpSimulator() as server:
        options = remote(server.url, "seek")
        chain = ("remote", "tavily")
        async with serving(tmp_path, tavily=tavily, providers=chain, provider_options=options) as amos:
            answer = (await amos.search(QUERY)).json()

    assert answer["amos"]["provider"] == "tavily"
    assert answer["amos"]["attempts"][0]["reason"] == "no_such_tool"


async def test_a_gateway_behind_a_gateway(tmp_path, tavily: TavilySimulator):
    """One gateway asks another over MCP: the same results, in one trace."""
    async with serving(tmp_path / "far", tavily=tavily) as far:
        fields = {"providers": ("remote",), "provider_options": gateway_as_remote(far.base_url)}
        async with serving(tmp_path / "near", **fields) as near:
            trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
            there = (await far.search(QUERY, max_results=4)).json()
            here = (await near.search(QUERY, max_results=4, headers=trace)).json()
            await far.drain()
            events = [event for frame in far.frames() for event in far.events(frame["stream"])]

    assert [one["url"] for one in here["results"]] == [one["url"] for one in there["results"]]
    assert [one["score"] for one in here["results"]] == [one["score"] for one in there["results"]]
    assert (here["amos"]["provider"], tavily.count) == ("remote", 1)
    assert "a" * 32 in {event.get("trace_id") for event in events}


@pytest.mark.parametrize("kind", ["mcp", "searxng"])
async def test_a_gateway_registered_at_itself_ends_at_once(tmp_path, tavily: TavilySimulator, kind):
    """The call comes back, is refused, and goes on to the next provider without waiting for itself."""
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    searxng = {"remote": {"kind": "searxng", "url": f"{base_url}/searxng"}}
    options = searxng if kind == "searxng" else gateway_as_remote(base_url)
    fields = {"providers": ("remote", "tavily"), "provider_options": options, "port": port}
    async with serving(tmp_path, tavily=tavily, **fields) as amos:
        begun = time.monotonic()
        answer = (await amos.search(QUERY)).json()
        elapsed_s = time.monotonic() - begun

    assert answer["amos"]["provider"] == "tavily"
    assert answer["amos"]["attempts"][0]["reason"] == "loop"
    assert elapsed_s < 2
    assert tavily.count == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/search", {"query": QUERY}),
        ("/extract", {"urls": ["https://almanac.example"]}),
        ("/map", {"url": "https://almanac.example"}),
        ("/research", {"input": QUERY}),
    ],
)
async def test_a_gateway_that_is_its_own_tavily_ends_at_once(tmp_path, path, body):
    """A crawl joins no flight: each would begin the next one until there is no room for anybody."""
    port = free_port()
    fields = {"tavily_base_url": f"http://127.0.0.1:{port}", "tavily_api_key": "tvly-x", "port": port}
    async with serving(tmp_path, **fields) as amos:
        begun = time.monotonic()
        answer = await amos.client.post(path, json=body)
        elapsed_s = time.monotonic() - begun

    assert answer.status_code == 503
    assert "tavily: loop" in answer.text
    assert elapsed_s < 2


async def test_gateways_in_a_ring_end_where_they_began(tmp_path, tavily: TavilySimulator):
    """Of two gateways that ask each other, the one the call began at refuses it, and the other answers."""
    ports = free_ports(2)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    chain = {"providers": ("remote", "tavily"), "tavily": tavily}
    one = serving(tmp_path / "one", port=ports[0], provider_options=gateway_as_remote(urls[1]), **chain)
    two = serving(tmp_path / "two", port=ports[1], provider_options=gateway_as_remote(urls[0]), **chain)
    async with one as first, two:
        begun = time.monotonic()
        answer = (await first.search(QUERY)).json()

    assert (answer["amos"]["provider"], len(answer["results"])) == ("remote", 5)
    assert time.monotonic() - begun < 3
    assert tavily.count == 1


async def test_too_many_hops_are_refused(tmp_path, tavily: TavilySimulator):
    """A call that says it has come through eight gateways is refused, one through seven is not."""
    names = [f"{number:016x}" for number in range(8)]
    async with serving(tmp_path, tavily=tavily) as amos:
        served = await amos.search(QUERY, headers={"Amos-Via": ", ".join(names[:7])})
        refused = await amos.search(QUERY, headers={"Amos-Via": ", ".join(names)})
        nonsense = await amos.search(QUERY, headers={"Amos-Via": "x" * 500})

    assert (served.status_code, refused.status_code, nonsense.status_code) == (200, 508, 200)
    assert "8 gateways" in refused.json()["detail"]["error"]
