"""Where the time of a cached `web_search` by MCP goes: the same call through more and more of the layers.

In this process and without a server, so that processor time is all there is: the tool alone, with its look
into the cache, its record and its JSON; the SDK with a tool that returns the same result as a constant; both
together, as `/mcp` has them. What a server adds for its connections is in `./amos bench mcp`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Message

from api.mcp_calls import CALLER_KEY, DOOR, Visit
from api.mcp_endpoint import McpEndpoint, tools_of
from api.mcp_tools import WEB_SEARCH
from api.mcp_transport import served
from api.middleware.guard import Guard
from benchmarks.bare_mcp import bare_server
from benchmarks.mcp_hit import ERAS, call
from orchestrator.model import Call, Caller, Response
from tests.support.memory_gateway import MemoryGateway

ROUND_CALLS = 200
CALLER = Caller(door=DOOR, is_local_operator=True)
Step = Callable[[], Awaitable[object]]


async def cpu_us(step: Step, seconds: float) -> float:
    """Processor time of one call, in microseconds."""
    for _ in range(ROUND_CALLS):
        await step()
    count, begun_s, until = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        for _ in range(ROUND_CALLS):
            await step()
        count += ROUND_CALLS
    return 1e6 * (time.process_time() - begun_s) / count


def asked(app: ASGIApp, request: bytes, memory: MemoryGateway) -> Step:
    """One request, given to an application and answered; what was recorded before it is forgotten."""
    head, _, body = request.partition(b"\r\n\r\n")
    headers = [(b"host", b"127.0.0.1:8000")]
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        if name.lower() != b"host":
            headers.append((name.lower(), value))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/mcp",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        CALLER_KEY: CALLER,
    }

    async def step() -> None:
        memory.journal.frames.clear()
        sent = [False]

        async def receive() -> Message:
            if sent[0]:
                await asyncio.Event().wait()
            sent[0] = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            assert message.get("status", 200) == 200, message

        await app(dict(scope), receive, send)

    return step


def tool_of(memory: MemoryGateway) -> Step:
    """The tool and the gateway behind it, without the protocol."""

    async def wait(_call: Call[Any], answer: Awaitable[Response]) -> Response:
        return await answer

    async def step() -> object:
        memory.journal.frames.clear()
        visit = Visit(memory.gateway, CALLER, wait)
        return await WEB_SEARCH.run(visit, {"query": "how do circuit breakers recover"})

    return step


async def measure(seconds: float) -> None:
    """Measure and print."""
    memory = MemoryGateway()
    tool = tool_of(memory)
    found: Any = await tool()
    result = {
        "resultType": "complete",
        "content": [{"type": "text", "text": found.text}],
        "structuredContent": found.content,
    }
    endpoint = McpEndpoint(memory.gateway, tools_of(memory.gateway))
    ours = Guard(endpoint, memory.gateway.refused)
    print(f"  answer of {len(json.dumps(result))} bytes, processor time of each call in microseconds")
    print(f"    {'the tool alone':<35} {await cpu_us(tool, seconds):6.0f}")
    async with endpoint.running(), served(bare_server(result)) as bare:
        for era in ERAS:
            request = call(era, 8000)
            for what, app in (("the SDK and a constant", bare.at_once), ("/mcp, guard and all", ours)):
                cost_us = await cpu_us(asked(app, request, memory), seconds)
                print(f"    {era}: {what:<23} {cost_us:6.0f}")
    await memory.aclose()


def run(seconds: float) -> bool:
    """Measure and print; there is nothing to promise."""
    asyncio.run(measure(seconds / 6))
    return True
