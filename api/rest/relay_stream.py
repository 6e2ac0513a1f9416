"""A research whose making is looked on: server-sent events from Tavily to the caller, as they come.

The answer begins with the first of them; what fails before is an answer of its own, what fails later an event
`error`. A caller who leaves ends the call, since nobody else could ever read what comes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from api.rest.answer_headers import NO_STORE, correlation
from api.rest.dialects.tavily import NAME
from api.rest.exchange import NO_SNIFFING
from api.rest.limit_headers import limit_headers
from api.rest.problems import problem_of, render
from api.rest.search import send_failure
from api.rest.visitor import visitor_of
from orchestrator.errors import GatewayError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from api.rest.dialects.dialect import Asked
    from orchestrator.gateway import Gateway
    from orchestrator.model import Call
    from orchestrator.relays import RelayRequest

_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_NOT_HELD_BACK = (b"x-accel-buffering", b"no")
"""Asks nginx to pass each event on at once."""


class _Stream:
    """The answer while it is sent. `has_begun`: its head has left."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.has_begun = False
        self.call: Call[RelayRequest] | None = None

    async def __call__(self, piece: bytes) -> None:
        """Send a piece on, before the first one the head."""
        if not self.has_begun:
            assert self.call is not None
            self.has_begun = True
            trail = self.call.trail
            own = correlation(trail, visitor_of(self._scope).request_id)
            headers = [_EVENTS, _NOT_HELD_BACK, NO_STORE, NO_SNIFFING, *limit_headers(trail), *own]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Send the end of it."""
        await self(b"")
        await self._send({"type": "http.response.body", "body": b""})


async def answer_stream(
    gateway: Gateway, asked: Asked[RelayRequest], scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer one call with a stream, to its end or that of the caller's connection."""
    visitor, stream = visitor_of(scope), _Stream(scope, send)
    caller = visitor.caller(
        method=scope["method"], target="/research", dialect=NAME, credential=asked.credential
    )
    call = gateway.open(msgspec.structs.replace(asked.request, sink=stream), caller)
    stream.call = call
    working = asyncio.ensure_future(gateway.relay(call))
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in (working, leaving):
            one.cancel()
        await asyncio.wait((working, leaving))
    if working.cancelled():
        return
    error = working.exception()
    if error is not None:
        if not isinstance(error, GatewayError):
            raise error  # a fault of ours: the log has it, and the connection is cut
        if not stream.has_begun:
            await send_failure(scope, send, error, call)
            return
        _, body = render(problem_of(error), scope["path"], call.trail)
        # The empty line ends an event that broke off.
        await stream(b"\nevent: error\ndata: " + body + b"\n\n")
    await stream.end()


async def _left(receive: Receive) -> None:
    """Wait until the caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
