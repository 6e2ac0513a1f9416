"""Connections made to hurt: slow, many, ambiguous, forged. Others are served, and little is held."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import pytest_asyncio

from api import connections
from orchestrator import limits
from tests.support.gateway_server import GatewayServer, serving
from tests.support.processes import AmosProcesses, until
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDLE_CONNECTIONS = 2_000
SLOW_CONNECTIONS = 100

BODY = b'{"query":"tide tables"}'
HIDDEN = b"GET /search?q=hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, tavily: TavilySimulator
) -> AsyncIterator[GatewayServer]:
    """One gateway for all of this file, believing a proxy that is not this machine."""
    async with serving(
        tmp_path_factory.mktemp("var"), tavily=tavily, trusted_proxies=("10.0.0.0/8",)
    ) as running:
        yield running


@pytest.fixture
def amos(shared: GatewayServer, tavily: TavilySimulator) -> GatewayServer:
    """The gateway, with a simulator that has forgotten every call."""
    tavily.clear()
    return shared


@pytest.fixture
def _all_files() -> Iterator[None]:
    """All the open files the system grants this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def refusal(answer: bytes, status: int) -> dict[str, object]:
    """The problem details of the only answer in these bytes, after which the connection was closed."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    assert b"server:" not in head.lower()
    problem: dict[str, object] = json.loads(body)
    assert problem["status"] == status
    return problem


# --- slow ---------------------------------------------------------------------------------------------------


async def test_slowloris(amos: GatewayServer, monkeypatch: pytest.MonkeyPatch):
    """A hundred heads that come in drops are cut off in time, and searches are answered meanwhile."""
    monkeypatch.setattr(connections, "HEAD_S", 1.0)

    async def drip() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", amos.port)
        writer.write(b"POST /search HTTP/1.1\r\nHost: localhost\r\n")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"X-Drop: 1\r\n")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.2)
        writer.close()

    dripping = [asyncio.create_task(drip()) for _ in range(SLOW_CONNECTIONS)]
    for turn in range(5):
        assert (await amos.search(f"tides {turn}")).status_code == 200
    async with asyncio.timeout(15.0):
        await asyncio.gather(*dripping)


@pytest.mark.usefixtures("_all_files")
async def test_two_thousand_idle_connections(tmp_path: Path):
    """They cost a descriptor each and nothing else: calls are answered, about as fast as without them."""
    async with AmosProcesses(tmp_path / "var", {}) as running:
        async with httpx.AsyncClient(base_url=running.base_url, timeout=20.0, trust_env=False) as asking:
            await percentile(asking)
            alone_s = await percentile(asking)
            address = (str(asking.base_url.host), asking.base_url.port or 0)
            idle = [socket.create_connection(address) for _ in range(IDLE_CONNECTIONS)]
            worker = running.pid("worker")
            await until(
                lambda: descriptors(worker) > IDLE_CONNECTIONS * 0.95,
                20.0,
                lambda: f"only {descriptors(worker)} are held",
            )
            crowded_s = await percentile(asking)
        for connection in idle:
            connection.close()
        await until(
            lambda: descriptors(worker) < IDLE_CONNECTIONS / 10,
            10.0,
            lambda: "the descriptors were kept",
        )
        assert running.pid("worker") == worker

    assert crowded_s < 5 * alone_s + 0.25


def descriptors(pid: int) -> int:
    """How many files and sockets the process holds."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def percentile(asking: httpx.AsyncClient) -> float:
    """The 99th percentile of the time a hundred cached searches take, one after the other, in seconds."""
    times = []
    for _ in range(100):
        begun = time.perf_counter()
        answer = await asking.post("/search", json={"query": "circuit breaker"})
        times.append(time.perf_counter() - begun)
        assert answer.status_code == 200
    return sorted(times)[-2]


# --- large --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [b"X-Large: " + b"a" * 100_000, b"\r\n".join(b"X-%d: a" % n for n in range(5_000))]
)
async def test_a_flood_of_headers_is_refused(amos: GatewayServer, tavily: TavilySimulator, headers: bytes):
    """A head that is too long or has too many fields is a 431 that says so."""
    answer = await amos.raw(b"POST /search HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n" + BODY)

    assert refusal(answer, 431)["code"] == "head_too_large"
    assert tavily.count == 0


async def test_many_small_headers_are_no_harm(amos: GatewayServer):
    """What fits is read."""
    headers = b"".join(b"X-%d: a\r\n" % n for n in range(150))
    answer = await amos.raw(
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + b"\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 200 ")


# --- ambiguous ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: %d\r\nTransfer-Encoding: chunked" % (len(HIDDEN) + 5),
        b"Transfer-Encoding: chunked\r\nContent-Length: 0",
        b"Content-Length: 0\r\nContent-Length: %d" % len(HIDDEN),
        b"Content-Length: 0, %d" % len(HIDDEN),
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Content-Length: +5",
        b"Content-Length: 0x10",
        b"X: y\r\n Folded: z\r\nContent-Length: 1_0",
    ],
)
async def test_a_request_of_uncertain_length_hides_no_other(
    amos: GatewayServer, tavily: TavilySimulator, headers: bytes
):
    """Where two readers could disagree on the end of a request, both it and what follows are refused."""
    answer = await amos.raw(
        b"POST /search HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n0\r\n\r\n" + HIDDEN
    )

    status = 501 if answer.startswith(b"HTTP/1.1 501") else 400
    refusal(answer, status)
    assert tavily.count == 0


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\n", b"-1\r\n", b"5\r\nhello!\r\n0\r\n\r\n", b"fffffffffffffffff1\r\n", b"1;" + b"x" * 20_000],
)
async def test_broken_chunks_ask_nobody(
    amos: GatewayServer, tavily: TavilySimulator, monkeypatch: pytest.MonkeyPatch, chunks: bytes
):
    """A body whose parts are no parts ends the connection."""
    monkeypatch.setattr(limits, "BODY_S_MAX", 0.5)
    answer = await amos.raw(
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + HIDDEN
    )

    assert answer.count(b"HTTP/1.1 200") == 0
    assert tavily.count == 0
    assert (await amos.search("tide tables")).status_code == 200


async def test_trailers_change_nothing(amos: GatewayServer):
    """Fields after the body are read and thrown away: none of them counts as a header."""
    chunked = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    answer = await amos.raw(
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked
        + b"X-Forwarded-For: 6.6.6.6\r\nHost: evil.example\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_requests_in_one_packet_are_answered_in_turn(amos: GatewayServer):
    """Pipelining is old, and allowed."""
    first = b"GET /search?q=first HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /search?q=last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = await amos.raw(first + first.replace(b"first", b"second") + last)

    assert answer.count(b"HTTP/1.1 200 ") == 3
    places = [answer.index(b'"query":"%b"' % word) for word in (b"first", b"second", b"last")]
    assert places == sorted(places)


async def test_nobody_is_taken_to_another_protocol(amos: GatewayServer):
    """`Upgrade: h2c` would let a client past a proxy's rules; it is ignored, and answered in HTTP/1.1."""
    answer = await amos.raw(
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 200 ")


# --- forged -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "10.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "https"},
        {"Forwarded": "for=127.0.0.1;host=localhost;proto=https"},
        {"X-Real-IP": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
    ],
)
async def test_forged_headers_make_nobody_local(
    amos: GatewayServer, tavily: TavilySimulator, headers: dict[str, str]
):
    """Whoever says that they come from here through a proxy is a stranger."""
    answer = await amos.search("tide tables", headers)

    assert answer.status_code == 401
    assert tavily.count == 0


# --- HTTP/2 -------------------------------------------------------------------------------------------------


class Http2:
    """An HTTP/2 connection whose client does as it likes."""

    def __init__(self, port: int) -> None:
        config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self.state = h2.connection.H2Connection(config)
        self._port = port

    async def __aenter__(self) -> Http2:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.state.initiate_connection()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def ask(self, path: bytes) -> int:
        """Begin a GET without sending it yet; returns the stream."""
        stream = self.state.get_next_available_stream_id()
        headers = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"localhost"),
            (b":path", path),
        ]
        self.state.send_headers(stream, headers, end_stream=True)
        return stream

    def flush(self) -> None:
        """Send what was begun."""
        self.writer.write(self.state.data_to_send())

    async def status(self, stream: int) -> int:
        """The status of the answer on the stream, 0 if the connection or the stream ends without one."""
        async with asyncio.timeout(10.0):
            while data := await self.reader.read(65_536):
                for event in self.state.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                        return int(dict(event.headers or [])[b":status"])
                    if isinstance(event, h2.events.ConnectionTerminated):
                        return 0
                self.flush()
        return 0


async def test_streams_that_are_reset_at_once_are_no_work_left(amos: GatewayServer):
    """Five hundred calls begun and given up in one breath leave the next one answered."""
    async with Http2(amos.port) as client:
        for _ in range(10):
            for _ in range(50):
                client.state.reset_stream(client.ask(b"/livez"))
            client.flush()
            await asyncio.sleep(0)
        stream = client.ask(b"/livez")
        client.flush()

        assert await client.status(stream) == 200


async def test_a_refused_call_takes_no_other_with_it(amos: GatewayServer, tavily: TavilySimulator):
    """A body that comes after its request was refused is thrown away; other calls on the connection go on."""
    async with Http2(amos.port) as client:
        refused = client.state.get_next_available_stream_id()
        target = [(b":authority", b"evil.example"), (b":path", b"/search")]
        client.state.send_headers(refused, [(b":method", b"POST"), (b":scheme", b"http"), *target])
        client.flush()
        assert await client.status(refused) == 421
        await asyncio.sleep(0.2)
        for _ in range(20):
            client.state.send_data(refused, b"x" * 1_000)
        stream = client.ask(b"/livez")
        client.flush()

        assert await client.status(stream) == 200
    assert tavily.count == 0


@pytest.mark.parametrize(
    "path", [b"/\xff\xfe", b"/search?q=\xf0\x28", b"", b"no slash", b"/" + b"a" * 60_000]
)
async def test_a_path_of_other_bytes_ends_at_most_its_connection(
    amos: GatewayServer, path: bytes, caplog: pytest.LogCaptureFixture
):
    """What no URL may hold is refused, and is no traceback in the log."""
    async with Http2(amos.port) as client:
        stream = client.ask(path)
        client.flush()
        status = await client.status(stream)

    assert status == 0 or 400 <= status < 500
    assert not caplog.records
    assert (await amos.search("tide tables")).status_code == 200
