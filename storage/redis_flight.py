"""Who is fetching which answer, on Redis: a lease for each key, and for a moment how each flight ended.

Lease and outcome of a key share its hash tag, so that a Cluster keeps them in one slot.
"""

from __future__ import annotations

from orchestrator.errors import FlightStoreUnavailable
from orchestrator.ports import FlightView
from storage.redis_client import RedisClient, Script

LEASE_MS = 1_500
"""chosen: those who wait for a dead leader lose at most this; a leader whose event loop stands still for so
long loses its lease."""

OUTCOME_MS = 2_000
"""chosen: twenty times the longest pause between two looks of those who wait."""

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

_LAND = Script("""
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
""")


class RedisFlights:
    """A FlightStore for all processes on one Redis. Every method is one exchange."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

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
        keys = _lease(key), _outcome(key, holder)
        arguments = holder, outcome or b"", OUTCOME_MS
        await self._client.evaluate(_LAND, keys, arguments, error=FlightStoreUnavailable)

    async def look(self, key: str, holder: str) -> FlightView:
        """Who holds the lease now, and how the flight of `holder` ended."""
        leader, outcome = await self._client.execute(
            "MGET", _lease(key), _outcome(key, holder), error=FlightStoreUnavailable
        )
        return FlightView("" if leader is None else str(leader, "ascii"), outcome)


def _lease(key: str) -> str:
    return f"amos:flight:{{{key}}}"


def _outcome(key: str, holder: str) -> str:
    return f"amos:flight:{{{key}}}:{holder}"
