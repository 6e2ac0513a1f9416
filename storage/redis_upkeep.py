"""What is done to the shared tier of the cache as a whole: it is looked at, emptied, and the emptying marked.

Emptying goes through every primary of the installation, some hundred keys at a time, on connections of its
own: the exchanges of calls are neither held up by it nor does their deadline of 50 ms end it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from orchestrator.cache_admin import TierView
from orchestrator.errors import CacheUnavailable
from storage.redis_client import RedisClient, Script, refusal_code
from storage.redis_line import Command, Line, Send, open_line

ENTRIES = "amos:cache:v*"
"""The keys of all entries, of whatever version of AMOS."""

MARK_KEY = "amos:cache:cleared"
"""Holds the highest mark; it fits no entry's name."""

BATCH = 500
"""chosen: keys that one SCAN looks at; it holds up the server for some hundred microseconds."""

STEP_S = 2.0
"""chosen: what one such step may take, connecting included; a server that needs longer has other worries."""

# Milliseconds of the server's clock, or one more than the last: what matters is that it rises.
_RAISE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mark = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0) + 1)
redis.call('SET', KEYS[1], string.format('%.0f', mark))
return mark
""")

_LOOK = Script("""
local mark = tonumber(redis.call('GET', KEYS[1]) or 0)
if mark >= tonumber(ARGV[1]) then return mark end
redis.call('SET', KEYS[1], ARGV[1])
return tonumber(ARGV[1])
""")


class RedisUpkeep:
    """A SharedTier on the Redis of this client."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def view(self) -> TierView:
        """How the servers are that keep it; all primaries together."""
        if outage := self._client.outage:
            return TierView(tier="l2", status="degraded", detail=f"{_OUT_OF_REACH}{outage.detail}.")
        try:
            figures = [figure async for figure in self._figures()]
        except CacheUnavailable as failure:
            return TierView(tier="l2", status="degraded", detail=failure.message)
        policy = figures[0].get("maxmemory_policy", "")
        bounds = [int(figure.get("maxmemory", 0)) for figure in figures]
        return TierView(
            tier="l2",
            detail=f"{self._client.address}, maxmemory-policy {policy}",
            bytes=sum(int(figure.get("used_memory", 0)) for figure in figures),
            bytes_max=sum(bounds) if all(bounds) else None,
            evictions=sum(int(figure.get("evicted_keys", 0)) for figure in figures),
        )

    async def clear(self) -> AsyncIterator[int]:
        """Throw away all entries, batch by batch. Raises CacheUnavailable."""
        async with self._line() as line:
            for send in await _primaries(line):
                cursor, is_begun = 0, False
                while cursor or not is_begun:
                    is_begun = True
                    (reply,) = await _step(send, ("SCAN", cursor, "MATCH", ENTRIES, "COUNT", BATCH))
                    cursor, keys = int(reply[0]), reply[1]
                    # A command for each, because on a Cluster every key has a slot of its own; by the line,
                    # because it follows a slot that is on its way to another server.
                    yield sum(await _step(line.send, *(("UNLINK", key) for key in keys))) if keys else 0

    async def raise_mark(self) -> int:
        """A mark higher than any before."""
        return int(await self._client.evaluate(_RAISE, (MARK_KEY,), error=CacheUnavailable))

    async def mark(self, known: int) -> int:
        """The highest mark, which is put back if the server has lost it."""
        return int(await self._client.evaluate(_LOOK, (MARK_KEY,), (known,), error=CacheUnavailable))

    async def _figures(self) -> AsyncIterator[dict[str, str]]:
        async with self._line() as line:
            for send in await _primaries(line):
                replies = await _step(send, ("INFO", "memory"), ("INFO", "stats"))
                lines = (line for reply in replies for line in bytes(reply).decode().splitlines())
                yield dict(line.split(":", 1) for line in lines if ":" in line)

    @contextlib.asynccontextmanager
    async def _line(self) -> AsyncIterator[Line]:
        line = open_line(self._client.address)
        try:
            yield line
        finally:
            await line.aclose()


async def _primaries(line: Line) -> list[Send]:
    """The way to each server with entries of its own. Raises CacheUnavailable."""
    async with _in_time():
        return await line.primaries()


async def _step(send: Send, *commands: Command) -> list[Any]:
    """The replies of one server. Raises CacheUnavailable, also if it refuses one."""
    async with _in_time():
        replies = await send(commands)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(STEP_S):
            yield
    except TimeoutError as late:
        raise CacheUnavailable(f"{_OUT_OF_REACH}no answer in time.") from late
    except ResponseError as refusal:
        raise CacheUnavailable(f"Redis refused: {refusal_code(refusal)}.") from refusal
    except (RedisError, RedisClusterException, OSError) as failure:
        raise CacheUnavailable(f"{_OUT_OF_REACH}{type(failure).__name__}.") from failure


_OUT_OF_REACH = "Redis is out of reach: "
