"""Callers that no key tells apart: served by address if the operator wants that, refused and counted by it.

An address is only ever kept in memory, and never long. IPv6 addresses count by their first 64 bits, since a
single machine has all the rest to itself.
"""

from __future__ import annotations

import ipaddress
import math
from functools import lru_cache

from orchestrator.errors import RefusedTooOften, Unauthenticated
from orchestrator.events import CallerAuthenticated
from orchestrator.model import Caller
from orchestrator.ports import Clock
from orchestrator.principals import OwnLimits, Principal

REFUSALS_PER_MINUTE = 60
"""chosen: a program with a wrong key that asks once a second hears each time what is wrong; one that asks
faster is told to wait."""

ADDRESSES_MAX = 10_000
"""chosen: 2 MB; a flood from more addresses than this within a minute makes some of them count anew."""


ANONYMOUS = "anonymous"
"""The client of everybody who is served without a key."""

_SCOPES = frozenset({"search", "extract"})
_FACT = CallerAuthenticated(client=ANONYMOUS, method="anonymous")


class Strangers:
    """What becomes of a caller that nobody knows. Bounded, never waits.

    `per_minute` is how much each address may ask without a key; 0 serves nobody without one.
    """

    def __init__(self, clock: Clock, per_minute: int = 0) -> None:
        self._now = clock.monotonic
        self._limits = OwnLimits(per_minute=per_minute) if per_minute else None
        self._counts: dict[str, tuple[float, int]] = {}

    def admit(self, caller: Caller, refusal: Unauthenticated) -> tuple[Principal, CallerAuthenticated]:
        """The principal of a caller who showed nothing, if such are served.

        Raises the refusal otherwise, or RefusedTooOften. The key is checked all the same before, which takes
        microseconds: an address that is told to wait may be shared with callers whose keys are good.
        """
        if self._limits is not None and caller.credential is None:
            address = network(caller.address) or "unknown"
            return Principal(client=ANONYMOUS, scopes=_SCOPES, limits=self._limits, address=address), _FACT
        wait_s = self._wait_s(caller.address)
        if wait_s:
            raise RefusedTooOften(
                f"{refusal.message} This was refused too often; retry after {math.ceil(wait_s)} seconds.",
                reason="too_often",
                retry_after_s=wait_s,
            ) from refusal
        raise refusal

    def _wait_s(self, address: str) -> float:
        """Count a refusal of the address. Seconds it should wait, 0 while it is not refused too often."""
        if not address:
            return 0.0
        now = self._now()
        place = network(address)
        begun, count = self._counts.pop(place, (now, 0))
        if now >= begun + 60.0:
            begun, count = now, 0
        elif len(self._counts) >= ADDRESSES_MAX:
            del self._counts[next(iter(self._counts))]
        self._counts[place] = (begun, count + 1)
        return begun + 60.0 - now if count >= REFUSALS_PER_MINUTE else 0.0


@lru_cache(maxsize=4_096)
def network(address: str) -> str:
    """What a caller has to itself: an IPv4 address or the /64 of an IPv6 address, else the text as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
