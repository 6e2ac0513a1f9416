"""The schemas of the tools: they name every option there is, with the bounds that are enforced."""

from __future__ import annotations

import jsonschema
import pytest

from api.mcp_schemas import (
    EXTRACT_INPUT,
    NOT_OFFERED,
    WEB_SEARCH_INPUT,
    WEB_SEARCH_OUTPUT,
)
from api.mcp_tools import TOOLS
from api.rest.dialects.tavily import Amos
from api.settings_mcp import TOOL_NAMES
from orchestrator import limits
from orchestrator.model import ExtractRequest, SearchRequest

EXTRACT_NOT_OFFERED = {
    "timeout_s": "clients of MCP stop reading after ten seconds, whatever the model wishes",
    "extra": "no option by itself",
}
"""Fields of an extract that are no argument, with the reason."""


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_schemas_are_valid(tool):
    """Each schema is one of JSON Schema 2020-12, of an object, and refers to nothing outside it."""
    for schema in (tool.arguments, tool.answer):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert "$ref" not in str(schema)
        assert "'type': [" not in str(schema), "some clients cannot translate a list of types"


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_every_argument_is_described(tool):
    """A model chooses by descriptions, so every tool and every argument has one."""
    assert tool.description
    assert all(schema.get("description") for schema in tool.arguments["properties"].values())


def test_every_option_of_a_search_is_an_argument_or_left_out_for_a_reason():
    """A new option is not forgotten at this door."""
    assert set(WEB_SEARCH_INPUT["properties"]) | set(NOT_OFFERED) == set(SearchRequest.__struct_fields__)
    assert not set(WEB_SEARCH_INPUT["properties"]) & set(NOT_OFFERED)


def test_every_option_of_an_extract_is_an_argument_or_left_out_for_a_reason():
    """A new option is not forgotten at this door."""
    assert set(EXTRACT_INPUT["properties"]) | set(EXTRACT_NOT_OFFERED) == set(
        ExtractRequest.__struct_fields__
    )


def test_the_answer_s_why_is_described_whole():
    """Every member of `amos` is in the schema of the answer."""
    assert set(WEB_SEARCH_OUTPUT["properties"]["amos"]["properties"]) == set(Amos.__struct_fields__)


def test_bounds_are_those_of_the_gateway():
    """What a client checks by the schema is what the gateway would say."""
    query = WEB_SEARCH_INPUT["properties"]["query"]

    assert (query["minLength"], query["maxLength"]) == (limits.QUERY_CHARS_MIN, limits.QUERY_CHARS_MAX)
    assert WEB_SEARCH_INPUT["properties"]["max_results"]["maximum"] == limits.RESULTS_MAX
    assert EXTRACT_INPUT["properties"]["urls"]["maxItems"] == limits.URLS_MAX


def test_names_are_those_the_protocol_allows():
    """1 to 128 of letters, digits, underscore, hyphen and full stop; the list has a fixed order."""
    assert list(TOOLS) == list(TOOL_NAMES)
    assert list(TOOLS)[:4] == ["search", "fetch", "web_search", "extract"]
