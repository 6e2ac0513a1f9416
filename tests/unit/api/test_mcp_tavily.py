"""The tools under the names of Tavily's own MCP server: its arguments, its leniences, its layout."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from api.mcp_tavily import EXTRACT_ARGUMENTS, SEARCH_ARGUMENTS
from api.mcp_tools import TOOLS
from orchestrator.errors import InvalidRequest
from orchestrator.model import (
    ExtractRequest,
    SearchAnswer,
    SearchRequest,
    SearchResult,
)
from tests.support.mcp_use import use
from tests.support.memory_gateway import MemoryGateway

URL = "https://almanac.example/tides"


def test_the_arguments_are_those_of_tavily_mcp():
    """Version 0.2.22 lists these names, needs these, and takes others as well, which it ignores."""
    search, extract = TOOLS["tavily_search"].arguments, TOOLS["tavily_extract"].arguments

    assert (
        list(search["properties"])
        == list(SEARCH_ARGUMENTS)
        == [
            *("query", "search_depth", "topic", "time_range", "start_date", "end_date", "max_results"),
            *("include_images", "include_image_descriptions", "include_raw_content", "include_domains"),
            *("exclude_domains", "country", "include_favicon", "exact_match"),
        ]
    )
    assert (
        list(extract["properties"])
        == list(EXTRACT_ARGUMENTS)
        == [*("urls", "extract_depth", "include_images", "format", "include_favicon", "query")]
    )
    assert (search["required"], extract["required"]) == (["query"], ["urls"])
    assert "additionalProperties" not in search | extract


async def test_every_argument_with_its_default_is_a_plain_search(memory: MemoryGateway):
    """Agents send the defaults that tavily-mcp lists: empty texts and lists mean nothing, and 5.0 is 5."""
    flags = ("include_images", "include_image_descriptions", "include_raw_content", "include_favicon")
    defaults = dict.fromkeys(flags, False) | {
        **dict.fromkeys(("start_date", "end_date", "country"), ""),
        "include_domains": [],
        "exclude_domains": [],
        "search_depth": "basic",
        "topic": "general",
        "max_results": 5.0,
    }

    result = await use(memory, "tavily_search", query="tides", time_range=None, exact_match=None, **defaults)

    (asked,) = memory.provider.calls
    assert isinstance(asked, SearchRequest)
    assert (asked.country, asked.start_date, asked.include_domains, asked.limit) == (None, None, (), 5)
    assert result.content["results"]


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ({"country": "germany", "topic": "news"}, {"country": "germany", "topic": "general"}),
        ({"start_date": "2026-01-01", "time_range": "week"}, {"start_date": "2026-01-01"}),
        ({"days": 3, "topic": "news"}, {"days": 3, "topic": "news"}),
        ({"auto_parameters": True}, {"auto_parameters": True}),
        ({"browser": "no such thing", "extra": {"a": 1}}, {}),
    ],
)
async def test_its_leniences_are_ours(
    memory: MemoryGateway, arguments: dict[str, Any], asked: dict[str, Any]
):
    """What it puts right, drops, or took in older versions is put right, dropped and taken here."""
    await use(memory, "tavily_search", query="tides", **arguments)

    assert memory.provider.calls == [SearchRequest(query="tides", **asked)]


async def test_one_url_may_come_without_its_list(memory: MemoryGateway):
    """As in extract: models forget the list."""
    result = await use(memory, "tavily_extract", urls=URL, query="", max_age_hours=1)

    (asked,) = memory.provider.calls
    assert isinstance(asked, ExtractRequest)
    assert (asked.urls, asked.query) == ((URL,), None)
    assert result.text == f"Detailed Results:\n\nTitle: {URL}\nURL: {URL}\nRaw Content: # Tides"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("tavily_search", {}, "query: this argument is needed."),
        ("tavily_search", {"query": ""}, "query: this argument is needed."),
        ("tavily_search", {"query": "ti", "topic": "sport"}, "topic: Invalid value."),
        ("tavily_search", {"query": "ti", "max_results": "5"}, "max_results: expected an integer"),
        ("tavily_extract", {"urls": []}, "urls: this argument is needed."),
        ("tavily_extract", {"urls": ["http://127.0.0.1/"]}, r"urls\[0\]: The address is not on the public"),
    ],
)
async def test_what_means_nothing_is_refused(
    memory: MemoryGateway, name: str, arguments: dict[str, Any], text: str
):
    """Known arguments are checked like those of web_search, and no provider is asked."""
    with pytest.raises(InvalidRequest, match=text):
        await use(memory, name, **arguments)

    assert not memory.provider.calls


async def test_the_text_is_in_its_layout(memory: MemoryGateway):
    """Programs cut these lines apart; what it has no lines for comes last, and all of it is structured."""
    found = SearchResult(
        id="a1", title="Tides", url=URL, content="High water.", score=0.9, raw_content="# Tides"
    )
    memory.provider.finds = SearchAnswer(
        results=(found, found), answer="Twice a day.", images=("https://a.example/1.png",)
    )

    result = await use(memory, "tavily_search", query="tides", max_results=50)

    lines = [f"\nTitle: Tides\nID: a1\nURL: {URL}\nContent: High water.\nRaw Content: # Tides"]
    assert result.text.startswith("Answer: Twice a day.\nDetailed Results:\n" + lines[0])
    assert result.text.endswith("Note: max_results was reduced to 20, the most there is.")
    assert "\n\nImages:\n\n[1] URL: https://a.example/1.png\n" in result.text


@pytest.mark.parametrize("arguments", [{"query": "tides"}, {"query": "tides", "include_answer": True}])
async def test_the_structured_content_is_that_of_the_other_name(
    memory: MemoryGateway, arguments: dict[str, Any]
):
    """Two names, one answer: the results are the same, from the same entry of the cache."""
    ours = await use(memory, "web_search", **arguments)
    theirs = await use(memory, "tavily_search", **arguments)

    jsonschema.validate(theirs.content, TOOLS["tavily_search"].answer)
    assert theirs.content["results"] == ours.content["results"]
    assert theirs.content["amos"]["cache"] == "l1"
