"""What a tool of a remote MCP server is called with: a template filled, or one that its schema suggests."""

from __future__ import annotations

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.model import SearchRequest
from orchestrator.providers.mcp_arguments import (
    check_template,
    fill,
    misfit,
    of_search,
    placeholders,
    suggested,
)

REQUEST = SearchRequest(query="tide tables", max_results=7, topic="news", include_domains=("a.example",))


def schema(*names, **described):
    """A schema with these text arguments, and these others."""
    return {"properties": {name: {"type": "string"} for name in names} | described}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ({"q": "{query}"}, {"q": "tide tables"}),
        ({"q": "about {query} ({topic})"}, {"q": "about tide tables (news)"}),
        ({"q": "{query}", "n": "{max_results}", "deep": True}, {"q": "tide tables", "n": 7, "deep": True}),
        ({"q": "{query}", "sites": "{include_domains}"}, {"q": "tide tables", "sites": ["a.example"]}),
        ({"q": "{query} {include_domains}"}, {"q": "tide tables a.example"}),
        ({"q": "{query}", "lang": "{language}", "from": "since {start_date}"}, {"q": "tide tables"}),
        ({"q": ["{query}", "{country}"]}, {"q": ["tide tables"]}),
        ({"filter": {"text": "{query}", "in": "{country}"}}, {"filter": {"text": "tide tables"}}),
    ],
)
def test_a_template_is_filled_from_the_request(template, filled):
    """Placeholders keep their type where they stand alone; what the caller did not give is left out."""
    assert fill(template, of_search(REQUEST), {}) == filled


def test_a_query_is_never_a_template():
    """A placeholder in what the caller wrote stays as it is."""
    assert fill({"q": "find {query}"}, of_search(SearchRequest(query="{topic} {query}")), {}) == {
        "q": "find {topic} {query}"
    }


@pytest.mark.parametrize(
    ("described", "sent"),
    [
        ({"type": "integer", "maximum": 5}, 5),
        ({"type": "integer", "minimum": 10}, 10),
        ({"type": "integer", "maximum": "many"}, 7),
        ({"type": "string"}, "7"),
        (True, 7),
        ({}, 7),
    ],
)
def test_a_number_is_held_within_the_schema(described, sent):
    """A tool that takes five results at most is asked for five, not refused to be asked for seven."""
    filled = fill(
        {"q": "{query}", "n": "{max_results}"}, of_search(REQUEST), {"properties": {"n": described}}
    )

    assert filled["n"] == sent


@pytest.mark.parametrize(
    ("described", "template"),
    [
        (schema("query", "limit"), {"query": "{query}", "limit": "{max_results}"}),
        (schema("q", "numResults", "lang"), {"q": "{query}", "numResults": "{max_results}"}),
        (schema("text", "query"), {"query": "{query}"}),
        (schema("needle", depth={"type": "integer"}), {"needle": "{query}"}),
        (schema("terms", "region"), None),
        ({"properties": {}}, None),
        ({"properties": []}, None),
        ({}, None),
    ],
)
def test_a_schema_suggests_a_template(described, template):
    """The usual names are known; one text argument alone is the query; else nobody can tell."""
    assert suggested(described) == template


@pytest.mark.parametrize(
    ("template", "described", "why"),
    [
        ({"q": "{query}"}, schema("q"), ""),
        ({"q": "{query}"}, {}, ""),
        ({"q": "{query}", "x": 1}, schema("q"), "has no argument x"),
        ({"q": "{query}"}, schema("q", "key") | {"required": ["q", "key"]}, "needs the argument key"),
        ({"q": "{query}"}, schema("q") | {"required": 7}, ""),
    ],
)
def test_a_misfit_is_named(template, described, why):
    """An argument that the tool does not know, or one that it needs, is told by name."""
    assert misfit(template, described) == why


DEEP: dict[str, object] = {"q": "{query}"}
for _ in range(10):
    DEEP = {"q": DEEP}


@pytest.mark.parametrize("template", [{}, {"q": "tides"}, {"q": "{query}", "x": "{speed}"}, DEEP])
def test_a_template_that_cannot_be_meant_is_refused(template):
    """Without the query, with a placeholder that is none, or nested beyond reason: the operator is told."""
    with pytest.raises(InvalidRequest, match="arguments"):
        check_template(template)


def test_a_template_tells_what_it_honours():
    """What is placed somewhere in the arguments is what the tool can honour."""
    assert placeholders({"a": ["{query}", {"b": "{topic} in {country}"}], "c": 1}) == {
        "query",
        "topic",
        "country",
    }
