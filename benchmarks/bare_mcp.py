"""The peer of the MCP benchmark: the SDK's server with one tool that returns a constant, on Hypercorn.

Run as `python -m benchmarks.bare_mcp <fd> at-once|as-it-comes` with the result of the tool as JSON on
standard input. It is the same class of the SDK on the same Hypercorn with the same settings as AMOS, and does
nothing else. `at-once` answers without a stream, as AMOS does for who wants no progress; `as-it-comes` has
the SDK's defaults.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any, cast

from hypercorn.asyncio import serve
from hypercorn.typing import Framework
from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, PaginatedRequestParams
from starlette.applications import Starlette

from api.mcp_tools import WEB_SEARCH
from api.server import hypercorn_config


def bare_server(result: dict[str, Any]) -> Server[Any]:
    """The least a server of the SDK can do for `web_search`."""
    server: Server[Any] = Server("bare", get_tool_input_schema=lambda _name: None)

    async def list_tools(_context: Any, _params: PaginatedRequestParams) -> dict[str, Any]:
        return {"resultType": "complete", "tools": [WEB_SEARCH.listed()]}

    async def call_tool(_context: Any, _params: CallToolRequestParams) -> dict[str, Any]:
        return result

    server.add_request_handler("tools/list", PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    return server


def bare_app(result: dict[str, Any], *, at_once: bool) -> Starlette:
    """That server as an application."""
    return bare_server(result).streamable_http_app(stateless_http=True, json_response=at_once)


async def _serve(fd: int, result: dict[str, Any], *, at_once: bool) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = cast("Framework", bare_app(result, at_once=at_once))
    await serve(app, hypercorn_config(fd), shutdown_trigger=stop.wait, mode="asgi")


if __name__ == "__main__":
    constant = json.load(sys.stdin)
    asyncio.run(_serve(int(sys.argv[1]), constant, at_once=sys.argv[2] == "at-once"))
