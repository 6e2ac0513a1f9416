"""Time of one attempt: the provider's own limit, or what is left of the call if that is less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic

import msgspec

from orchestrator.errors import ProviderTimeout
from orchestrator.model import Call, RequestT
from orchestrator.outcome import CUT_SHORT
from orchestrator.ports import Clock
from orchestrator.service import ResponseT, Service


class TimeoutFilter(Generic[RequestT, ResponseT]):
    """Ends an attempt that takes too long. `limit_s` gives the provider's limit for a request, in seconds.

    The moment is the attempt's deadline, so that a provider may end its own waits before it.

    Whose limit it was decides what the timeout says. The provider's own, and every share of the time that the
    operator's policy gives to a call, speak of the provider: that much time must do, and one that hangs is
    found out. Only a caller's own patience (`Call.is_hurried`) that left less than the provider's limit says
    nothing about it: the attempt was cut short, and one caller in a hurry must not close a provider to all
    others. A provider that hangs is then left to the calls that are not hurried, and to the fallback.
    """

    def __init__(self, provider: str, clock: Clock, limit_s: Callable[[RequestT], float]) -> None:
        self._provider = provider
        self._clock = clock
        self._limit_s = limit_s

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, ResponseT]) -> ResponseT:
        """Answer in time, or raise ProviderTimeout."""
        now = self._clock.monotonic()
        end = now + self._limit_s(call.request)
        moment = min(call.deadline, end)
        is_cut_short = call.is_hurried and call.deadline < end
        try:
            async with asyncio.timeout_at(moment):
                return await service(msgspec.structs.replace(call, deadline=moment))
        except ProviderTimeout as own:
            # It planned with the time it was given, so what made that short made it late.
            if is_cut_short:
                own.reason = CUT_SHORT
            raise
        except TimeoutError as late:
            raise ProviderTimeout(
                f"{self._provider} gave no answer within {moment - now:.1f} seconds.",
                provider=self._provider,
                reason=CUT_SHORT if is_cut_short else "timeout",
            ) from late
