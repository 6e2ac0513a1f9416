"""Clients of MCP that people use, in a process of their own: their libraries warn, and warnings fail tests.

`python -m tests.support.mcp_clients fastmcp|agno <url>` uses `web_search` and prints its JSON;
`python -m tests.support.mcp_clients configured` does so with each configuration in the JSON list on standard
input, by fastmcp's client, and prints a list.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import fastmcp
from agno.tools.function import FunctionCall
from agno.tools.mcp import MCPTools

ARGUMENTS = {"query": "tide tables", "max_results": 2}


async def with_fastmcp(server: str | dict[str, Any]) -> Any:
    """The answer that fastmcp's client gets of the server at a URL, or as it is configured."""
    async with fastmcp.Client(server) as client:
        result = await client.call_tool("web_search", ARGUMENTS)
        return result.structured_content


async def with_agno(url: str) -> Any:
    """The answer that an agent of Agno gets of the tool, as its framework calls it."""
    async with MCPTools(transport="streamable-http", url=url) as tools:
        call = FunctionCall(function=tools.functions["web_search"], arguments=ARGUMENTS)
        outcome = await call.aexecute()
        assert outcome.status == "success", outcome.error
        return json.loads(outcome.result.content)


async def configured(configurations: list[dict[str, Any]]) -> Any:
    """The answers that fastmcp's client gets, one for each configuration it is given."""
    return [await with_fastmcp(configuration) for configuration in configurations]


CLIENTS = {"fastmcp": with_fastmcp, "agno": with_agno}

if __name__ == "__main__":
    using = (
        configured(json.load(sys.stdin)) if sys.argv[1] == "configured" else CLIENTS[sys.argv[1]](sys.argv[2])
    )
    sys.stdout.write(json.dumps(asyncio.run(using)) + "\n")
