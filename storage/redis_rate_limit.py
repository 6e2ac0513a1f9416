"""The limiter that all processes share: the sliding log of storage/memory_rate_limit.py, kept in Redis.

One script call a request does it all: it looks at every window, charges all of them or none, and answers what
remains. Time is the server's, so that no two clocks disagree about a client. A state goes by itself when its
longest period is over. While Redis is out of reach each process counts alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from hashlib import blake2b

from orchestrator import limits
from orchestrator.errors import RateLimitStoreUnavailable
from orchestrator.facts import StoreLost, StoreRestored
from orchestrator.ports import Clock, FactSink, RateLimitStore
from orchestrator.quota import Verdict, Window, verdict_on
from storage.redis_client import RedisClient, Script

KEY = "amos:rl:{%s}"
"""The braces are the hash tag of Redis Cluster. Between them is a digest, since a client's name may hold
braces; it covers the windows as well, because a state is laid out for them."""

STORE, STREAM = "limits", "store:limits"
"""The limiter's name and stream in facts. Redis may be there and still not count: when its memory is full."""

CALM_S = 1.0
"""chosen: so long must Redis have answered before an outage is over, or one that comes and goes would fill
the log."""

CHARGE = Script(
    """
-- KEYS[1]: the state. ARGV: slots at most, ms to live, then quota and period (us) of each window.
-- The state: server time of the last change, what is added to that time; used and head of each window;
-- then the slots of each window. Numbers are doubles: exact to 2^53, in microseconds until the year 2255.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = redis.call('GET', KEYS[1])
local last, shift = now, 0
if state then
  last, shift = struct.unpack('<dd', state)
end
local went_back = now < last
if went_back then  -- The clock was set back, or a replica with another took over: go on from where we were.
  shift = shift + last - now
end
local at = now + shift
local count = (#ARGV - 2) / 2
local place = 16 + 16 * count
local windows, answer, is_full = {}, {1}, false
for i = 1, count do
  local quota, period = tonumber(ARGV[1 + 2 * i]), tonumber(ARGV[2 + 2 * i])
  local grain = math.ceil(quota / ARGV[1])
  local size = math.ceil(quota / grain)
  local used, head, oldest = 0, -1, at
  if state then
    used, head = struct.unpack('<dd', state, 1 + 16 * i)
  end
  while used > 0 do
    local slot = (head - math.floor((used - 1) / grain)) % size
    oldest = struct.unpack('<d', state, place + 8 * slot + 1)
    if oldest > at - period then break end
    used = math.max(0, used - grain)
  end
  if used == 0 then oldest = at end
  is_full = is_full or used >= quota
  windows[i] = {used, head, grain, size, place}
  answer[2 * i], answer[2 * i + 1] = quota - used, oldest + period - at
  place = place + 8 * size
end
if is_full then
  answer[1] = 0
  if went_back then
    redis.call('SETRANGE', KEYS[1], 0, struct.pack('<dd', now, shift))
  end
  return answer
end
local header = struct.pack('<dd', now, shift)
for i, window in ipairs(windows) do
  local used, head, grain, size, place = unpack(window)
  if used % grain == 0 then
    head = (head + 1) % size
  end
  redis.call('SETRANGE', KEYS[1], place + 8 * head, struct.pack('<d', at))
  header = header .. struct.pack('<dd', used + 1, head)
  answer[2 * i] = answer[2 * i] - 1
end
redis.call('SETRANGE', KEYS[1], 0, header)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return answer
"""
)


class RedisRateLimit:
    """A RateLimitStore for all processes on one Redis, which may be a Cluster. Waits for 50 ms at most."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def hit(self, client: str, windows: tuple[Window, ...]) -> Verdict:
        """Charge one call to every window, or to none if one is used up. Raises RateLimitStoreUnavailable.

        A call that is cancelled, or that gives up on a slow Redis, may still be charged.
        """
        layout, arguments = _layout(windows)
        digest = blake2b(client.encode("utf-8", "surrogatepass"), key=layout, digest_size=16).hexdigest()
        answer: list[int] = await self._redis.evaluate(
            CHARGE, (KEY % digest,), arguments, error=RateLimitStoreUnavailable
        )
        return verdict_on(
            windows, answer[1::2], [wait_us / 1e6 for wait_us in answer[2::2]], allowed=answer[0] == 1
        )


class SharedRateLimit:
    """Counts where all processes count, and alone while that is out of reach. Never fails.

    What is allowed there must fit here as well, which it does unless Redis has lost its memory: neither that
    nor being left alone gives everybody a fresh start.
    """

    def __init__(self, shared: RateLimitStore, alone: RateLimitStore, clock: Clock, facts: FactSink) -> None:
        self._shared = shared
        self._alone = alone
        self._now = clock.monotonic
        self._facts = facts
        self._lost_at: float | None = None
        self._failed_at = 0.0

    async def hit(self, client: str, windows: tuple[Window, ...]) -> Verdict:
        """Charge one call, wherever that is possible now."""
        try:
            verdict = await self._shared.hit(client, windows)
        except RateLimitStoreUnavailable as failure:
            self._without(failure)
            return await self._alone.hit(client, windows)
        if self._lost_at is not None:
            self._with(self._lost_at)
        if not verdict.allowed:
            return verdict
        own = await self._alone.hit(client, windows)
        return verdict if own.allowed else own

    def _without(self, failure: RateLimitStoreUnavailable) -> None:
        """A call is counted here; the first of an outage is a fact."""
        self._failed_at = self._now()
        if self._lost_at is None:
            self._lost_at = self._failed_at
            self._facts.record_fact(STREAM, StoreLost(store=STORE, reason=failure.message))

    def _with(self, lost_at: float) -> None:
        """A call was counted there again."""
        now = self._now()
        if now - self._failed_at >= CALM_S:
            self._lost_at = None
            self._facts.record_fact(STREAM, StoreRestored(store=STORE, outage_s=now - lost_at))


@lru_cache(maxsize=1_024)
def _layout(windows: tuple[Window, ...]) -> tuple[bytes, tuple[int, ...]]:
    """What tells states of these windows from others, and the script's arguments."""
    shape = [number for window in windows for number in (window.quota, round(window.period_s * 1e6))]
    lives_ms = math.ceil(max(window.period_s for window in windows) * 1000)
    layout = blake2b(repr(windows).encode(), digest_size=16).digest()
    return layout, (limits.RATE_SLOTS_MAX, lives_ms, *shape)
