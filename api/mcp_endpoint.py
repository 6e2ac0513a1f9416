"""`/mcp`: what a request must be before the SDK sees it, and how it ends when its client hangs up.

What HTTP itself can refuse is refused here: a caller nobody knows (401), another method than POST (405), a
client that does not read JSON (406), a body that is too large (413) or no JSON-RPC request (400). The SDK
would open an endless stream for a GET, and repeat its parser's words about a body.

The Host and the Origin are the guard's business, which has looked at them on every route before; the SDK's
own look is switched off, because it would refuse names that an operator has allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import msgspec
from starlette.types import Message, Receive, Scope, Send

from api.mcp_calls import CALLER_KEY, DOOR
from api.mcp_json_rpc import error_body, fault_of
from api.rest.exchange import JSON_TYPE, NO_SNIFFING, ClientLeft, read_body, send_answer
from api.rest.problems import Problem, method_not_allowed
from api.rest.visitor import visitor_of
from api.settings_mcp import TOOL_NAMES
from orchestrator.gateway import Gateway

if TYPE_CHECKING:
    from api.mcp_transport import Transports

JSON_KINDS = (b"application/json", b"application/*", b"*/*")
"""What a client may accept to be answered; without any of these the SDK would say 406 and nothing else."""

WATCH_AFTER_S = 0.05
"""chosen: a call that takes longer is watched for its client hanging up; a cached answer never is."""


Load = Callable[[], "AbstractAsyncContextManager[Transports]"]
"""Makes what serves requests, which may take a second; it is called in a thread."""


def tools_of(gateway: Gateway, names: tuple[str, ...] = TOOL_NAMES) -> Load:
    """Loads the SDK with the tools of these names."""

    def load() -> AbstractAsyncContextManager[Transports]:
        opened: AbstractAsyncContextManager[Transports] = importlib.import_module(
            "api.mcp_transport"
        ).transports(gateway, names)
        return opened

    return load


class McpEndpoint:
    """Serves `/mcp` while `running` lasts. Stateless: any request may reach any instance."""

    def __init__(self, gateway: Gateway, load: Load) -> None:
        self._gateway = gateway
        self._load = load
        self._is_running = False
        self._stopping = asyncio.Event()
        self._opened: asyncio.Future[Transports] | None = None
        self._holder: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Accept requests; what the first of them opens is closed at the end."""
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            self._stopping.set()
            if self._holder is not None:
                await self._holder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem and Unauthenticated."""
        visitor = visitor_of(scope)
        caller = msgspec.structs.replace(visitor.caller(), door=DOOR)
        await self._gateway.principal_for(caller)
        if scope["method"] != "POST":
            raise method_not_allowed(scope["method"], b"POST")
        if not visitor.headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise Problem(415, "not_json", "Send the request as Content-Type: application/json.")
        accepted = visitor.headers.get(b"accept", b"").lower()
        if not any(kind in accepted for kind in JSON_KINDS):
            raise Problem(406, "not_acceptable", "Ask with Accept: application/json, text/event-stream.")
        body = await read_body(receive)
        if (fault := fault_of(body)) is not None:
            await send_answer(send, 400, [JSON_TYPE, NO_SNIFFING], error_body(fault))
            return
        scope[CALLER_KEY] = caller
        messages = _replay(body, receive)
        # A stream costs nearly twice as much as an answer at once, so only who wants progress gets one.
        if b'"progressToken"' in body and b"text/event-stream" in accepted:
            await (await self._transports()).streaming(scope, messages, send)
        else:
            # A stream is watched by the SDK; an answer at once is not.
            async with _until_hung_up(receive):
                await (await self._transports()).at_once(scope, messages, send)

    async def _transports(self) -> Transports:
        """The SDK, loaded by the first request: see api/mcp_transport.py. Raises Problem (503)."""
        if not self._is_running:
            raise Problem(503, "not_running", "This instance is starting or stopping.")
        if self._opened is None:
            loop = asyncio.get_running_loop()
            self._opened = loop.create_future()
            self._holder = loop.create_task(self._hold(self._opened))
        # Shielded: a client that hangs up meanwhile takes nothing away from the others.
        return self._opened.result() if self._opened.done() else await asyncio.shield(self._opened)

    async def _hold(self, opened: asyncio.Future[Transports]) -> None:
        """Open the transports, and close them in the same task, as the SDK demands."""
        try:
            # In a thread, so that other calls are answered while half a second of modules is read.
            opening = await asyncio.to_thread(self._load)
            async with opening as both:
                opened.set_result(both)
                await self._stopping.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)


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
