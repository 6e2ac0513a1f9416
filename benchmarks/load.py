"""A load generator that costs little: raw sockets, one process, a fraction of what the server spends.

Closed loop: each connection sends its next request when the last answer is in; this measures what the server
can do. Open loop: requests are due at fixed moments whatever the answers do, and latency counts from the due
moment; this measures what callers of a service at a given rate see.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

Request = bytes
"""One whole HTTP/1.1 request."""


class Answer(msgspec.Struct, frozen=True):
    """What came back, and how long it took in seconds. `kind` is the label the request was sent under."""

    kind: str
    status: int
    latency_s: float
    head: bytes


class Tally:
    """Counts and latencies by kind of request; keeps every latency, so that quantiles are exact."""

    def __init__(self) -> None:
        self.latencies_s: dict[str, list[float]] = {}
        self.errors = 0
        self.seconds = 0.0

    def add(self, answer: Answer) -> None:
        """Count an answer; everything but 200 is an error."""
        self.latencies_s.setdefault(answer.kind, []).append(answer.latency_s)
        if answer.status != 200:
            self.errors += 1

    @property
    def count(self) -> int:
        """All answers."""
        return sum(len(latencies) for latencies in self.latencies_s.values())

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.count / self.seconds if self.seconds else 0.0

    def mean_ms(self, kind: str) -> float:
        """Mean latency in milliseconds; NaN without answers."""
        latencies = self.latencies_s.get(kind, [])
        return 1000 * sum(latencies) / len(latencies) if latencies else math.nan

    def quantile_ms(self, kind: str, q: float) -> float:
        """A quantile of the latency in milliseconds; NaN without answers."""
        latencies = sorted(self.latencies_s.get(kind, []))
        return 1000 * latencies[min(len(latencies) - 1, int(q * len(latencies)))] if latencies else math.nan


class Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time, answers with `Content-Length`."""

    def __init__(self, on_answer: Callable[[Connection, Answer], None], on_lost: Callable[[], None]) -> None:
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._kind = ""
        self._due = 0.0
        self._needed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to send."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up, or we did."""
        self._on_lost()

    def send(self, request: Request, kind: str, due: float) -> None:
        """Send one request; `due` is the moment of `time.perf_counter` its latency counts from."""
        assert self._transport is not None
        self._kind, self._due, self._needed = kind, due, 0
        self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Collect until the answer is whole."""
        buffer = self._buffer
        buffer += data
        if not self._needed:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._needed = end + 4 + _content_length(buffer[:end])
        if len(buffer) >= self._needed:
            head = bytes(buffer[: buffer.find(b"\r\n\r\n")])
            latency_s = time.perf_counter() - self._due
            buffer.clear()
            self._on_answer(self, Answer(self._kind, int(head[9:12]), latency_s, head))


def _content_length(head: bytearray) -> int:
    at = head.lower().find(b"content-length:")
    if at < 0:
        raise ValueError("the load generator reads answers with Content-Length only")
    return int(head[at + 15 :].split(b"\r\n", 1)[0])


async def closed_loop(
    port: int,
    connections: int,
    seconds: float,
    requests: Callable[[], tuple[Request, str]],
    on_answer: Callable[[Answer], None] | None = None,
) -> Tally:
    """Keep `connections` requests under way for `seconds`. `requests` makes the next one and its kind."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    begun = time.perf_counter()
    until = begun + seconds
    finished = loop.create_future()
    open_count = connections

    def next_or_close(connection: Connection) -> None:
        now = time.perf_counter()
        if now < until:
            request, kind = requests()
            connection.send(request, kind, now)
        else:
            connection.close()

    def answered(connection: Connection, answer: Answer) -> None:
        tally.add(answer)
        if on_answer is not None:
            on_answer(answer)
        next_or_close(connection)

    def lost() -> None:
        nonlocal open_count
        open_count -= 1
        if time.perf_counter() < until:
            tally.errors += 1
        if not open_count and not finished.done():
            finished.set_result(None)

    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(answered, lost), "127.0.0.1", port)
        next_or_close(connection)
    await finished
    tally.seconds = time.perf_counter() - begun
    return tally


async def open_loop(
    port: int,
    connections: int,
    per_s: float,
    seconds: float,
    requests: Iterable[tuple[Request, str]],
    on_answer: Callable[[Answer], None] | None = None,
) -> Tally:
    """Send a request every `1 / per_s` seconds over a pool of connections; late ones count their lateness."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    idle: deque[Connection] = deque()
    waiting: deque[tuple[Request, str, float]] = deque()

    def answered(connection: Connection, answer: Answer) -> None:
        tally.add(answer)
        if on_answer is not None:
            on_answer(answer)
        if waiting:
            connection.send(*waiting.popleft())
        else:
            idle.append(connection)

    def lost() -> None:
        if not closing:
            tally.errors += 1

    closing = False
    pool = []
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(answered, lost), "127.0.0.1", port)
        pool.append(connection)
    idle.extend(pool)
    begun = time.perf_counter()
    total = int(per_s * seconds)
    for number, (request, kind) in zip(range(total), requests, strict=False):
        due = begun + number / per_s
        if (pause_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause_s)
        if idle:
            idle.popleft().send(request, kind, due)
        else:
            waiting.append((request, kind, due))
    while tally.count + tally.errors < total and time.perf_counter() < begun + seconds + 30:
        await asyncio.sleep(0.01)
    tally.seconds = time.perf_counter() - begun
    closing = True
    for connection in pool:
        connection.close()
    return tally


def post(path: str, body: bytes, port: int, more: str = "") -> Request:
    """A POST of a JSON body, as a client sends it. `more` is further header lines, each ended by CRLF."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nAccept: */*\r\n{more}\r\n"
    )
    return head.encode() + body
