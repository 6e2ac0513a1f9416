"""The Model Context Protocol: the gateway as tools of a model, in both eras of the protocol.

`mcp_server` makes the server of the official SDK out of a gateway; it serves HTTP here and standard input in
`amos mcp`. The low-level server is used because it hands a tool the arguments as they came and sends the
result as it is: the higher one would check both with generated models, and word its refusals for programmers.

What a caller must change or may try again is a *result* with `isError`, whose text a model reads; a request
that is none, or a tool that does not exist, is an error of the protocol, whose text its client reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import msgspec
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    GetPromptRequestParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
)

from api import __version__, mcp_texts
from api.mcp_calls import DOOR, Result, Visit, Watch
from api.mcp_tools import TOOLS
from api.rest.visitor import trace_of
from api.settings_mcp import TOOL_NAMES
from orchestrator.errors import GatewayError
from orchestrator.events import Envelope
from orchestrator.gateway import Gateway
from orchestrator.model import Call, Caller, Response

LIST_TTL_MS = 300_000
"""chosen: how long a client may go by a list of tools it has. They change with a new version of AMOS only."""

EMPTY_LISTS: dict[CacheableMethod, str] = {
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""Lists of what we do not have: common clients ask for them at every start and call a refusal a fault."""

LOOK_EVERY_S = 0.1
"""chosen: how soon progress shows what a call does next; nobody reads faster."""

PROGRESS_EVERY_S = 1.0
"""chosen: how often progress is reported when nothing has changed, as a sign of life."""

Context = ServerRequestContext[Any, Any]

_log = logging.getLogger("amos.mcp")


def mcp_server(
    gateway: Gateway, caller_of: Callable[[Context], Caller], names: Sequence[str] = TOOL_NAMES
) -> Server[Any]:
    """The server of the SDK around a running gateway. `caller_of` tells who sent a request.

    The tools of these names are listed, in this order, and can be called; there are no others.
    """
    tools = {name: TOOLS[name] for name in names}
    server: Server[Any] = Server(
        "amos",
        version=__version__,
        title="AMOS",
        description="Web search that falls back, does not pay twice, and says why.",
        instructions=mcp_texts.instructions(names),
        cache_hints=dict.fromkeys(
            ("server/discover", "tools/list", *EMPTY_LISTS), CacheHint(ttl_ms=LIST_TTL_MS, scope="public")
        ),
        # No argument of ours travels in a header; without this the SDK would list all tools on every call.
        get_tool_input_schema=lambda _name: None,
    )
    # Spans are derived from recorded events; the SDK's own would tell of the same call a second time.
    server.middleware.clear()
    listed = {"resultType": "complete", "tools": [tool.listed() for tool in tools.values()]}

    async def list_tools(_context: Context, _params: PaginatedRequestParams) -> dict[str, Any]:
        return listed

    async def call_tool(context: Context, params: CallToolRequestParams) -> dict[str, Any]:
        tool = tools.get(params.name)
        if tool is None:
            raise MCPError(code=INVALID_PARAMS, message=f"Unknown tool. There are {', '.join(tools)}.")
        caller = msgspec.structs.replace(caller_of(context), method="tools/call", target=tool.name)
        visit = Visit(gateway, _traced(caller, context), _watch(context))
        try:
            return _found(await tool.run(visit, params.arguments or {}))
        except GatewayError as error:
            return _failed(mcp_texts.explain(error))
        except Exception as error:  # noqa: BLE001 - the outermost frame we own: the model may learn no more
            _log.error("unexpected failure of a tool", exc_info=error)
            return _failed(mcp_texts.INTERNAL_ERROR)

    server.add_request_handler("tools/list", PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    server.add_request_handler("resources/read", ReadResourceRequestParams, _read_nothing)
    server.add_request_handler("prompts/get", GetPromptRequestParams, _get_nothing)
    for method, member in EMPTY_LISTS.items():
        server.add_request_handler(method, PaginatedRequestParams, _empty(member))
    return server


def operator(_context: Context) -> Caller:
    """The caller at the other end of standard input, who has started this very process."""
    return Caller(door=DOOR, is_in_process=True)


def _empty(member: str) -> Callable[[Context, PaginatedRequestParams], Awaitable[dict[str, Any]]]:
    async def list_nothing(_context: Context, _params: PaginatedRequestParams) -> dict[str, Any]:
        return {"resultType": "complete", member: []}

    return list_nothing


async def _read_nothing(_context: Context, params: ReadResourceRequestParams) -> dict[str, Any]:
    raise MCPError(code=INVALID_PARAMS, message="There are no resources.", data={"uri": str(params.uri)})


async def _get_nothing(_context: Context, _params: GetPromptRequestParams) -> dict[str, Any]:
    raise MCPError(code=INVALID_PARAMS, message="There are no prompts.")


def _found(result: Result) -> dict[str, Any]:
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": result.text}],
        "structuredContent": result.content,
        "_meta": result.meta,
    }


def _failed(text: str) -> dict[str, Any]:
    return {"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": True}


def _traced(caller: Caller, context: Context) -> Caller:
    """The caller with the trace that the request names in its `_meta`, which is nearer than a header."""
    traceparent = context.meta.get("traceparent") if context.meta else None
    if not isinstance(traceparent, str):
        return caller
    trace_id, parent_span_id = trace_of(traceparent.encode("ascii", "replace"))
    if not trace_id:
        return caller
    return msgspec.structs.replace(caller, trace_id=trace_id, parent_span_id=parent_span_id)


def _watch(context: Context) -> Watch:
    if context.meta is None or context.meta.get("progress_token") is None:
        return _wait
    session = context.session

    async def wait_and_tell(call: Call[Any], answer: Awaitable[Response]) -> Response:
        telling = asyncio.create_task(_tell(session, call.trail.events))
        try:
            return await answer
        finally:
            telling.cancel()
            # The SDK cancels by scopes of anyio, which would cut this short and leave the task to nobody.
            with anyio.CancelScope(shield=True):
                await asyncio.gather(telling, return_exceptions=True)

    return wait_and_tell


async def _wait(_call: Call[Any], answer: Awaitable[Response]) -> Response:
    return await answer


async def _tell(session: ServerSession, events: Sequence[Envelope]) -> None:
    """Report what the call does, until cancelled. The figure is the time it has taken, in seconds."""
    now = asyncio.get_running_loop().time
    begun = now()
    told, told_at = "", 0.0
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        passed_s = now() - begun
        text = mcp_texts.progress(events)
        if text != told or passed_s - told_at >= PROGRESS_EVERY_S:
            told, told_at = text, passed_s
            await session.report_progress(round(passed_s, 3), message=text)
