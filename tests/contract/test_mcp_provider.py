"""The kind `mcp` against servers made with the official SDK and with fastmcp, in both eras."""

from __future__ import annotations

import asyncio
import time

import pytest

from orchestrator.errors import (
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from orchestrator.events import FREE, Cost
from orchestrator.model import SearchRequest
from tests.support.calls import failure_of, make_call
from tests.support.mcp_provider import mcp_provider
from tests.support.mcp_remote_server import RemoteServer
from tests.support.mcp_simulator import McpSimulator

SEARCH = SearchRequest(query="tide tables harbour museum", max_results=3)

SERVERS = [
    ("sdk", "both", "stream"),
    ("sdk", "handshake", "stream"),
    ("fastmcp", "both", "json"),
]


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def remote(request):
    """A real server, which the tests of this module share."""
    maker, era, answers = request.param
    with RemoteServer(maker, era=era, answers=answers) as running:
        yield running


@pytest.fixture
async def make(remote):
    """Makes providers of tools of that server, and closes them."""
    made = []

    def one(tool="find", **options):
        made.append(mcp_provider(remote.url, tool, **options))
        return made[-1]

    yield one
    for provider in made:
        await provider.aclose()


async def test_search_brings_results_and_their_price(make):
    """The tool's results come with the price that the operator says a call has."""
    provider = make(usd_per_call=0.002, credits_per_call=1)

    found = await provider.search(make_call(SEARCH))

    first, *_ = found.answer.results
    assert len(found.answer.results) == 3
    assert SEARCH.query in first.title
    assert SEARCH.query in first.content
    assert (first.score, first.published_date) == (0.9, "2026-11-10")
    assert found.cost == Cost(amount=1, unit="credits", usd_micros=2_000)
    assert found.cost == provider.search_estimate(SEARCH)
    assert (found.provider, found.unsupported) == ("remote", ())


@pytest.mark.parametrize(
    ("tool", "count"), [("openai_search", 4), ("bare_list", 4), ("as_text", 3), ("find", 3)]
)
async def test_known_shapes_need_no_mapping(make, tool, count):
    """The query, the number of results, the list and its members are found where tools usually have them."""
    results = (await make(tool).search(make_call(SEARCH))).answer.results

    assert len(results) == count
    assert all(one.url.startswith("https://") and SEARCH.query in one.title for one in results)


async def test_a_mapping_says_what_cannot_be_guessed(make):
    """Arguments of any name are filled from the request, with fixed ones beside them."""
    provider = make(
        "strict",
        arguments={"terms": "{query}", "region": "{country}"},
        results="results",
        fields={"content": "published"},
    )
    request = SearchRequest(query="tides", country="iceland", language="is")

    found = await provider.search(make_call(request))

    assert found.answer.results[0].title.startswith("tides in iceland")
    assert found.answer.results[0].content == "2026-11-10"
    assert found.unsupported == ("language",)


@pytest.mark.parametrize(
    ("tool", "options", "reason", "words"),
    [
        ("seek", {}, "no_such_tool", "it has find, openai_search"),
        ("strict", {}, "wrong_arguments", "no argument that looks like a query"),
        ("strict", {"arguments": {"terms": "{query}"}}, "wrong_arguments", "needs the argument region"),
        ("find", {"arguments": {"q": "{query}"}}, "wrong_arguments", "has no argument q"),
    ],
)
async def test_a_tool_that_does_not_fit_is_told(make, tool, options, reason, words):
    """The operator is told which tool or argument there is not, and nothing has been called or paid."""
    error = await failure_of(make(tool, **options).search(make_call(SEARCH)))

    assert (type(error), error.reason, error.assumed) == (ProviderRejected, reason, FREE)
    assert words in error.message


@pytest.mark.parametrize(
    ("words", "kind", "reason"),
    [
        ("HTTP 429: Too Many Requests", ProviderThrottled, "throttled"),
        ("Monthly quota exceeded", ProviderQuotaExceeded, "quota"),
        ("401 Unauthorized", ProviderRejected, "key_refused"),
        ("1 validation error for search", ProviderRejected, "wrong_arguments"),
        ("The upstream timed out", ProviderUnavailable, "tool_unavailable"),
        ("Something went wrong", ProviderRejected, "tool_failed"),
    ],
)
async def test_a_tools_own_error_is_read_with_care(make, words, kind, reason):
    """What a tool calls an error is one of ours, and none that blames the caller; its words are not shown."""
    error = await failure_of(make("failing").search(make_call(SearchRequest(query=words))))

    assert (type(error), error.reason) == (kind, reason)
    assert words not in error.message


async def test_prose_is_no_list_of_results(make):
    """A tool that answers in sentences cannot be searched with, and the error says so."""
    error = await failure_of(make("as_prose").search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderProtocolError, "text_only")


async def test_an_endless_answer_is_refused(make):
    """An answer beyond the bound is refused while it is being read, and the next call is not affected."""
    error = await failure_of(make("huge").search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderProtocolError, "too_large")
    assert (await make().search(make_call(SEARCH))).answer.results


async def test_cancelling_leaves_nothing_behind(make):
    """A call that is cancelled ends at once and leaves no task; the provider goes on."""
    slow, quick = make("slow"), make()
    await quick.search(make_call(SEARCH))
    before = asyncio.all_tasks()
    begun = time.monotonic()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await slow.search(make_call(SEARCH))

    assert time.monotonic() - begun < 1
    assert asyncio.all_tasks() == before
    assert (await quick.search(make_call(SEARCH))).answer.results


async def test_many_at_once_are_one_introduction(make):
    """Calls that come while the server is being found out wait for that, and then go at once."""
    provider = make()

    found = await asyncio.gather(*(provider.search(make_call(SEARCH)) for _ in range(20)))

    assert [len(one.answer.results) for one in found] == [3] * 20


@pytest.mark.parametrize("era", ["both", "handshake"])
async def test_a_server_that_dies_is_unavailable_and_comes_back(era):
    """Killed in the middle of a call it is an unavailable provider; started again it is found out anew."""
    with RemoteServer("sdk", era=era) as remote:
        slow, quick = mcp_provider(remote.url, "slow"), mcp_provider(remote.url)
        await quick.search(make_call(SEARCH))
        cut = asyncio.create_task(failure_of(slow.search(make_call(SEARCH))))
        await asyncio.sleep(0.3)

        remote.kill()
        error = await asyncio.wait_for(cut, 5)
        refused = await failure_of(quick.search(make_call(SEARCH)))
        # In a thread: meanwhile the loop sees that the server has closed what it had open.
        await asyncio.to_thread(remote.start)
        found = await quick.search(make_call(SEARCH))

        assert (type(error), error.reason in {"reset", "truncated"}) == (ProviderUnavailable, True)
        assert (type(refused), refused.assumed) == (ProviderUnavailable, FREE)
        assert len(found.answer.results) == 3
        await slow.aclose()
        await quick.aclose()


@pytest.mark.parametrize(("asked", "given"), [(False, None), (True, "The whole page.")])
async def test_whole_pages_are_for_whoever_asks(asked, given):
    """A tool may send every page in full; they are given to who says `include_raw_content`."""
    one = {"url": "https://a.example/", "title": "A", "content": "a", "raw_content": "The whole page."}
    async with McpSimulator() as simulator:
        simulator.result = {"structuredContent": {"results": [one]}}
        provider = mcp_provider(simulator.url)
        found = await provider.search(make_call(SearchRequest(query="tides", include_raw_content=asked)))
        await provider.aclose()

    assert [result.raw_content for result in found.answer.results] == [given]
