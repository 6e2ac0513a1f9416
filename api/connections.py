"""Serves connections with Hypercorn, and does itself what Hypercorn 0.18 does not do or does at a price.

- It waits for a connection's next request with a timer instead of with a task. Hypercorn's task outlives the
  client's end of the connection and holds the descriptor for all of `keep_alive_timeout`: a thousand short
  connections within that time use up a common limit of descriptors. And it costs a cached answer a sixth of
  its time.
- It gives the head of a request `HEAD_S`, and a client that takes nothing of its answer `STALL_S`: Hypercorn
  waits for both without an end of their own.
- It refuses a request that gives its length twice over, and the change to HTTP/2 in clear text on request:
  with both a proxy in front can be made to let a second, hidden request through.
- It reads the rest of a body whose request was answered without it, also in HTTP/2, and forgets what nobody
  will read: Hypercorn keeps ten parts of a body, and waits for ever to add another once the call has ended.
- It says in a body what it refuses, where Hypercorn sends a bare status.

Hypercorn offers no other place for this: the classes that serve a connection are named in its modules only.
tests/unit/api/test_connections.py fails when another version no longer fits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, ClassVar

import h2.events
import h2.exceptions
import h11
import msgspec
from hypercorn import protocol
from hypercorn.asyncio import run, tcp_server
from hypercorn.asyncio.task_group import TaskGroup, _handle
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from typing_extensions import override

IDLE_S = 0.5
"""chosen: a connection that is silent for so long gets the task that Hypercorn gives it at once. Stopping
waits for that task to see it, so a longer time would show."""

HEAD_S = 10.0
"""chosen: from the first byte of a request to the end of its head; as long as its body may take."""

HEADERS_MAX = 200
"""chosen: browsers behind three proxies send fifty. The 16 KB for a head that Hypercorn knows bound only what
comes in parts; in one packet it takes 64 KB."""

STALL_S = 20.0
"""chosen: a client that has taken nothing for so long has gone, or holds our memory on purpose."""

LINGER_S = 0.5
"""chosen: a request that was on its way when the server began to stop is here by then and is answered."""

FAREWELL_S = 0.5
"""chosen: so long a client over TLS may take to answer our goodbye (asyncio would wait 30 s)."""

WRITE_BUFFER_BYTES = 65_536
"""asyncio's own high-water mark: what is below it needs no waiting."""

_CODES = {400: "bad_request", 431: "head_too_large", 501: "unknown_transfer_coding"}

_log = logging.getLogger("amos.connections")


class IdleTimer:
    """Begins the task of an idle connection once it has been idle for `IDLE_S`; Hypercorn's SingleTask."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._head: asyncio.TimerHandle | None = None

    async def restart(self, task_group: Any, action: Callable[[], Awaitable[None]]) -> None:
        """The connection is idle from now on: `action` waits, and closes it in the end."""
        await self.stop()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._begin, task_group, action)

    async def stop(self) -> None:
        """The connection is idle no longer, or gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._head is not None:
            self._head.cancel()
            self._head = None
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait({task})

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way; the head of one may have begun."""
        return self._timer is not None or self._task is not None

    def expect_head(self, task_group: Any, action: Callable[[], Awaitable[None]]) -> None:
        """A request has begun: `action` closes the connection unless its head is complete within `HEAD_S`."""
        if self._head is None:
            self._head = asyncio.get_running_loop().call_later(HEAD_S, _spawn, task_group, action)

    def _begin(self, task_group: Any, action: Callable[[], Any]) -> None:
        self._timer = None
        self._task = _spawn(task_group, action)


def _spawn(task_group: Any, action: Callable[[], Any]) -> asyncio.Task[None]:
    # As Hypercorn's own SingleTask does.
    task: asyncio.Task[None] = task_group._task_group.create_task(action())  # noqa: SLF001
    return task


class Inbox(asyncio.Queue[Any]):
    """What a call has still to be told. Bounded while the call may read it; afterwards nobody waits."""

    is_read = True

    def let_go(self) -> None:
        """The call has ended: whoever waits to add something waits no longer."""
        self.is_read = False
        while not self.empty():
            self.get_nowait()

    @override
    def full(self) -> bool:
        """Whether the next to add something has to wait."""
        return self.is_read and super().full()

    @override
    async def put(self, item: Any) -> None:
        """Add a part of the body, when there is room. That the client has left always has room."""
        if item["type"] == "http.disconnect":
            self.is_read = False
        await super().put(item)


class Calls(TaskGroup):
    """The calls of one connection; Hypercorn's TaskGroup."""

    @override
    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        """Begin a call; gives what adds to its inbox."""
        inbox = Inbox(config.max_app_queue_size)

        async def send_or_end(message: Any) -> None:
            if message is None:  # the call has ended
                inbox.let_go()
            await send(message)

        # The last two are for WSGI.
        self.spawn(_handle, app, config, scope, inbox.get, send_or_end, None, None)
        return inbox.put


class Connection(TCPServer):
    """One connection. It is let go of when its client has closed it and its calls are done."""

    idle_task: IdleTimer  # type: ignore[assignment]
    open: ClassVar[int] = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.idle_task = IdleTimer()

    @override
    async def run(self) -> None:
        """Serve it to its end. What the protocol trips over ends this connection and nothing else."""
        Connection.open += 1
        try:
            await super().run()
        except Exception as error:  # noqa: BLE001 - a stranger's bytes; asyncio would log a traceback
            _log.debug("a connection was given up", exc_info=error)
        finally:
            Connection.open -= 1

    @override
    async def protocol_send(self, event: Event) -> None:
        """Send what the protocol has to say; waits only for a client that is slow to take it."""
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        async with self.send_lock:
            try:
                self.writer.write(event.data)
                if self.writer.transport.get_write_buffer_size() > WRITE_BUFFER_BYTES:
                    await self._drain()
            except (ConnectionError, RuntimeError):
                await self.protocol.handle(Closed())

    async def _drain(self) -> None:
        """Wait until the client has taken most. Raises ConnectionError if it stops taking."""
        transport = self.writer.transport
        while True:
            left = transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(STALL_S):
                    return await self.writer.drain()
            except TimeoutError:
                if transport.get_write_buffer_size() >= left:
                    transport.abort()
                    raise ConnectionAbortedError from None

    @override
    async def _read_data(self) -> None:
        """Hand on what the client sends until it sends no more, then stop waiting for it.

        Without `config.read_timeout`, which we do not set and Hypercorn would pay for with each read.
        """
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except OSError:
                break
            await self.protocol.handle(RawData(data))
            if self.idle_task.is_idle and isinstance(self.protocol.protocol, H11Protocol):
                self.idle_task.expect_head(self._task_group, self._initiate_server_close)
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    @override
    async def _idle_timeout(self) -> None:
        """Close the connection when it is idle for too long, or soon after the server begins to stop."""
        try:
            async with asyncio.timeout(self.config.keep_alive_timeout):
                await self.context.terminated.wait()
            await asyncio.sleep(LINGER_S)
        except TimeoutError:
            pass
        await asyncio.shield(self._initiate_server_close())

    @override
    async def _initiate_server_close(self) -> None:
        """Close an idle connection, also if its client does not answer the goodbye of TLS."""
        await super()._initiate_server_close()
        self.loop.call_later(FAREWELL_S, self._part, self.loop.time() + STALL_S)

    def _part(self, latest: float) -> None:
        """Close for good what is closing, as soon as the client has taken all; at `latest` in any case."""
        transport = self.writer.transport
        if transport.get_write_buffer_size() and self.loop.time() < latest:
            self.loop.call_later(FAREWELL_S, self._part, latest)
        else:
            transport.abort()


class Http1(H11Protocol):
    """HTTP/1.1 on one connection."""

    @override
    async def _check_protocol(self, event: h11.Request) -> None:
        """Let a client speak HTTP/2 that begins with it; `Upgrade: h2c` is ignored (RFC 9113, 3.1)."""
        if event.method == b"PRI":
            # No request yet: without this the connection would never again count as idle, but be held.
            await self.send(Updated(idle=True))
            await super()._check_protocol(event)

    @override
    async def _create_stream(self, request: h11.Request) -> None:
        """Begin with a request, or refuse one whose end is not certain (RFC 9112, 6.1)."""
        names = [name for name, _ in request.headers]
        if b"transfer-encoding" in names and b"content-length" in names:
            await self._refuse(HTTPStatus.BAD_REQUEST)
        elif len(names) > HEADERS_MAX:
            await self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            await super()._create_stream(request)

    async def _refuse(self, status: HTTPStatus) -> None:
        await self._send_error_response(status)
        await self.send(Closed())

    @override
    async def _send_error_response(self, status_code: int) -> None:
        """Refuse what is no request: problem details (RFC 9457), and the end of the connection."""
        body = _problem(status_code)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class Http2(H2Protocol):
    """HTTP/2 on one connection."""

    @override
    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        """Take what came; the rest of a body whose request was answered already is thrown away.

        Hypercorn would give up the connection, and with it every other call on it.
        """
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    self.connection.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id
                    )
            else:
                await super()._handle_events([event])
        await self._flush()


def _problem(status: int) -> bytes:
    title = HTTPStatus(status).phrase
    code = _CODES.get(status, "bad_request")
    detail = "The head of the request is too large." if status == 431 else "This is not valid HTTP/1.1."
    return msgspec.json.encode(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    )


def open_connections() -> int:
    """How many connections this process serves at the moment."""
    return Connection.open


def use_our_connections() -> None:
    """Have Hypercorn serve every connection of this process with a `Connection` from now on."""
    run.TCPServer = Connection  # type: ignore[attr-defined, assignment]
    tcp_server.TaskGroup = Calls  # type: ignore[attr-defined]
    protocol.H11Protocol = Http1  # type: ignore[attr-defined]
    protocol.H2Protocol = Http2  # type: ignore[attr-defined]
