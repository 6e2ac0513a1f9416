"""The tools over a gateway in memory: what they ask for, what they answer, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.mcp_calls import PATIENCE_S
from api.mcp_page_ids import ID_PREFIX, page_id, page_url
from api.mcp_tools import TOOLS
from orchestrator.errors import InvalidRequest, PageUnreadable
from orchestrator.events import RequestReceived
from orchestrator.model import ExtractRequest, SearchRequest
from tests.support.mcp_use import use
from tests.support.memory_gateway import MemoryGateway

URL = "https://almanac.example/tides"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("search", {"query": "tide tables"}),
        ("web_search", {"query": "tide tables", "max_results": 3}),
        ("extract", {"urls": [URL, "https://almanac.example/gone"]}),
        ("fetch", {"id": page_id(URL)}),
        ("fetch", {"id": URL}),
    ],
)
async def test_an_answer_is_there_twice_and_fits_its_schema(
    memory: MemoryGateway, name: str, arguments: dict[str, Any]
):
    """The text holds the same JSON as the structured content, and both are what the schema promises."""
    result = await use(memory, name, **arguments)

    assert json.loads(result.text) == result.content
    jsonschema.validate(result.content, TOOLS[name].answer)


async def test_a_search_has_ids_titles_and_urls_alone(memory: MemoryGateway):
    """That is the contract of connectors; why this answer is in `_meta`, for programs."""
    result = await use(memory, "search", query="tide tables")

    assert result.content == {"results": [{"id": page_id(URL), "title": "tide tables", "url": URL}]}
    assert result.meta is not None
    assert result.meta["amos"]["provider"] == "scripted"


async def test_a_result_can_be_fetched_by_its_id(memory: MemoryGateway):
    """The id of a result is all that fetch needs; a page without a title has its first heading for one."""
    found = await use(memory, "search", query="tide tables")

    page = (await use(memory, "fetch", id=found.content["results"][0]["id"])).content

    assert (page["url"], page["title"], page["text"]) == (URL, "Tides", "# Tides")
    assert page["metadata"]["provider"] == "scripted"


@pytest.mark.parametrize("given", [URL, f"  {URL}\n", URL.replace("https", "HTTPS")])
async def test_a_page_can_be_fetched_by_its_url(memory: MemoryGateway, given: str):
    """Results of web_search have no other id, and models pass URLs, with what they copied along."""
    page = (await use(memory, "fetch", id=given)).content

    assert (page["id"], page["text"]) == (given, "# Tides")
    (asked,) = memory.provider.calls
    assert isinstance(asked, ExtractRequest)
    assert asked.urls[0].lower() == URL


async def test_a_page_nobody_can_read_is_a_failure(memory: MemoryGateway):
    """A fetch that found nothing says why, rather than giving an empty text."""
    with pytest.raises(PageUnreadable, match="Not found"):
        await use(memory, "fetch", id=page_id("https://almanac.example/gone"))


async def test_every_option_reaches_the_provider(memory: MemoryGateway):
    """The arguments are the options of a search under their own names; a null is one that was not given."""
    options = {"query": "tides", "max_results": 3, "topic": "news", "include_domains": ["noaa.gov"]}

    await use(memory, "web_search", **options, country=None)

    assert memory.provider.calls == [
        SearchRequest(query="tides", max_results=3, topic="news", include_domains=("noaa.gov",))
    ]


async def test_pages_are_read_within_the_patience_of_clients(memory: MemoryGateway):
    """An extract would have half a minute elsewhere; here nobody would be left to read it."""
    await use(memory, "extract", urls=URL, query="tides", extract_depth="advanced", format="text")

    (asked,) = memory.provider.calls
    assert isinstance(asked, ExtractRequest)
    assert (asked.timeout_s, asked.depth, asked.format) == (PATIENCE_S, "advanced", "text")
    assert asked.urls == (URL,)


async def test_the_door_is_on_record(memory: MemoryGateway):
    """Reports tell agents from other callers by the door they came in at."""
    await use(memory, "web_search", query="tide tables")

    first = memory.journal.frames[0].events[0].event
    assert isinstance(first, RequestReceived)
    assert first.door == "mcp"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("web_search", {}, "query: this argument is needed."),
        ("web_search", {"query": None}, "query: this argument is needed."),
        ("web_search", {"query": 5}, "query: expected a string, got an integer."),
        (
            "web_search",
            {"query": "ti", "max_results": "5"},
            "max_results: expected an integer, got a string.",
        ),
        ("web_search", {"query": "ti", "topic": "sport"}, "topic: Invalid value."),
        ("web_search", {"query": "x" * 401}, "query: Query is too long."),
        (
            "web_search",
            {"query": "ti", "depth": "basic"},
            "depth: there is no such argument. There are query,",
        ),
        ("web_search", {"query": "ti", "a b": 1}, "arguments: there is no such argument."),
        ("search", {"query": "ti", "topic": "news"}, "topic: there is no such argument. There are query."),
        ("extract", {}, "urls: this argument is needed."),
        ("extract", {"urls": 5}, "urls: expected a list, got an integer."),
        ("extract", {"urls": []}, "urls: at least one URL is needed."),
        ("extract", {"urls": ["http://127.0.0.1/"]}, r"urls\[0\]: The address is not on the public"),
        ("fetch", {"id": 5}, "id: expected a string."),
        ("fetch", {"id": URL.removeprefix("https://")}, "id: This is no id"),
        ("fetch", {"id": "https://"}, "^id: Not an http"),
        ("fetch", {"id": "http://127.0.0.1/"}, "^id: The address is not on the public internet"),
        ("fetch", {"id": "file:///etc/passwd"}, "id: This is no id"),
        ("fetch", {"id": "https://almanac.example/" + "x" * 5_000}, "^id: The URL is longer"),
        ("fetch", {"id": ID_PREFIX}, "id: This is no id"),
        ("fetch", {"id": page_id(URL)[:-2]}, "id: This is no id"),
        ("fetch", {"id": page_id(URL).removeprefix(ID_PREFIX)}, "id: This is no id"),
        ("fetch", {"id": "page-ä"}, "id: This is no id"),
        ("fetch", {"id": page_id("file:///srv/wiki/a.md")}, "id: This is a document of the gateway's own"),
        ("fetch", {"id": page_id("http://10.0.0.1/")}, "not on the public internet"),
    ],
)
async def test_wrong_arguments_are_refused_by_name(
    memory: MemoryGateway, name: str, arguments: dict[str, Any], text: str
):
    """The sentence names the argument and the reason, and no provider is asked."""
    with pytest.raises(InvalidRequest, match=text):
        await use(memory, name, **arguments)

    assert not memory.provider.calls


async def test_too_many_results_are_reduced_and_said_so(memory: MemoryGateway):
    """Models ask for 25; they get what there is, and are told."""
    result = await use(memory, "web_search", query="tides", max_results=25)

    assert result.content["amos"]["notes"] == ["max_results was reduced to 20, the most there is."]


@given(st.text(st.characters(codec="utf-8"), max_size=200).map("https://almanac.example/".__add__))
def test_an_id_is_its_page(url: str):
    """Whatever the URL, any instance finds it in its id, which holds nothing that a model could misspell."""
    coded = page_id(url)

    assert page_url(coded) == url
    assert coded.replace("-", "").replace("_", "").isalnum()
    assert coded.isascii()


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: ID_PREFIX + raw.hex()))
def test_no_other_text_is_an_id(text: str):
    """A text that was not made here is refused, whatever it is."""
    with pytest.raises(InvalidRequest):
        page_url(text)
