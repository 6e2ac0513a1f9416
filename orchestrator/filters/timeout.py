"""Time of one attempt: the provider's own limit, or what is left of the call if that is less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic

import msgspec

from orchestrator.errors import ProviderTimeout
from orchestrator.model import Call, RequestT
from orchestrator.ports import Clock
from orchestrator.service import ResponseT, Service


class TimeoutFilter(Generic[RequestT, ResponseT]):
    """Ends an attempt that takes too long. `limit_s` gives the provider's limit for a request, in seconds.

    The moment is the attempt's deadline, so that a provider may end its own waits before it.
    """

    def __init__(self, provider: str, clock: Clock, limit_s: Callable[[RequestT], float]) -> None:
        self._provider = provider
        self._clock = clock
        self._limit_s = limit_s

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, ResponseT]) -> ResponseT:
        """Answer in time, or raise ProviderTimeout."""
        now = self._clock.monotonic()
        moment = min(call.deadline, now + self._limit_s(call.request))
        try:
            async with asyncio.timeout_at(moment):
                return await service(msgspec.structs.replace(call, deadline=moment))
        except TimeoutError as late:
            raise ProviderTimeout(
                f"{self._provider} gave no answer within {moment - now:.1f} seconds.",
                provider=self._provider,
                reason="timeout",
            ) from late
