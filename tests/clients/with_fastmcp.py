"""The client of fastmcp."""

from __future__ import annotations

from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from tests.support.foreign_side import answer_calls


def client(url: str, headers: dict[str, str], mode: str) -> Client[StreamableHttpTransport]:
    """A client of the server at this address, in this mode of its own."""
    return Client(StreamableHttpTransport(url, headers=headers), mode=mode)


async def list_tools(url: str, headers: dict[str, str], mode: str) -> list[str]:
    """The names of the server's tools."""
    async with client(url, headers, mode) as connected:
        return [tool.name for tool in await connected.list_tools()]


async def call_tool(
    url: str, headers: dict[str, str], mode: str, tool: str, arguments: dict[str, Any]
) -> Any:
    """What the tool returns. An answer with `isError` is raised by the client."""
    async with client(url, headers, mode) as connected:
        result = await connected.call_tool(tool, arguments)
        return {"structured": result.structured_content, "text": result.content[0].text}


if __name__ == "__main__":
    answer_calls({"list_tools": list_tools, "call_tool": call_tool})
