"""Keeps every client within its windows: burst, minute and hour in one charge.

If the store is gone the policy says whether the door stays open: it does by default, since a limiter that
stops the service is worse than one that is missing for a minute.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import msgspec

from orchestrator.errors import AnonymousLimited, RateLimited, RateLimitStoreUnavailable
from orchestrator.events import RequestThrottled
from orchestrator.model import Call, RequestT, Response
from orchestrator.ports import RateLimitStore
from orchestrator.principals import OwnLimits, Principal
from orchestrator.quota import Window
from orchestrator.service import Service


class RateLimitPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of every client without windows of its own. Defaults chosen: a person never meets them.

    `fails_open`: whether calls pass while the store is out of reach.
    """

    burst: int = 20
    per_minute: int = 120
    per_hour: int = 2000
    fails_open: bool = True

    @property
    def windows(self) -> tuple[Window, ...]:
        """All windows."""
        return _windows(self.burst, self.per_minute, self.per_hour)

    def windows_of(self, limits: OwnLimits) -> tuple[Window, ...]:
        """The windows of a client with limits of its own."""
        return _windows(
            self.burst if limits.burst is None else limits.burst,
            self.per_minute if limits.per_minute is None else limits.per_minute,
            self.per_hour if limits.per_hour is None else limits.per_hour,
        )


@lru_cache(maxsize=1_024)
def _windows(burst: int, per_minute: int, per_hour: int) -> tuple[Window, ...]:
    """The burst window spans as long as the minute's rate takes to give it back, a minute at most."""
    burst = min(burst, per_minute)
    return (
        Window("burst", burst, 60.0 * burst / per_minute),
        Window("minute", per_minute, 60.0),
        Window("hour", per_hour, 3600.0),
    )


class RateLimitFilter:
    """Charges one call to its principal, or refuses with the time to wait."""

    def __init__(self, store: RateLimitStore, policy: RateLimitPolicy) -> None:
        self._store = store
        self._fails_open = policy.fails_open
        self._policy = policy
        self._windows = policy.windows

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer a caller within its limits.

        Raises RateLimited, RateLimitStoreUnavailable if closed on failure.
        """
        principal = call.principal
        if principal is not None and not principal.is_unlimited:
            await self._charge(call, principal)
        return await service(call)

    async def charge(self, call: Call[Any]) -> None:
        """Charge the call and no more. Raises as it does."""
        principal = call.principal
        if principal is not None and not principal.is_unlimited:
            await self._charge(call, principal)

    async def _charge(self, call: Call[RequestT], principal: Principal) -> None:
        own = principal.limits
        windows = self._windows if own is None else self._policy.windows_of(own)
        try:
            verdict = await self._store.hit(principal.counted_as, windows)
        except RateLimitStoreUnavailable:
            if self._fails_open:
                return
            raise
        call.trail.verdict = verdict
        if not verdict.allowed:
            window = verdict.window
            call.trail.record(RequestThrottled(window=window.name, retry_after_s=verdict.retry_after_s))
            # A caller without a key is only counted, as a stranger is: they could fill the disk.
            kind = AnonymousLimited if principal.address else RateLimited
            raise kind(
                f"Too many requests: {window.quota} per {window.period_s:g} seconds are allowed. "
                f"Retry after {math.ceil(verdict.retry_after_s)} seconds.",
                retry_after_s=verdict.retry_after_s,
                windows=verdict.used_up,
            )
