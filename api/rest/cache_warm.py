"""`POST /cache/warm`: fetches what is asked most, and tells of each search in a line of JSON as it is done.

A run may take minutes, so the answer begins with its first line, and every line keeps proxies patient.
Whoever closes the connection ends the run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.routing import Route

from api.rest.dialects.fields import decode_object
from api.rest.exchange import read_body
from api.rest.health import CAREFUL
from api.rest.visitor import visitor_of
from api.warming_run import Lines, telling, wish_of
from orchestrator.errors import GatewayError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from orchestrator.gateway import Gateway

HEAD: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/x-ndjson"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx passes on each line as it comes
        *CAREFUL,
    ],
}


def routes(gateway: Gateway) -> list[Route]:
    """The routes of this file."""
    return [Route("/cache/warm", WarmEndpoint(gateway), methods=["POST"])]


class WarmEndpoint:
    """The endpoint, as an ASGI application."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Warm, for whoever has the scope `admin`. Raises GatewayError until the first line is sent."""
        await self._gateway.principal_for(visitor_of(scope).caller(), "admin")
        body = await read_body(receive)
        wish = wish_of(decode_object(body) if body else {})
        async with telling(self._gateway.warming, wish) as lines:
            watch = asyncio.create_task(_until_gone(receive, lines), name="client of a warming")
            try:
                await _send_lines(lines, send)
            finally:
                watch.cancel()
                await asyncio.wait([watch])


async def _send_lines(lines: Lines, send: Send) -> None:
    has_begun = False
    try:
        async for line in lines:
            if not has_begun:
                has_begun = True
                await send(HEAD)
            await _send_line(send, line)
    except GatewayError as error:
        if not has_begun:
            raise
        await _send_line(send, {"error": {"code": error.code, "message": error.message}})
    await send({"type": "http.response.body", "body": b""})


async def _send_line(send: Send, line: dict[str, Any]) -> None:
    body = msgspec.json.encode(line) + b"\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(receive: Receive, lines: Lines) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    lines.cancel()
