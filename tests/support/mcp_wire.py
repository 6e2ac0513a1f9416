"""Requests of the Model Context Protocol as bytes on the wire, for what no client library would send."""

from __future__ import annotations

import json
from typing import Any

import httpx

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
ERAS = (LEGACY, MODERN)

INNER = ("Traceback", "pydantic", "msgspec", "validation error", "anyio", ".py")
"""What no answer may say."""

_ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def headers(version: str, method: str, name: str = "") -> dict[str, str]:
    """The headers of a request in the era of that version; the modern one repeats method and name."""
    chosen = {**_ACCEPT, "MCP-Protocol-Version": version}
    if version == MODERN:
        chosen |= {"Mcp-Method": method, **({"Mcp-Name": name} if name else {})}
    return chosen


def message(version: str, method: str, number: Any = 1, /, **params: Any) -> dict[str, Any]:
    """The JSON-RPC request. `meta` among the parameters is `_meta`."""
    meta = {**(_META if version == MODERN else {}), **params.pop("meta", {})}
    if meta:
        params["_meta"] = meta
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def call(version: str, tool: str, arguments: dict[str, Any], **meta: Any) -> tuple[dict[str, str], bytes]:
    """Headers and body of a call of a tool."""
    body = message(version, "tools/call", name=tool, arguments=arguments, meta=meta)
    return headers(version, "tools/call", tool), json.dumps(body).encode()


async def post(client: httpx.AsyncClient, body: Any, headers: dict[str, str]) -> httpx.Response:
    """`POST /mcp` with bytes as they are, or with anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post("/mcp", content=content, headers=headers)


def assert_says_nothing_inner(answer: httpx.Response) -> None:
    """No answer names a library, a file or a stack."""
    assert not [word for word in INNER if word in answer.text], answer.text
