"""A small HTTP/1.1 server that can also break the protocol: cut, drip, hang, talk nonsense.

Servers made for production do not let a test misbehave like that. This one reads requests with a
Content-Length, keeps connections alive and answers one request at a time on each; it does nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from typing_extensions import override

HEAD_BYTES_MAX = 65_536
"""A request whose head is longer is cut off."""

GARBAGE = b"SSH-2.0-simulated\r\n\x00\xff\r\n\r\n"
"""What a server says that speaks another protocol."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request. Header names are in lower case; `path` has no query string, `target` is as it was sent."""

    method: str
    target: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, whole; the server adds Content-Length."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire."""
        reason = HTTPStatus(self.status).phrase if self.status in HTTPStatus._value2member_map_ else ""
        lines = [f"HTTP/1.1 {self.status} {reason}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class Wire:
    """One connection as a handler sees it: answer properly or misbehave, once per request."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def send(self, answer: Answer) -> None:
        """Answer as one should."""
        self._transport.write(answer.encode())

    def close(self, partial: bytes = b"") -> None:
        """Say `partial` and close in good order."""
        self._transport.write(partial)
        self._transport.close()

    def reset(self) -> None:
        """Cut the connection with a RST."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def reset_after(self, partial: bytes) -> None:
        """Say `partial`, give it time to arrive, and cut."""
        self._transport.write(partial)
        await asyncio.sleep(0.02)
        self.reset()

    async def drip(self, answer: Answer, interval_s: float, piece_bytes: int = 16) -> None:
        """Answer properly, a few bytes at a time."""
        data = answer.encode()
        for start in range(0, len(data), piece_bytes):
            self._transport.write(data[start : start + piece_bytes])
            await asyncio.sleep(interval_s)

    async def stream(self, answer: Answer) -> None:
        """Answer properly, but as a stream that is never ended."""
        head, _, body = answer.encode().partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length:")]
        self._transport.write(b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n")
        self._transport.write(b"%x\r\n%s\r\n" % (len(body), body))
        await asyncio.Event().wait()

    async def hang(self) -> None:
        """Never answer; ends when the client goes away."""
        await asyncio.Event().wait()


Handler = Callable[[Request, Wire], Awaitable[None]]


class HttpServer:
    """The server; an async context manager. Port 0 takes a free one, which `port` then tells."""

    def __init__(self, handler: Handler, host: str = "127.0.0.1", port: int = 0) -> None:
        self._handler = handler
        self._host = host
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = port
        self.accepted = 0
        """Connections ever made."""

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, self._host, self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.abort()
            await asyncio.gather(*(c.ended for c in tuple(self._connections)), return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def _accept(self) -> _Connection:
        self.accepted += 1
        return _Connection(self._handler, self._connections)


class _Connection(asyncio.Protocol):
    def __init__(self, handler: Handler, connections: set[_Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self.ended = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._task is not None:
            self._task.cancel()
        if not self.ended.done():
            self.ended.set_result(None)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._transport.abort()

    def _next(self) -> None:
        if self._task is not None or self._transport.is_closing():
            return
        request = self._parse()
        if request is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: Request) -> None:
        try:
            await self._handler(request, Wire(self._transport))
        except ConnectionError:
            self._transport.abort()
        self._task = None
        if request.headers.get("connection", "").lower() == "close":
            self._transport.close()
        self._next()

    def _parse(self) -> Request | None:
        """The next whole request in the buffer, if it is all there."""
        if self._buffer and not self._buffer[:1].isalpha():
            # A TLS greeting, for example: without an answer its sender would wait for ever.
            self._transport.write(GARBAGE)
            self._transport.close()
            return None
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                self._transport.abort()
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length") or 0)
        if len(self._buffer) < end + 4 + length:
            return None
        body = self._buffer[end + 4 : end + 4 + length]
        self._buffer = self._buffer[end + 4 + length :]
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        return Request(method=method, target=target, path=path, query=query, headers=headers, body=body)


class DeadPort:
    """An address that refuses every connection: the port is taken, nobody listens. A context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket()

    def __enter__(self) -> DeadPort:
        self._socket.bind(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()
