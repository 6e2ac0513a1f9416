"""Using a tool as the endpoint `/mcp` does, without a client and the wire."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from api.mcp_calls import Result, Visit
from api.mcp_tools import TOOLS
from orchestrator.model import Call, Caller, Response
from tests.support.memory_gateway import MemoryGateway


async def use(memory: MemoryGateway, name: str, /, **arguments: Any) -> Result:
    """What the tool gives the local operator. Raises GatewayError."""

    async def wait(_call: Call[Any], answer: Awaitable[Response]) -> Response:
        return await answer

    visit = Visit(memory.gateway, Caller(door="mcp", is_local_operator=True), wait)
    return await TOOLS[name].run(visit, arguments)
