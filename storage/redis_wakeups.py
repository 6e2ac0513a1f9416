"""Tells who waits for a flight that it has landed: one subscription of the process, to a channel of its own.

Whoever waits leaves the name of this channel with the flight, and the process that lands it sends the
flight's key there. A message may be lost, in a reconnect or a failover, and is nothing to rely on: those who
wait look from time to time as well. Looking is also all that is left where a user of Redis may not subscribe.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterator

from storage.redis_client import RedisClient

AGAIN_S = 0.5
"""chosen: pause before the next attempt to subscribe; as often as an outage is probed."""

SUBSCRIBE_S = 1.0
"""chosen: what it may take to connect and to subscribe: as long as a probe."""

PING_S = 2.0
"""chosen: a connection that was silent for so long is asked whether it lives, and given up after as long
again. One that died unseen costs those who wait some looks more, for four seconds at most."""


class RedisWakeups:
    """The subscription and who waits here. Owns a task from `start` to `aclose`."""

    def __init__(self, client: RedisClient) -> None:
        self.channel = f"amos:landed:{secrets.token_hex(8)}"
        """Where messages for this process go; never used again after it has ended."""
        self.is_heard = False
        """Whether messages arrive at the moment, as far as one can know."""
        self._client = client
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen, and keep trying; never waits."""
        self._listener = asyncio.create_task(self._keep_listening(), name=self.channel)

    async def aclose(self) -> None:
        """Listen no more. Safe to call twice."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])

    @contextlib.contextmanager
    def listening(self, key: str) -> Iterator[asyncio.Event]:
        """An event that is set when a flight of this key has landed, or may have while nobody listened."""
        landed = asyncio.Event()
        self._waiting.setdefault(key, set()).add(landed)
        try:
            yield landed
        finally:
            waiting = self._waiting[key]
            waiting.remove(landed)
            if not waiting:
                del self._waiting[key]

    def __len__(self) -> int:
        """How many keys are waited for."""
        return len(self._waiting)

    async def _keep_listening(self) -> None:
        while True:
            if self._client.outage is None:
                with contextlib.suppress(Exception):  # whatever it was, all it costs is looks
                    await self._listen()
                self.is_heard = False
                self._wake_all()
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        """Hand on messages until the connection ends or Redis is out of reach."""
        async with contextlib.aclosing(self._client.subscription()) as subscription:
            async with asyncio.timeout(SUBSCRIBE_S):
                await subscription.subscribe(self.channel)
            is_asked = False
            while self._client.outage is None:
                message = await subscription.get_message(timeout=PING_S)
                if message is None:
                    if is_asked:
                        return
                    await subscription.ping()
                is_asked = message is None
                kind = "" if message is None else message["type"]
                if kind == "message":
                    self._wake(str(message["data"], "ascii"))
                elif kind == "subscribe":
                    self.is_heard = True
                    self._wake_all()

    def _wake(self, key: str) -> None:
        for landed in self._waiting.get(key, ()):
            landed.set()

    def _wake_all(self) -> None:
        """Have everybody look once: messages may have been lost."""
        for key in self._waiting:
            self._wake(key)
