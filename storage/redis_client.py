"""The one client of Redis in a process: all that share answers, limits, flights and budgets go through it.

It does three things that each of them needs. *Together*: what is asked within one turn of the event loop
travels in one exchange. *In time*: an exchange has 50 ms. *Not in vain*: when Redis is dead or too slow, the
call that finds out is the last that waits; until Redis answers again, in time, to a probe in the background,
every other fails at once. Whoever asks says which of our errors that is to be.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from redis.asyncio.client import PubSub
from redis.exceptions import NoScriptError, ResponseError

from orchestrator import limits
from orchestrator.errors import StorageError
from orchestrator.events import Event
from orchestrator.facts import StoreLost, StoreRestored
from orchestrator.ports import FactSink
from storage.redis_deadline import RedisDeadline
from storage.redis_line import COMMANDS_MAX, EXCHANGES_MAX, OUT_OF_SERVICE, Command, Line, open_line
from storage.redis_url import RedisAddress, parse_redis_url

PROBE_EVERY_S = 0.5
"""chosen: an outage ends within a second of Redis's return, for two small writes a second. A new outage is
probed at once, so that a hiccup is over when it is over; but after this time if Redis has just come back."""

PROBE_S = 1.0
"""chosen: what a probe may take to connect: to ask three Sentinels of which two swallow packets."""

PENDING_MAX = 10_000
"""chosen: as many as there may be flights; who comes beyond that is told so at once."""


_Batch = list[tuple[Command, asyncio.Future[Any]]]


class Outage(msgspec.Struct, frozen=True):
    """Redis is out of reach: since when, in epoch seconds, and why, in a sentence without secrets."""

    since: float
    detail: str


class Script:
    """A Lua script, sent by its hash; its text travels only to a server that does not have it yet.

    All its keys must be in one slot of a Cluster: let them share one part in braces.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """Made by `open_redis`. Its calls may run concurrently; a cancelled one may still have its effect."""

    def __init__(
        self,
        address: RedisAddress,
        facts: FactSink | None = None,
        timeout_s: float = limits.REDIS_TIMEOUT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.address = address
        self._facts = facts
        self._timeout_s = timeout_s
        self.since = now()
        """When the present state, in reach or not, began; epoch seconds."""
        self.outage: Outage | None = None
        """Why calls fail at once; `None` while Redis is in reach. Known without asking Redis."""
        self._now = now
        self._line: Line = open_line(address)
        self._pending: deque[tuple[Command, asyncio.Future[Any]]] = deque()
        self._exchanges: set[asyncio.Task[None]] = set()
        self._is_due = False
        self._is_lost = asyncio.Event()
        self._restored_at = 0.0
        self._prober: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Commands that wait for an exchange."""
        return len(self._pending)

    @property
    def exchanges(self) -> int:
        """Exchanges under way."""
        return len(self._exchanges)

    async def start(self) -> None:
        """Look whether Redis is there, for a second or two at most, and keep looking; it need not be."""
        await self._probe()
        self._prober = asyncio.create_task(self._keep_probing())

    async def execute(self, *command: str | bytes | int | float, error: type[StorageError]) -> Any:
        """The raw reply to one command: `bytes`, `int`, `list`, `None`; a write that was done is truthy.

        Waits for `timeout_s` at most. Raises `error`, with what Redis said as its cause, if Redis refuses or
        is out of reach. A key belongs in front of the arguments: it tells a Cluster where the command goes.
        """
        if self.outage is not None:
            raise error(f"Redis is out of reach: {self.outage.detail}")
        if len(self._pending) >= PENDING_MAX:
            raise error("Too many calls wait for Redis.")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append((command, future))
        self._send_soon()
        try:
            return await future
        except ResponseError as refusal:
            raise error(f"Redis refused: {refusal_code(refusal)}") from refusal
        except Exception as failure:
            raise error(f"Redis is out of reach: {_reason(failure)}") from failure

    async def evaluate(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int | float] = (),
        *,
        error: type[StorageError],
    ) -> Any:
        """The reply of a script; otherwise like `execute`. `keys` is not empty and lies in one slot."""
        try:
            return await self.execute("EVALSHA", script.sha, len(keys), *keys, *arguments, error=error)
        except error as failure:
            if not isinstance(failure.__cause__, NoScriptError):
                raise
        return await self.execute("EVAL", script.source, len(keys), *keys, *arguments, error=error)

    def subscription(self) -> PubSub:
        """A connection of its own for messages, to where the commands go; whoever asked for it closes it.

        It neither waits for an outage to end nor begins one.
        """
        return self._line.subscription()

    async def aclose(self) -> None:
        """Fail what is under way and close the connections. Safe to call twice."""
        tasks = [*self._exchanges, *([self._prober] if self._prober else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail(self._pending, ConnectionError("closed"))
        await self._line.aclose()

    # --- exchanges

    def _send_soon(self) -> None:
        """Send what is pending at the end of this turn of the loop, when all who ask in it have asked."""
        if not self._is_due and len(self._exchanges) < EXCHANGES_MAX:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_due = False
        while self._pending and len(self._exchanges) < EXCHANGES_MAX:
            count = min(len(self._pending), COMMANDS_MAX)
            batch = [self._pending.popleft() for _ in range(count)]
            task = asyncio.create_task(self._exchange(batch))
            self._exchanges.add(task)
            task.add_done_callback(partial(self._sent, batch))

    def _sent(self, batch: _Batch, task: asyncio.Task[None]) -> None:
        self._exchanges.discard(task)
        # It was cancelled, by another exchange that found the outage or by `aclose`, perhaps before its first
        # step: a task that never began runs none of its own handlers, and its callers would wait for ever.
        self._fail(batch, ConnectionError())
        if self._pending:
            self._send_soon()

    async def _exchange(self, batch: _Batch) -> None:
        try:
            async with RedisDeadline(self._timeout_s):
                replies = await self._line.send([command for command, _ in batch])
        except Exception as failure:  # noqa: BLE001 - whatever it is, those who wait must be told
            self._lose(failure)
            self._fail(batch, failure)
        else:
            for (_, future), reply in zip(batch, replies, strict=True):
                if future.done():
                    continue
                if isinstance(reply, ResponseError):
                    future.set_exception(reply)
                    if isinstance(reply, OUT_OF_SERVICE):
                        self._lose(reply)
                else:
                    future.set_result(reply)

    # --- outages

    def _lose(self, failure: BaseException) -> None:
        """Begin an outage: nobody waits any longer, and nobody else begins to."""
        detail = refusal_code(failure) if isinstance(failure, ResponseError) else _reason(failure)
        if self.outage is None:
            if time.monotonic() - self._restored_at > PROBE_EVERY_S:
                self._is_lost.set()
            self.since = self._now()
            self._tell(StoreLost(store="redis", reason=detail))
        self.outage = Outage(self.since, detail)
        self._fail(self._pending, failure)
        for task in self._exchanges - {asyncio.current_task()}:
            task.cancel()

    async def _keep_probing(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_EVERY_S):
                    await self._is_lost.wait()
            self._is_lost.clear()
            await self._probe()

    async def _probe(self) -> None:
        """Find out whether Redis takes a write; after an outage also whether as fast as a call needs it."""
        try:
            async with RedisDeadline(PROBE_S):
                if self.outage is not None:
                    await self._line.hang_up()
                await self._write()
            if self.outage is not None:
                async with RedisDeadline(self._timeout_s):
                    await self._write()
        except Exception as failure:  # noqa: BLE001 - a prober that died of a bug would never find Redis again
            self._lose(failure)
            return
        if self.outage is not None:
            now = self._now()
            self._tell(StoreRestored(store="redis", outage_s=max(0.0, now - self.since)))
            self.outage, self.since = None, now
            self._restored_at = time.monotonic()

    async def _write(self) -> None:
        """Probe as many connections as exchanges use, so that they are opened here and not in a call's 50 ms.

        On a busy loop a handshake of several turns takes longer; calls that opened their own connections were
        late, lost them again with the outage, and never got over it.
        """
        probes = (self._line.probe() for _ in range(EXCHANGES_MAX))
        for outcome in await asyncio.gather(*probes, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _tell(self, event: Event) -> None:
        if self._facts is not None:
            self._facts.record_fact("store:redis", event)

    def _fail(
        self, waiting: _Batch | deque[tuple[Command, asyncio.Future[Any]]], failure: BaseException
    ) -> None:
        for _, future in waiting:
            if not future.done():
                future.set_exception(failure)
        waiting.clear()


async def open_redis(
    url: str, facts: FactSink | None = None, timeout_s: float = limits.REDIS_TIMEOUT_S
) -> RedisClient:
    """A client of the installation at `url` (see `redis_url`), which need not be there yet.

    `facts` is told of outages; `timeout_s` is what an exchange may take. Waits for a second or two at most.
    Raises ValueError for an unreadable URL. The caller closes it.
    """
    client = RedisClient(parse_redis_url(url), facts, timeout_s)
    try:
        await client.start()
    except BaseException:
        await client.aclose()
        raise
    return client


def refusal_code(refusal: BaseException) -> str:
    """The first word of a refusal, which is its code; the rest may quote the command."""
    word = str(refusal).split(" ", 1)[0].rstrip(":")
    return word if word.isupper() else type(refusal).__name__


def _reason(failure: BaseException) -> str:
    """What went wrong, without hosts and without what was asked."""
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    return type(failure).__name__
