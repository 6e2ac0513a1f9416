"""The tools that the protocol's conformance suite brings its own expectations of, behind our own `/mcp`.

The gateway searches; it returns no image and asks a client for nothing. What lies between a client and a tool
is the same for every tool: the guard, the endpoint, both transports. Here they carry the suite's tools, so
that the suite can look at progress, errors, kinds of content and headers on our way of serving.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.typing import Framework
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    PaginatedRequestParams,
)
from starlette.routing import Router

from api.mcp_endpoint import McpEndpoint
from api.mcp_server import Context
from api.mcp_transport import served
from api.middleware.failures import Failures
from api.middleware.guard import Guard
from api.server import hypercorn_config
from tests.support.memory_gateway import MemoryGateway

PAUSE_S = 0.05
"""The suite's own: how long a tool waits between two steps, so that they arrive apart."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


_PIXEL = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00"))
    + _chunk(b"IEND", b"")
)
_SILENCE = struct.pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, 1, 1, 8_000, 8_000, 1, 8, b"data", 0
)

NOTHING = {"type": "object", "properties": {}}
TEXT = {"type": "text", "text": "This is a simple text response for testing."}
IMAGE = {"type": "image", "data": base64.b64encode(_PIXEL).decode(), "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": base64.b64encode(_SILENCE).decode(), "mimeType": "audio/wav"}
EMBEDDED = {
    "type": "resource",
    "resource": {
        "uri": "test://embedded-resource",
        "mimeType": "text/plain",
        "text": "This is an embedded resource content.",
    },
}
MIXED = {
    "type": "resource",
    "resource": {
        "uri": "test://mixed-content-resource",
        "mimeType": "application/json",
        "text": '{"test":"data","value":123}',
    },
}

CONSTANTS: dict[str, list[dict[str, Any]]] = {
    "test_simple_text": [TEXT],
    "test_image_content": [IMAGE],
    "test_audio_content": [AUDIO],
    "test_embedded_resource": [EMBEDDED],
    "test_multiple_content_types": [{"type": "text", "text": "Multiple content types test:"}, IMAGE, MIXED],
    "test_streaming_elicitation": [TEXT],
    "test_logging_tool": [TEXT],
    "json_schema_2020_12_tool": [TEXT],
    "test_header_tool": [TEXT],
}
"""Tools that return the same whatever happens."""

_ADDRESS = {
    "$anchor": "addressDef",
    "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
}

SCHEMAS: dict[str, dict[str, Any]] = {
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": _ADDRESS},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
    "test_header_tool": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    },
}
"""Arguments of the tools that have any."""


async def _progress(context: Context) -> dict[str, Any]:
    for done in (0, 50, 100):
        await context.session.report_progress(done, total=100)
        await asyncio.sleep(PAUSE_S)
    return {"content": [{"type": "text", "text": "Progress was reported."}]}


async def _fail(_context: Context) -> dict[str, Any]:
    text = "This tool intentionally returns an error for testing"
    return {"isError": True, "content": [{"type": "text", "text": text}]}


async def _need_sampling(_context: Context) -> dict[str, Any]:
    raise MCPError(
        code=MISSING_REQUIRED_CLIENT_CAPABILITY,
        message="This tool needs a client that can sample.",
        data={"requiredCapabilities": {"sampling": {}}},
    )


STEPS: dict[str, Callable[[Context], Awaitable[dict[str, Any]]]] = {
    "test_tool_with_progress": _progress,
    "test_error_handling": _fail,
    "test_missing_capability": _need_sampling,
}
"""Tools that do something."""


def demo_server() -> Server[Any]:
    """A server of the SDK with the suite's tools."""
    schemas = {name: SCHEMAS.get(name, NOTHING) for name in (*CONSTANTS, *STEPS)}
    server: Server[Any] = Server(
        "demo",
        version="1",
        cache_hints=dict.fromkeys(("server/discover", "tools/list"), CacheHint(ttl_ms=0, scope="public")),
        get_tool_input_schema=schemas.get,
    )

    async def list_tools(_context: Context, _params: PaginatedRequestParams) -> dict[str, Any]:
        listed = [
            {"name": name, "description": "A tool of the conformance suite.", "inputSchema": schema}
            for name, schema in schemas.items()
        ]
        return {"resultType": "complete", "tools": listed}

    async def call_tool(context: Context, params: CallToolRequestParams) -> dict[str, Any]:
        if params.name in CONSTANTS:
            return {"resultType": "complete", "content": CONSTANTS[params.name]}
        if params.name in STEPS:
            return {"resultType": "complete", **await STEPS[params.name](context)}
        raise MCPError(code=INVALID_PARAMS, message="Unknown tool.")

    server.add_request_handler("tools/list", PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    return server


@contextlib.asynccontextmanager
async def demo_serving() -> AsyncIterator[str]:
    """The URL of these tools behind our guard, endpoint and transports on Hypercorn."""
    memory = MemoryGateway()
    endpoint = McpEndpoint(memory.gateway, lambda: served(demo_server()))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    stop = asyncio.Event()
    guarded = Failures(Guard(endpoint, memory.gateway.refused))
    app = cast("Framework", Router(default=guarded, lifespan=lambda _app: endpoint.running()))
    config = hypercorn_config(listener.detach())
    serving = asyncio.create_task(hypercorn_serve(app, config, shutdown_trigger=stop.wait, mode="asgi"))
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        stop.set()
        await serving
        await memory.aclose()
