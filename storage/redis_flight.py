"""Who is fetching which answer, on Redis: a lease for each key, and for a moment how each flight ended.

Who waits for a flight is told when it has landed (redis_wakeups), and looks now and then by itself: a leader
that died tells nobody, and a message may be lost. Lease, outcome and the list of those who wait share the
hash tag of their key, so that a Cluster keeps them in one slot.
"""

from __future__ import annotations

import asyncio
import contextlib

from orchestrator.errors import FlightStoreUnavailable
from storage.redis_client import RedisClient, Script
from storage.redis_wakeups import RedisWakeups

LEASE_MS = 1_500
"""chosen: those who wait for a dead leader lose at most this and a look; a leader whose event loop stands
still for so long loses its lease."""

OUTCOME_MS = 2_000
"""chosen: four times the longest pause between two looks of those who wait."""

LOOK_S = 0.5
"""chosen: a third of the lease. Between two looks the message is waited for."""

LOOK_UNTOLD_S = 0.1
"""chosen: the pause between two looks while no message can come: a tenth of what a flight takes."""

_CLAIM = Script("""
local leader = redis.call('GET', KEYS[1])
if leader then return leader end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
""")

_RENEW = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
""")

# `pcall` where a refusal must not end the script: a memory that is full, a user who may not publish.
_LAND = Script("""
if ARGV[2] ~= '' then redis.pcall('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
for _, channel in ipairs(redis.call('SMEMBERS', KEYS[3])) do redis.pcall('PUBLISH', channel, ARGV[4]) end
redis.call('DEL', KEYS[3])
return 1
""")

_LOOK = Script("""
local leader, outcome = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if leader == ARGV[1] and not outcome then
  redis.pcall('SADD', KEYS[3], ARGV[2])
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
return {leader or '', outcome}
""")


class RedisFlights:
    """A FlightStore for all processes on one Redis. Every question is one exchange."""

    def __init__(self, client: RedisClient, wakeups: RedisWakeups) -> None:
        self._client = client
        self._wakeups = wakeups

    async def claim(self, key: str, holder: str) -> str:
        """Take the lease unless somebody has it; returns who has it now."""
        leader = await self._client.evaluate(
            _CLAIM, (_lease(key),), (holder, LEASE_MS), error=FlightStoreUnavailable
        )
        return str(leader, "ascii")

    async def renew(self, key: str, holder: str) -> bool:
        """Keep the lease; false if it is no longer this holder's."""
        renewed = await self._client.evaluate(
            _RENEW, (_lease(key),), (holder, LEASE_MS), error=FlightStoreUnavailable
        )
        return bool(renewed)

    async def land(self, key: str, holder: str, outcome: bytes | None) -> None:
        """Give the lease back, if it is still this holder's, and leave the outcome to those who wait."""
        arguments = holder, outcome or b"", OUTCOME_MS, key
        await self._client.evaluate(_LAND, _keys(key, holder), arguments, error=FlightStoreUnavailable)

    async def outcome(self, key: str, holder: str) -> bytes | None:
        """Wait until the flight has ended; what it left, `None` if nothing."""
        arguments = holder, self._wakeups.channel, OUTCOME_MS
        # First listen, then look: what lands in between is heard.
        with self._wakeups.listening(key) as landed:
            while True:
                landed.clear()
                leader, outcome = await self._client.evaluate(
                    _LOOK, _keys(key, holder), arguments, error=FlightStoreUnavailable
                )
                if outcome is not None or leader != holder.encode():
                    return None if outcome is None else bytes(outcome)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S if self._wakeups.is_heard else LOOK_UNTOLD_S):
                        await landed.wait()


def _keys(key: str, holder: str) -> tuple[str, str, str]:
    """Lease and outcome of the flight, and the channels of those who wait for one of this key."""
    return _lease(key), f"{_lease(key)}:{holder}", f"{_lease(key)}:waiting"


def _lease(key: str) -> str:
    return f"amos:flight:{{{key}}}"
