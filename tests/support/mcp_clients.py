"""Clients of MCP that people use, in a process of their own: their libraries warn, and warnings fail tests.

`python -m tests.support.mcp_clients fastmcp|agno <url>` uses `web_search` and prints its JSON.
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


async def with_fastmcp(url: str) -> Any:
    """The answer that fastmcp's client gets."""
    async with fastmcp.Client(url) as client:
        result = await client.call_tool("web_search", ARGUMENTS)
        return result.structured_content


async def with_agno(url: str) -> Any:
    """The answer that an agent of Agno gets of the tool, as its framework calls it."""
    async with MCPTools(transport="streamable-http", url=url) as tools:
        call = FunctionCall(function=tools.functions["web_search"], arguments=ARGUMENTS)
        outcome = await call.aexecute()
        assert outcome.status == "success", outcome.error
        return json.loads(outcome.result.content)


CLIENTS = {"fastmcp": with_fastmcp, "agno": with_agno}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(CLIENTS[sys.argv[1]](sys.argv[2]))) + "\n")
