"""Reading pages with a tool of a remote MCP server: all in one call, or a call a page."""

from __future__ import annotations

import time

import pytest

from orchestrator.errors import (
    InvalidRequest,
    ProviderProtocolError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.events import FREE, Cost
from orchestrator.model import ExtractRequest
from tests.support.calls import failure_of, make_call
from tests.support.faults import Fault
from tests.support.mcp_provider import mcp_provider
from tests.support.mcp_remote_server import RemoteServer
from tests.support.mcp_simulator import McpSimulator

PAGES = tuple(f"https://almanac.example/{name}" for name in ("how", "gone", "why"))
EXTRACT = ExtractRequest(urls=PAGES)
ONE_URL = {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}


@pytest.fixture(scope="module")
def remote():
    """A real server, which the tests of this module share."""
    with RemoteServer("sdk") as running:
        yield running


@pytest.fixture
async def simulator():
    """A server that does as it is told, with a tool that reads a page a call."""
    async with McpSimulator() as running:
        running.tools["read"] = ONE_URL
        yield running


@pytest.mark.parametrize(
    ("tool", "texts", "calls"),
    [
        ("fetch", [f"# {PAGES[0]}", f"# {PAGES[2]}"], 3),
        ("read_pages", [f"# {PAGES[0]}", f"# {PAGES[2]}"], 1),
    ],
)
async def test_pages_come_in_the_order_asked_for(remote, tool, texts, calls):
    """What was read and what was not are together the pages asked for; each call has its price."""
    provider = mcp_provider(remote.url, extract_tool=tool, usd_per_call=0.001)

    found = await provider.extract(make_call(EXTRACT))
    await provider.aclose()

    assert [page.url for page in found.answer.pages] == [PAGES[0], PAGES[2]]
    assert [page.raw_content for page in found.answer.pages] == texts
    assert [failure.url for failure in found.answer.failures] == [PAGES[1]]
    assert found.cost == Cost(usd_micros=1_000 * calls)
    assert provider.extract_estimate(EXTRACT) == Cost(usd_micros=3_000)


async def test_a_page_may_be_plain_text(remote):
    """A tool that answers in Markdown has answered with the page."""
    provider = mcp_provider(remote.url, extract_tool="read_page", extract_arguments={"url": "{url}"})

    found = await provider.extract(make_call(ExtractRequest(urls=PAGES[:1], query="tides", format="text")))
    await provider.aclose()

    assert found.answer.pages[0].raw_content.startswith(f"# {PAGES[0]}\n\n")
    assert found.unsupported == ("query", "format")


async def test_a_page_that_takes_too_long_does_not_hold_up_the_others(remote):
    """Shortly before the deadline those that were read are given."""
    provider = mcp_provider(remote.url, extract_tool="read_page")
    urls = (PAGES[0], "https://slow.example/", PAGES[2])
    begun = time.monotonic()

    found = await provider.extract(make_call(ExtractRequest(urls=urls), patience_s=1.5))
    await provider.aclose()

    assert [page.url for page in found.answer.pages] == [PAGES[0], PAGES[2]]
    assert time.monotonic() - begun < 1.5


async def test_nothing_in_time_is_a_timeout(remote):
    """If no page came, the provider gave no answer in time, and what it may have billed is assumed."""
    provider = mcp_provider(remote.url, extract_tool="read_page", usd_per_call=0.001)
    urls = ("https://slow.example/1", "https://slow.example/2")

    error = await failure_of(provider.extract(make_call(ExtractRequest(urls=urls), patience_s=0.6)))
    await provider.aclose()

    assert (type(error), error.reason, error.assumed) == (ProviderTimeout, "timeout", Cost(usd_micros=2_000))


async def test_a_server_that_refuses_is_not_asked_for_the_rest(simulator):
    """What speaks of the server and not of a page stops the calls not yet made."""
    provider = mcp_provider(simulator.url, extract_tool="read", usd_per_call=0.001)
    simulator.rpc_error = {"code": -32603, "message": "broken"}
    urls = tuple(f"https://almanac.example/{number}" for number in range(20))

    error = await failure_of(provider.extract(make_call(ExtractRequest(urls=urls))))
    await provider.aclose()

    assert (type(error), error.reason) == (ProviderUnavailable, "rpc_internal")
    calls = simulator.methods().count("tools/call")
    assert calls <= 4
    assert error.assumed == Cost(usd_micros=1_000 * calls)


async def test_a_refusal_beside_pages_is_a_failure_of_pages(simulator):
    """Pages that were read arrive, whatever became of the others."""
    provider = mcp_provider(simulator.url, extract_tool="read")
    simulator.result = {"content": [{"type": "text", "text": "The page."}]}
    await provider.extract(make_call(ExtractRequest(urls=PAGES[:1])))
    simulator.script(Fault.status(500))

    found = await provider.extract(make_call(ExtractRequest(urls=PAGES[:2])))
    await provider.aclose()

    assert (len(found.answer.pages), len(found.answer.failures)) == (1, 1)


async def test_all_at_once_without_a_list_is_refused(simulator):
    """Of several pages in one text nobody can tell which is which."""
    simulator.tools["read"] = {"properties": {"urls": {"type": "array"}}}
    simulator.result = {"content": [{"type": "text", "text": "Many pages."}]}
    provider = mcp_provider(simulator.url, extract_tool="read")

    error = await failure_of(provider.extract(make_call(EXTRACT)))
    await provider.aclose()

    assert (type(error), error.reason) == (ProviderProtocolError, "no_results_list")


async def test_a_tool_that_reads_no_pages_is_told(simulator):
    """Without an argument for the page, and without a tool for pages, nothing is called."""
    unfit = mcp_provider(simulator.url, extract_tool="find")
    without = mcp_provider(simulator.url)

    misfit = await failure_of(unfit.extract(make_call(EXTRACT)))
    missing = await failure_of(without.extract(make_call(EXTRACT)))
    await unfit.aclose()
    await without.aclose()

    assert (type(misfit), misfit.reason, misfit.assumed) == (ProviderRejected, "wrong_arguments", FREE)
    assert missing.reason == "unsupported"
    assert (unfit.operations, without.operations) == ({"search", "extract"}, {"search"})
    assert "tools/call" not in simulator.methods()


@pytest.mark.parametrize(
    "options",
    [
        {"extract_tool": "two words"},
        {"extract_arguments": {"u": "x"}},
        {"extract_arguments": {"u": "{url}", "all": "{urls}"}},
        {"extract_arguments": {"u": "{url}", "x": "{topic}"}},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options):
    """A template says which argument is the page, or which are the pages, and names nothing else."""
    with pytest.raises(InvalidRequest, match="extract_"):
        mcp_provider("http://a.example/mcp", **options)
