"""The cache tier that all instances share, in Redis; an entry leaves by itself when it is of no more use.

A value that is no entry, whoever put it there, is nobody's answer: it is a miss, and the next answer takes
its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from redis.exceptions import ResponseError

from orchestrator import limits
from orchestrator.errors import CacheUnavailable
from orchestrator.ports import CacheEntry
from storage.redis_client import RedisClient

SCHEMA = 1
"""Part of every key: a version of AMOS that writes entries otherwise counts on, and reads its own only. A new
field of `CacheEntry` with a default is no reason to."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(CacheEntry)


class RedisCache:
    """Tier `l2`. Waits for 50 ms at most, and not at all while Redis is known to be out of reach."""

    tier = "l2"

    def __init__(
        self,
        redis: RedisClient,
        entry_bytes_max: int = limits.L2_ENTRY_BYTES_MAX,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._entry_bytes_max = entry_bytes_max
        self._now = now

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or `None`. Raises CacheUnavailable."""
        try:
            value = await self._redis.execute("GET", _key(key), error=CacheUnavailable)
        except CacheUnavailable as failure:
            if _is_wrong_type(failure.__cause__):
                return None
            raise
        if value is None:
            return None
        try:
            return _DECODER.decode(value)
        except (msgspec.DecodeError, TypeError):
            return None

    async def put(self, key: str, entry: CacheEntry) -> bool:
        """Store or replace; what is too large or of no more use only takes the old one away.

        Raises CacheUnavailable.
        """
        useful_s = min(entry.useful_until - self._now(), limits.L2_TTL_S_MAX)
        value = _ENCODER.encode(entry)
        if useful_s > 0 and len(value) <= self._entry_bytes_max:
            ttl_ms = max(1, round(useful_s * 1000))
            await self._redis.execute("SET", _key(key), value, "PX", ttl_ms, error=CacheUnavailable)
            return True
        await self._redis.execute("DEL", _key(key), error=CacheUnavailable)
        return False


def _key(key: str) -> str:
    return f"amos:cache:v{SCHEMA}:{{{key}}}"


def _is_wrong_type(cause: BaseException | None) -> bool:
    """Whether Redis refused because something else lies under the key, such as a list."""
    return isinstance(cause, ResponseError) and str(cause).startswith("WRONGTYPE")
