"""`/mcp`: what a request must be before the SDK sees it, and how it ends when its client hangs up.

Everything that HTTP itself can refuse is refused here: a caller nobody knows (401), another method than POST
(405), a body that is too large (413) or no JSON-RPC request (400). The SDK would open an endless stream for a
GET, and repeat its parser's words about a body.

The Host and the Origin are the guard's business, which has looked at them on every route before; the SDK's
own look is switched off, because it would refuse names that an operator has allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import INVALID_REQUEST, PARSE_ERROR
from starlette.types import Message, Receive, Scope, Send

from api.mcp_server import DOOR, Context, mcp_server
from api.rest.exchange import JSON_TYPE, NO_SNIFFING, ClientLeft, read_body, send_answer
from api.rest.problems import Problem, method_not_allowed
from api.rest.visitor import visitor_of
from orchestrator import limits
from orchestrator.gateway import Gateway
from orchestrator.model import Caller

CALLER_KEY = "amos.caller"
"""Where in the ASGI scope the caller waits for the tool that is called."""

WATCH_AFTER_S = 0.05
"""chosen: a call that takes longer is watched for its client hanging up; a cached answer never is."""

_GUARDED_BEFORE = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class _Envelope(msgspec.Struct):
    """A JSON-RPC request or notification, as far as it must be right to be answered as one."""

    jsonrpc: Literal["2.0"]
    method: str
    id: str | int | msgspec.UnsetType = msgspec.UNSET
    params: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder().encode


class McpEndpoint:
    """Serves `/mcp` while `running` lasts. Stateless: any request may reach any instance."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._at_once: StreamableHTTPSessionManager | None = None
        self._streaming: StreamableHTTPSessionManager | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold what the SDK needs to serve; to be entered and left by one task."""
        server = mcp_server(self._gateway, _caller_of)
        at_once, streaming = (
            StreamableHTTPSessionManager(
                server,
                json_response=json_response,
                stateless=True,
                security_settings=_GUARDED_BEFORE,
                max_request_body_size=limits.BODY_BYTES_MAX,
            )
            for json_response in (True, False)
        )
        async with at_once.run(), streaming.run():
            self._at_once, self._streaming = at_once, streaming
            try:
                yield
            finally:
                self._at_once = self._streaming = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem and Unauthenticated."""
        visitor = visitor_of(scope)
        caller = msgspec.structs.replace(visitor.caller(), door=DOOR)
        await self._gateway.principal_for(caller)
        if scope["method"] != "POST":
            raise method_not_allowed(scope["method"], b"POST")
        if not visitor.headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise Problem(415, "not_json", "Send the request as Content-Type: application/json.")
        body = await read_body(receive)
        if (fault := _fault(body)) is not None:
            await send_answer(send, 400, [JSON_TYPE, NO_SNIFFING], fault)
            return
        scope[CALLER_KEY] = caller
        messages = _replay(body, receive)
        # A stream costs nearly twice as much as an answer at once, so only who wants progress gets one.
        if b'"progressToken"' in body and b"text/event-stream" in visitor.headers.get(b"accept", b""):
            await _running(self._streaming).handle_request(scope, messages, send)
        else:
            # A stream is watched by the SDK; an answer at once is not.
            async with _until_hung_up(receive):
                await _running(self._at_once).handle_request(scope, messages, send)


def _caller_of(context: Context) -> Caller:
    assert context.request is not None  # a message without its request has come by no way of ours
    caller: Caller = context.request.scope[CALLER_KEY]
    return caller


def _running(manager: StreamableHTTPSessionManager | None) -> StreamableHTTPSessionManager:
    if manager is None:
        raise Problem(503, "not_running", "This instance is starting or stopping.")
    return manager


def _fault(body: bytes) -> bytes | None:
    """The JSON-RPC error for a body that is no request, `None` for one that is."""
    try:
        _decode(body)
    except msgspec.ValidationError:
        return _error(INVALID_REQUEST, "The body must be one JSON-RPC 2.0 request or notification, no batch.")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _error(PARSE_ERROR, "The body is not valid JSON.")
    return None


def _error(code: int, message: str) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}})


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body we have read, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


@contextlib.asynccontextmanager
async def _until_hung_up(receive: Receive) -> AsyncIterator[None]:
    """Cancel what runs inside when the client closes the connection. Raises ClientLeft in that case.

    Only a call that takes a while is watched: the watch is a task, and a cached answer needs none.
    """
    serving = asyncio.current_task()
    assert serving is not None
    watching: list[asyncio.Task[None]] = []

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        serving.cancel()

    loop = asyncio.get_running_loop()
    timer = loop.call_later(WATCH_AFTER_S, lambda: watching.append(loop.create_task(watch())))
    try:
        yield
    except asyncio.CancelledError as cut:
        has_left = watching and watching[0].done() and not watching[0].cancelled()
        if has_left and not serving.uncancel():
            raise ClientLeft from cut
        raise
    finally:
        timer.cancel()
        for task in watching:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
