"""A client that reads configurations in the format of desktop clients: fastmcp's, in a process of its own.

`python -m tests.support.configured_client` uses `web_search` with each configuration in the JSON list on
standard input, and prints a list of the answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import fastmcp

ARGUMENTS = {"query": "tide tables", "max_results": 2}


async def search(configuration: dict[str, Any]) -> Any:
    """The answer of the server that the configuration names, or starts."""
    async with fastmcp.Client(configuration) as client:
        return (await client.call_tool("web_search", ARGUMENTS)).structured_content


async def search_each(configurations: list[dict[str, Any]]) -> list[Any]:
    """The answers, in their order."""
    return [await search(configuration) for configuration in configurations]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(search_each(json.load(sys.stdin)))) + "\n")
