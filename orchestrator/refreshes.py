"""Answers fetched with nobody waiting: one at a time for each key, and none again soon after a failure.

A refresh is on the account of the caller who was given the old answer, and part of that execution: what it
did is written in a further frame. It has a deadline of its own and goes through the flights like any call, so
that callers who want a fresh answer meanwhile share it, and other processes do too.
"""

from __future__ import annotations

import asyncio
from typing import Generic

import msgspec

from orchestrator import limits
from orchestrator.events import RefreshStarted
from orchestrator.history import has_ended
from orchestrator.model import Call, RequestT, Response
from orchestrator.ports import Clock
from orchestrator.service import Service


class Refreshes(Generic[RequestT]):
    """The refreshes under way in this process; `aclose` waits for them.

    Each may take `total_s`; one that failed, or found nothing to keep, is followed by `pause_s` in which its
    key is left alone. Beyond `limits.REFRESHES_MAX` at once none is begun.
    """

    def __init__(self, clock: Clock, total_s: float, pause_s: float) -> None:
        self._clock = clock
        self._total_s = total_s
        self._pause_s = pause_s
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._paused: dict[str, float] = {}  # until when, by the clock that never goes back; oldest first

    def begin(
        self, call: Call[RequestT], key: str, service: Service[RequestT, Response], age_s: float
    ) -> bool:
        """Fetch the answer of the call soon, if that is not being done and did not just fail."""
        if key in self._under_way or len(self._under_way) >= limits.REFRESHES_MAX or self._is_paused(key):
            return False
        call.trail.record(RefreshStarted(key=key, cause="stale", age_s=age_s))
        refresh = msgspec.structs.replace(
            call,
            deadline=self._clock.monotonic() + self._total_s,
            is_hurried=False,
            is_refresh=True,
            cache_key=key,
        )
        task = asyncio.create_task(self._fetch(refresh, service), name=f"refresh {call.trail.execution_id}")
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key))
        return True

    async def _fetch(self, call: Call[RequestT], service: Service[RequestT, Response]) -> None:
        is_kept = False
        try:
            async with asyncio.timeout_at(call.deadline):
                response = await service(call)
            is_kept = response.ttl_s > 0
        except Exception:  # noqa: BLE001, S110 - nobody waits; what was tried is in the record
            pass
        finally:
            if not is_kept:
                self._pause(call.cache_key)
            if has_ended(call.trail.events):
                call.trail.commit_soon()

    def _pause(self, key: str) -> None:
        self._paused.pop(key, None)
        if len(self._paused) >= limits.REFRESHES_PAUSED_MAX:
            del self._paused[next(iter(self._paused))]
        self._paused[key] = self._clock.monotonic() + self._pause_s

    def _is_paused(self, key: str) -> bool:
        until = self._paused.get(key)
        if until is None:
            return False
        if self._clock.monotonic() < until:
            return True
        del self._paused[key]
        return False

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    async def aclose(self) -> None:
        """Wait for those under way; their deadlines bound the wait."""
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))
