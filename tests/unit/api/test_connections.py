"""Connections that their client has closed are let go of at once, on the real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from hypercorn.asyncio import serve

from api import connections, server
from api.connections import IDLE_S, LINGER_S
from api.server import hypercorn_config
from tests.support.certificates import make
from tests.support.processes import until
from tests.support.stillness import undisturbed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECTIONS = 50

LET_GO_S = 1.0
"""Far less than the keep-alive time, for which Hypercorn alone would hold each of them."""

MANY_PARTS = b"1\r\n.\r\n" * 100
"""A body without an end, in more parts than Hypercorn keeps for whoever may want them."""

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def answer_ok(scope, receive, send):
    """Answer every request with an empty 200, and no lifespan."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def serving(app, keep_alive_s: float | None = None, tls=None) -> AsyncIterator[int]:
    """The application as a worker serves it; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    stop = asyncio.Event()
    config = hypercorn_config(listener.detach(), tls=tls)
    config.keep_alive_timeout = keep_alive_s or config.keep_alive_timeout
    served = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait, mode="asgi"))
    try:
        yield port
    finally:
        stop.set()
        await served


def sockets() -> int:
    """How many sockets this process holds."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(entry.readlink()).startswith("socket:")
    return found


async def settles_at(count: int) -> None:
    """Wait until no more than so many sockets are held. Raises TimeoutError after `LET_GO_S`."""
    await until(lambda: sockets() <= count, LET_GO_S, lambda: f"{sockets()} sockets instead of {count}")


@pytest.mark.parametrize("request_bytes", [REQUEST, b""], ids=["asked", "silent"])
async def test_a_closed_connection_is_let_go(request_bytes):
    """A client that closes, after an answer or without a word, leaves no descriptor behind."""
    async with serving(answer_ok) as port:
        await ask(port, REQUEST)
        before = sockets()

        for _ in range(CONNECTIONS):
            await ask(port, request_bytes)

        await settles_at(before)


async def test_a_connection_that_was_idle_for_long_is_let_go_when_it_closes():
    """The wait for a next request ends with the connection, also when it has begun in earnest."""
    async with serving(answer_ok) as port:
        before = sockets()
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for reader, writer in connections:
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(2 * IDLE_S)

        for _, writer in connections:
            writer.close()
            await writer.wait_closed()

        await settles_at(before)


async def test_a_connection_closed_before_its_answer_is_let_go():
    """A client that does not wait for its answer leaves nothing behind either, once the call is done."""
    asked = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def answer_late(scope, receive, send):
        if scope["type"] == "http":
            asked.release()
            await go_on.wait()
        await answer_ok(scope, receive, send)

    async with serving(answer_late) as port:
        before = sockets()
        for _ in range(CONNECTIONS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            await asked.acquire()
            writer.close()
            await writer.wait_closed()
        go_on.set()

        await settles_at(before)


@pytest.mark.parametrize("answer_s", [0.0, 0.1], ids=["at once", "later"])
async def test_a_body_nobody_reads_holds_nothing(answer_s):
    """A request that was answered without its body leaves no task and no memory behind, whatever is in it."""

    async def answer_unread(scope, receive, send):
        await asyncio.sleep(answer_s)
        await answer_ok(scope, receive, send)

    async with serving(answer_unread) as port:
        await ask(port, REQUEST)
        before = len(asyncio.all_tasks())
        for _ in range(5):
            await ask(
                port, b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + MANY_PARTS
            )

        await until(lambda: len(asyncio.all_tasks()) <= before, LET_GO_S, lambda: str(asyncio.all_tasks()))


async def test_closed_http2_connections_are_let_go():
    """The same holds for HTTP/2, which is served as ever."""
    async with serving(answer_ok) as port:
        before = sockets()
        for _ in range(5):
            async with httpx.AsyncClient(http1=False, http2=True, trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{port}/")
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2")

        await settles_at(before)


async def test_a_silent_connection_is_closed_after_the_keep_alive_time():
    """A client that sends nothing more is hung up on, so that it does not hold its descriptor for ever."""
    async with serving(answer_ok, keep_alive_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")

        async with asyncio.timeout(IDLE_S + 2.0):
            assert await reader.read() == b""
        writer.close()


async def test_idle_connections_do_not_hold_up_a_stop():
    """A server that stops hangs up on whoever waits without a request."""
    async with serving(answer_ok) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        begun = time.monotonic()

    assert time.monotonic() - begun < IDLE_S + 2.0
    writer.close()


async def ask(port: int, request_bytes: bytes) -> None:
    """One request, unless it is empty, and its answer, on a connection that is closed then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if request_bytes:
        writer.write(request_bytes)
        assert b" 200" in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_a_request_that_was_on_its_way_when_the_stop_came_is_answered():
    """An idle connection is not cut at once: a last request is answered, and told that it is the last."""

    async def attempt(_number: int) -> None:
        async with serving(answer_ok) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(1.5 * IDLE_S)
            late = asyncio.create_task(ask_late(reader, writer))

        answer = await late
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")

    await undisturbed(attempt, still_s=LINGER_S / 4)


async def ask_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Ask once more in a moment; all that comes until the server closes, nothing if it cuts us off."""
    await asyncio.sleep(LINGER_S / 4)
    writer.write(REQUEST)
    async with asyncio.timeout(5.0):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("before", [b"", REQUEST], ids=["first", "after an answer"])
async def test_a_head_that_does_not_end_is_given_up(monkeypatch, before):
    """A request whose head comes in drops is cut off after `HEAD_S`, however often a drop comes."""
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    async with serving(answer_ok) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if before:
            writer.write(before)
            await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET / HTTP/1.1\r\n")

        async with asyncio.timeout(5.0):
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"X-Drop: 1\r\n")
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(1), 0.05)
        writer.close()


async def test_a_head_in_two_parts_is_a_request(monkeypatch):
    """Whoever is done within `HEAD_S` is answered, and has the whole keep-alive time after that."""
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    async with serving(answer_ok) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST[:10])
        await asyncio.sleep(0.1)
        writer.write(REQUEST[10:])
        assert b" 200" in await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1.2)
        writer.write(REQUEST)
        assert b" 200" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_who_does_not_take_the_answer_is_hung_up_on(monkeypatch):
    """A client that lets a large answer lie holds neither its memory nor its connection for ever."""
    monkeypatch.setattr(connections, "STALL_S", 0.3)
    ended = asyncio.Event()

    async def answer_much(scope, receive, send):
        if scope["type"] == "http":
            body = bytes(30_000_000)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            ended.set()

    async with serving(answer_much) as port:
        before = sockets()
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        writer.write(REQUEST)
        async with asyncio.timeout(5.0):
            await ended.wait()
        await settles_at(before + 1)
        writer.transport.abort()


async def test_who_takes_the_answer_slowly_gets_all_of_it(monkeypatch):
    """Slow is not gone: as long as something is taken the rest is kept."""
    monkeypatch.setattr(connections, "STALL_S", 0.5)
    size = 8_000_000

    async def answer_much(scope, receive, send):
        if scope["type"] == "http":
            headers = [(b"content-length", b"%d" % size)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": bytes(size)})

    async with serving(answer_much) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        taken = 0
        async with asyncio.timeout(20.0):
            while taken < size:
                taken += len(await reader.read(400_000))
                await asyncio.sleep(0.02)
        writer.close()

    assert taken == size


async def test_a_handshake_that_does_not_end_is_given_up(monkeypatch, tmp_path):
    """A client that connects to HTTPS and says nothing is none."""
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.3)
    async with serving(answer_ok, tls=make(tmp_path)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async with asyncio.timeout(5.0):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("rest", [b"", b"\xff" * 10_000, bytes(9)])
async def test_an_http2_connection_without_a_request_is_closed(rest):
    """Whoever begins with the preface of HTTP/2, and then asks nothing, is idle like anybody else."""
    async with serving(answer_ok, keep_alive_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rest)

        async with asyncio.timeout(IDLE_S + 5.0):
            with contextlib.suppress(ConnectionError):
                assert b"HTTP/1.1" not in await reader.read()
        writer.close()
