"""What the simulated upstreams share: a real HTTP server, faults on demand, a record of every call.

In a test:

    async with TavilySimulator() as tavily:
        tavily.script(Fault.status(429, retry_after=30), times=2)   # the next two calls
        tavily.when("harbour", Fault.reset())                       # every query with that word
        tavily.for_key("tvly-2", Fault.status(432))                 # every call with that key
        tavily.always(Fault.hang())                                 # everything else, until told otherwise
        tavily.delay_s = 0.01
        ... tavily.base_url, tavily.api_key, tavily.calls, tavily.count

As a process: `python -m tests.support.tavily_simulator --port 0 --delay-ms 10` prints its URL on one line.
The same orders are taken there over HTTP: `POST /_control` with an `Orders` as JSON; `GET /_control` tells
the counts, `GET /_control/calls` the calls too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Self

import msgspec

from tests.support.faults import NO_FAULT, Fault
from tests.support.http_server import GARBAGE, Answer, HttpServer, Request, Wire

CALLS_KEPT = 50_000
"""How many recorded calls are kept, newest last; the counters have no such bound."""

JSON = {"Content-Type": "application/json"}


class Recorded(msgspec.Struct, kw_only=True):
    """One call as it arrived. `json` is its decoded body or `None`; `at` is monotonic seconds.

    `fault` is the kind of misbehaviour it met, `none` if it was served in good order; `billed` is what the
    upstream has charged for it, in its own unit, whether or not the answer arrived.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    json: Any
    at: float
    fault: str = "none"
    billed: float = 0.0


class Orders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What another process may tell a simulator. `clear` comes first; what is not given stays as it was."""

    clear: bool = False
    delay_s: float | None = None
    always: Fault | None = None
    script: list[Fault] = []
    when: dict[str, Fault] = {}
    keys: dict[str, Fault] = {}
    """Keys that are accepted from now on, and what becomes of calls with them."""


class Simulator(ABC):
    """Base of the simulated upstreams: an async context manager around a server on a port of its own.

    A subclass answers requests (`respond`) and knows its error bodies (`error`) and variants (`vary`).
    """

    api_key = "simulated-key"
    VARIANTS: frozenset[str] = frozenset({"empty"})

    def __init__(self, *, delay_s: float = 0.0, port: int = 0) -> None:
        self.delay_s = delay_s
        self.keys = {self.api_key}
        """Keys that are accepted."""
        self.counts: Counter[str] = Counter()
        """Calls by path, of which `count` is the sum."""
        self._server = HttpServer(self._handle, port=port)
        self._calls: deque[Recorded] = deque(maxlen=CALLS_KEPT)
        self._script: deque[Fault] = deque()
        self._when: dict[str, Fault] = {}
        self._by_key: dict[str, Fault] = {}
        self._always = NO_FAULT

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._server.stop()

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def calls(self) -> list[Recorded]:
        """The recorded calls, oldest first."""
        return list(self._calls)

    @property
    def count(self) -> int:
        """How many calls arrived."""
        return self.counts.total()

    @property
    def connections_accepted(self) -> int:
        """How many connections were ever made."""
        return self._server.accepted

    def script(self, fault: Fault, times: int = 1) -> None:
        """The next `times` calls get this fault, after those already scripted."""
        self._script.extend([self._checked(fault)] * times)

    def when(self, text: str, fault: Fault) -> None:
        """Every call whose query or URL contains the text gets this fault. A script comes first."""
        self._when[text] = self._checked(fault)

    def for_key(self, key: str, fault: Fault) -> None:
        """Every call with this key, which is accepted, gets this fault. Only a script comes before it."""
        self.keys.add(key)
        self._by_key[key] = self._checked(fault)

    def always(self, fault: Fault) -> None:
        """Every call that neither a script nor a text decides gets this fault."""
        self._always = self._checked(fault)

    def recover(self) -> None:
        """Forget every fault and the delay; the calls stay counted."""
        self._script.clear()
        self._when.clear()
        self._by_key.clear()
        self._always = NO_FAULT
        self.delay_s = 0.0

    def clear(self) -> None:
        """Forget the calls too."""
        self.recover()
        self._calls.clear()
        self.counts.clear()

    # --- for subclasses -------------------------------------------------------------------------------------

    @abstractmethod
    def respond(self, request: Request, body: Any) -> Answer:
        """The proper answer; `body` is the request's JSON, `None` if there is none or it cannot be read."""

    @abstractmethod
    def error(self, request: Request, fault: Fault) -> Answer:
        """The documented error for `fault.code`."""

    @abstractmethod
    def vary(self, answer: Answer, name: str, body: Any) -> Answer:
        """The proper answer in another of its known forms."""

    @property
    def billed(self) -> float:
        """Everything charged since the start, in the upstream's own unit."""
        return 0.0

    def texts(self, request: Request, body: Any) -> str:
        """What `when` looks at."""
        return str(body.get("query") or body.get("urls") or "") if isinstance(body, Mapping) else ""

    # --- serving --------------------------------------------------------------------------------------------

    async def _handle(self, request: Request, wire: Wire) -> None:
        if request.path.startswith("/_control"):
            wire.send(self._control(request))
            return
        body = _json(request.body)
        self.counts[request.path] += 1
        fault = self._fault(request, body)
        call = Recorded(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            json=body,
            at=time.monotonic(),
            fault="slow" if fault.kind == "none" and fault.delay_s else fault.kind,
        )
        self._calls.append(call)
        delay_s = self.delay_s + fault.delay_s
        if delay_s:
            await asyncio.sleep(delay_s)
        await self._misbehave(fault, request, call, wire)

    def _checked(self, fault: Fault) -> Fault:
        if fault.kind == "variant" and fault.variant_name not in self.VARIANTS:
            raise ValueError(f"{type(self).__name__} has no variant {fault.variant_name!r}")
        return fault

    def _fault(self, request: Request, body: Any) -> Fault:
        if self._script:
            return self._script.popleft()
        fault = self._by_key.get(key_of(request), NO_FAULT)
        if fault != NO_FAULT:
            return fault
        if self._when:
            texts = self.texts(request, body)
            for text, fault in self._when.items():
                if text in texts:
                    return fault
        return self._always

    async def _misbehave(self, fault: Fault, request: Request, call: Recorded, wire: Wire) -> None:
        if fault.kind == "hang":
            await wire.hang()
        elif fault.kind == "reset":
            wire.reset()
        elif fault.kind in ("close", "garbage"):
            wire.close(GARBAGE if fault.kind == "garbage" else b"")
        else:
            before = self.billed
            answer = self._answer(fault, request, call.json)
            call.billed = round(self.billed - before, 6)
            encoded = answer.encode()
            half = encoded[: len(encoded) - max(len(answer.body) // 2, 1)]
            if fault.kind == "cut":
                await wire.reset_after(half)
            elif fault.kind == "truncate":
                wire.close(half)
            elif fault.kind == "drip":
                await wire.drip(answer, fault.interval_s)
            else:
                wire.send(answer)

    def _answer(self, fault: Fault, request: Request, body: Any) -> Answer:
        if fault.kind == "status":
            answer = self.error(request, fault)
            retry_after = fault.retry_after
            if fault.until:
                # Whole seconds are all that RFC 9110, 10.2.3, knows.
                retry_after = str(max(1, math.ceil(fault.until - time.monotonic())))
            if retry_after is not None:
                headers = {**answer.headers, "Retry-After": retry_after}
                answer = msgspec.structs.replace(answer, headers=headers)
            return answer
        if fault.kind == "body":
            headers = {"Content-Type": fault.content_type}
            if fault.set_cookie:
                headers["Set-Cookie"] = fault.set_cookie
            return Answer(status=fault.code, headers=headers, body=fault.text.encode())
        answer = self.respond(request, body)
        if fault.kind == "variant":
            return self.vary(answer, fault.variant_name, body) if answer.status == 200 else answer
        return answer

    def _control(self, request: Request) -> Answer:
        if request.method == "GET":
            calls = self.calls if request.path == "/_control/calls" else []
            return json_answer({**self._tally(), "calls": calls})
        try:
            self._obey(msgspec.json.decode(request.body, type=Orders))
        except (msgspec.DecodeError, ValueError) as error:
            return json_answer({"error": str(error)}, status=400)
        return json_answer(self._tally())

    def _tally(self) -> dict[str, Any]:
        return {"count": self.count, "by_path": dict(self.counts), "billed": self.billed}

    def _obey(self, orders: Orders) -> None:
        if orders.clear:
            self.clear()
        if orders.delay_s is not None:
            self.delay_s = orders.delay_s
        if orders.always is not None:
            self.always(orders.always)
        for fault in orders.script:
            self.script(fault)
        for text, fault in orders.when.items():
            self.when(text, fault)
        for key, fault in orders.keys.items():
            self.for_key(key, fault)


def key_of(request: Request) -> str:
    """The bearer token of a request, `""` without one."""
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] = JSON) -> Answer:
    """An answer with a JSON body."""
    return Answer(status=status, headers=dict(headers), body=msgspec.json.encode(value))


def html_answer(status: int) -> Answer:
    """The page of a balancer in front of an upstream that is not there."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"
    return Answer(status=status, headers={"Content-Type": "text/html"}, body=page.encode())


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def run(simulator: type[Simulator], **options_of_its_own: Any) -> None:
    """Serve from the command line until killed; the first line printed is the URL."""
    parser = argparse.ArgumentParser(description=simulator.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each answer")
    options = parser.parse_args()

    async def serve() -> None:
        async with simulator(
            delay_s=options.delay_ms / 1000, port=options.port, **options_of_its_own
        ) as server:
            sys.stdout.write(f"{server.base_url}\n")
            sys.stdout.flush()
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
