"""Agno's tools: those for Tavily, which use Tavily's own client, and those for any MCP server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agno.tools.function import FunctionCall
from agno.tools.mcp import MCPTools
from agno.tools.tavily import TavilyTools

from tests.support.foreign_side import answer_calls


def search(base: str, key: str, setup: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
    """The answer of the function an agent is given for searching."""
    tools = TavilyTools(api_key=key, api_base_url=base, format="json", **(setup or {}))
    return json.loads(tools.web_search_using_tavily(**arguments))


def extract(base: str, key: str, urls: list[str], **setup: Any) -> str:
    """The text an agent is given of these pages."""
    tools = TavilyTools(api_key=key, api_base_url=base, enable_extract=True, **setup)
    return tools.extract_url_content(",".join(urls))


def mcp_tools(url: str, headers: dict[str, str], mode: str) -> MCPTools:
    """What an agent connects to an MCP server with."""
    return MCPTools(transport="streamable-http", url=url, headers=headers, protocol_mode=mode)


async def list_tools(url: str, headers: dict[str, str], mode: str) -> list[str]:
    """The names of the functions that an agent is given for the server's tools."""
    async with mcp_tools(url, headers, mode) as tools:
        return list(tools.functions)


async def call_tool(
    url: str, headers: dict[str, str], mode: str, tool: str, arguments: dict[str, Any]
) -> Any:
    """What an agent gets of one of them, as its framework calls it: a text."""
    async with mcp_tools(url, headers, mode) as tools:
        outcome = await FunctionCall(function=tools.functions[tool], arguments=arguments).aexecute()
        if outcome.status != "success":
            raise RuntimeError(outcome.error)
        return {"text": outcome.result.content}


if __name__ == "__main__":
    answer_calls({"search": search, "extract": extract, "list_tools": list_tools, "call_tool": call_tool})
