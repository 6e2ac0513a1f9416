"""The client of the official SDK of the Model Context Protocol."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.foreign_side import answer_calls

TIMEOUT = httpx2.Timeout(30.0, read=300.0)
"""What the SDK itself gives a client that it makes."""


@contextlib.asynccontextmanager
async def connected(url: str, headers: dict[str, str], mode: str) -> AsyncIterator[Client]:
    """A client of the server at this address, in this mode of its own."""
    async with (
        httpx2.AsyncClient(headers=headers, timeout=TIMEOUT) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


async def list_tools(url: str, headers: dict[str, str], mode: str) -> list[str]:
    """The names of the server's tools."""
    async with connected(url, headers, mode) as client:
        return [tool.name for tool in (await client.list_tools()).tools]


async def call_tool(
    url: str, headers: dict[str, str], mode: str, tool: str, arguments: dict[str, Any]
) -> Any:
    """What the tool returns; its own errors are raised here, as the other clients do by themselves."""
    async with connected(url, headers, mode) as client:
        result = await client.call_tool(tool, arguments)
    text = result.content[0].text
    if result.is_error:
        raise RuntimeError(text)
    return {"structured": result.structured_content, "text": text}


if __name__ == "__main__":
    answer_calls({"list_tools": list_tools, "call_tool": call_tool})
