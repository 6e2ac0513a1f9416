"""A tool's answer as search results: where the list is, and by which names its members go."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import ProviderProtocolError
from orchestrator.providers.mcp_results import RESULTS_READ_MAX, read_results
from orchestrator.providers.mcp_wire import Content, ToolResult

ONE = {"title": "Tides", "url": "https://a.example/1", "snippet": "High at noon."}
TWO = {"name": "Moon", "link": "https://a.example/2", "description": "Full."}


def read(structured=None, *, texts=(), path="", **fields):
    """The results of an answer with this structured content and these texts."""
    content = [Content(type="text", text=text) for text in texts]
    return read_results("remote", ToolResult(content=content, structured_content=structured), path, fields)


@pytest.mark.parametrize(
    "structured",
    [
        [ONE, TWO],
        {"results": [ONE, TWO]},
        {"result": [ONE, TWO]},
        {"result": json.dumps({"results": [ONE, TWO]})},
        {"data": {"items": [ONE, TWO]}},
        {"query": "tides", "web": {"results": [ONE, TWO]}},
        {"organic": [ONE, "noise", TWO, {"title": "Without a URL"}]},
    ],
)
@pytest.mark.parametrize("is_text", [False, True])
def test_the_list_is_found(structured, is_text):
    """Known shapes are found in structured content, and in a text that is JSON."""
    found = read(texts=[json.dumps(structured)]) if is_text else read(structured)

    assert [(one.title, one.url, one.content) for one in found.results] == [
        ("Tides", "https://a.example/1", "High at noon."),
        ("Moon", "https://a.example/2", "Full."),
    ]
    assert [one.score for one in found.results] == [1.0, 0.9091]


def test_results_may_have_a_block_each():
    """Servers that return a list of objects write each of them into a text of its own."""
    found = read(texts=[json.dumps(ONE), json.dumps(TWO)])

    assert [one.title for one in found.results] == ["Tides", "Moon"]


def test_links_to_resources_are_results():
    """The protocol has a block of its own for them; a sentence beside them is none."""
    links = [
        Content(type="text", text="I found two pages."),
        Content(
            type="resource_link", uri="https://a.example/1", name="tides", title="Tides", description="High."
        ),
        Content(type="resource_link", uri="https://a.example/2", name="moon"),
    ]

    found = read_results("remote", ToolResult(content=links), "", {})

    assert [(one.title, one.url, one.content) for one in found.results] == [
        ("Tides", "https://a.example/1", "High."),
        ("moon", "https://a.example/2", ""),
    ]


def test_structured_content_comes_first():
    """The text repeats it for old clients, perhaps shortened."""
    assert len(read({"results": [ONE, TWO]}, texts=[json.dumps([ONE])]).results) == 2


@pytest.mark.parametrize("structured", [{"results": []}, [], {"data": {"items": []}}])
def test_an_empty_list_is_an_answer(structured):
    """Nothing was found."""
    assert read(structured).results == ()


@pytest.mark.parametrize(
    ("structured", "texts", "reason"),
    [
        (None, (), "text_only"),
        (None, ("Tides: high at noon.",), "text_only"),
        ({"result": "Tides: high at noon."}, ("Tides: high at noon.",), "text_only"),
        ({"answer": "noon"}, (), "no_results_list"),
        ({"results": ["https://a.example"]}, (), "no_results_list"),
        ({"a": {"b": {"results": [ONE]}}}, (), "no_results_list"),
        (None, ("[" * 100_000,), "text_only"),
    ],
)
def test_no_list_is_no_answer(structured, texts, reason):
    """The reason tells whether there was nothing to read or nothing to find."""
    with pytest.raises(ProviderProtocolError) as caught:
        read(structured, texts=texts)

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("path", "structured"),
    [
        ("hits.hits", {"hits": {"hits": [ONE], "total": 1}, "results": [TWO]}),
        ("0.rows", [{"rows": [ONE]}]),
        ("payload", {"payload": json.dumps([ONE])}),
    ],
)
def test_a_path_says_where_the_list_is(path, structured):
    """It wins over what would be found; it may lead through lists and through JSON in a text."""
    assert [one.title for one in read(structured, path=path).results] == ["Tides"]


@pytest.mark.parametrize("structured", [{"results": [ONE]}, [ONE], {"rows": {"rows": 7}}])
def test_a_path_that_leads_nowhere_is_told(structured):
    """Nothing else is taken in its place."""
    with pytest.raises(ProviderProtocolError, match="where the option results says"):
        read(structured, path="rows.rows")


def test_members_go_by_the_names_the_operator_gives():
    """A name may be a path, and wins over those that are known."""
    item = {"title": "Wrong", "doc": {"head": "Right", "href": "https://a.example/3"}, "text": ["A", 1, "B"]}

    (found,) = read([item | {"url": "x"}], title="doc.head", url="doc.href", content="text").results

    assert (found.title, found.url, found.content) == ("Right", "https://a.example/3", "A […] B")


def test_odd_members_are_passed_over():
    """What is no text is none, whatever its name."""
    item = ONE | {"title": 7, "name": "Named", "snippet": {"a": 1}, "published": 20261110, "score": "high"}

    (found,) = read([item]).results

    assert (found.title, found.content, found.published_date, found.score) == ("", "", None, 1.0)


def test_a_long_list_is_read_to_a_bound():
    """Nobody may ask for more."""
    many = [ONE | {"url": f"https://a.example/{number}"} for number in range(1_000)]

    assert len(read(many).results) == RESULTS_READ_MAX
