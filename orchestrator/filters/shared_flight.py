"""Identical calls of several processes and hosts cost one: whoever takes the key's lease works, others wait.

It stands inside the flight of the process, so that of each process one call asks at most. The lease is short
and renewed while its holder lives: when a leader dies it lapses, and exactly one of those who wait takes
over. If the store is out of reach everybody goes alone, at once.

The answer reaches the others through the store, for a moment only; the cache is filled by the leader as
always. The store tells those who wait when the flight has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Generic

import msgspec

from orchestrator import limits
from orchestrator.errors import (
    AllProvidersFailed,
    DeadlineExceeded,
    FlightStoreUnavailable,
    InvalidRequest,
    PageUnreadable,
    QuotaExhausted,
    SearchFailed,
)
from orchestrator.events import FREE, FlightJoined
from orchestrator.model import Attempt, Call, RequestT, Response
from orchestrator.outcome import is_late
from orchestrator.ports import Clock, FlightStore
from orchestrator.service import Service

RENEW_S = 0.5
"""chosen: a third of the lease, so that one lost renewal does not end it."""

TOO_LARGE = "too_large"
"""The code of a landing whose answer is not sent: what is too large for the shared cache would hold up
everybody's questions to the store here too. Those who wait ask by themselves, all at once."""


class Landing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a flight ended: with a response, or with an error of this code.

    `left_s` is the time its leader had left at the end, by which others judge its haste.
    """

    response: Response | None = None
    code: str = ""
    message: str = ""
    field: str = ""
    retry_after_s: float | None = None
    attempts: tuple[Attempt, ...] = ()
    left_s: float = 0.0


class SharedFlightFilter(Generic[RequestT]):
    """One flight per cache key over all processes that share the store.

    `look_again` finds what was cached since the call looked: its leader may have landed just before this one
    took the lease.
    """

    def __init__(
        self,
        flights: FlightStore,
        clock: Clock,
        look_again: Callable[[Call[RequestT]], Awaitable[Response | None]],
    ) -> None:
        self._flights = flights
        self._clock = clock
        self._look_again = look_again

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer from the one flight of this key, as its leader or as one who waits.

        Raises what the flight raises; a failure for want of time only if this call has no more of it.
        """
        if call.caller.cache_control.no_store:
            return await service(call)
        holder = f"{call.trail.execution_id}:{call.trail.trace_id}:{secrets.token_hex(8)}"
        has_flown_on = False
        while True:
            try:
                leader = await self._flights.claim(call.cache_key, holder)
                landing = None if leader == holder else await self._follow(call, leader)
            except FlightStoreUnavailable:
                return await service(call)
            if leader == holder:
                return await self._lead(call, holder, service)
            if landing is None:
                continue  # Nobody knows how it ended, so somebody has to do it again.
            if landing.code == TOO_LARGE:
                return await service(call)
            if landing.response is not None:
                if not call.caller.cache_control.accepts(landing.response.age_s):
                    continue  # The leader found one in the cache, as old as this call does not want it.
                return msgspec.structs.replace(landing.response, cache="collapsed", cost=FREE)
            error = _error_of(landing)
            has_more_time = self._left_s(call) > landing.left_s + limits.PATIENCE_S_MIN
            if has_flown_on or not (is_late(error) and has_more_time):
                raise error
            has_flown_on = True

    async def _follow(self, call: Call[RequestT], leader: str) -> Landing | None:
        """Wait until the flight of the leader has ended; `None` if it left no word."""
        execution_id, *rest = leader.split(":")
        trace_id = rest[0] if len(rest) > 1 else ""  # a leader of an earlier version does not tell it
        call.trail.record(FlightJoined(key=call.cache_key, leader=execution_id, leader_trace_id=trace_id))
        outcome = await self._flights.outcome(call.cache_key, leader)
        return None if outcome is None else _decoded(outcome)

    async def _lead(
        self, call: Call[RequestT], holder: str, service: Service[RequestT, Response]
    ) -> Response:
        landing: Landing | None = None
        renewal = asyncio.create_task(self._renew(call.cache_key, holder), name=f"lease {holder}")
        try:
            response = await self._look_again(call) or await service(call)
            landing = Landing(response=response)
        except (SearchFailed, InvalidRequest) as error:
            landing = _landing_of(error, self._left_s(call))
            raise
        except asyncio.CancelledError:
            if self._left_s(call) <= 0.0:
                late = DeadlineExceeded("No answer before the deadline of the call this one waited for.")
                landing = _landing_of(late, 0.0)
            raise
        else:
            return response
        finally:
            # Any other failure is this process's own: it leaves no word, and somebody else tries.
            renewal.cancel()
            with contextlib.suppress(FlightStoreUnavailable):
                outcome = None if landing is None else _encoded(landing)
                await self._flights.land(call.cache_key, holder, outcome)
            await asyncio.wait([renewal])

    async def _renew(self, key: str, holder: str) -> None:
        """Keep the lease until cancelled or lost. A leader that lost it works on: its answer is paid for."""
        is_held = True
        while is_held:
            await self._clock.sleep(RENEW_S)
            with contextlib.suppress(FlightStoreUnavailable):
                is_held = await self._flights.renew(key, holder)

    def _left_s(self, call: Call[RequestT]) -> float:
        return call.deadline - self._clock.monotonic()


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Landing)


def _encoded(landing: Landing) -> bytes:
    outcome = _encode(landing)
    return outcome if len(outcome) <= limits.L2_ENTRY_BYTES_MAX else _encode(Landing(code=TOO_LARGE))


def _decoded(outcome: bytes) -> Landing | None:
    """The landing; `None` for one that another version of AMOS has written and this one cannot read."""
    try:
        return _decoder.decode(outcome)
    except msgspec.DecodeError:
        return None


def _landing_of(error: SearchFailed | InvalidRequest, left_s: float) -> Landing:
    return Landing(
        code=error.code,
        message=error.message,
        field=error.field if isinstance(error, InvalidRequest) else "",
        retry_after_s=error.retry_after_s,
        attempts=error.attempts if isinstance(error, AllProvidersFailed) else (),
        left_s=left_s,
    )


def _error_of(landing: Landing) -> SearchFailed | InvalidRequest:
    """The error as the leader raised it; one this version does not know is a search that failed."""
    if landing.code == InvalidRequest.code:
        return InvalidRequest(landing.message, field=landing.field)
    for chain_failure in (AllProvidersFailed, QuotaExhausted):
        if landing.code == chain_failure.code:
            return chain_failure(
                landing.message, attempts=landing.attempts, retry_after_s=landing.retry_after_s
            )
    kinds = {kind.code: kind for kind in (DeadlineExceeded, PageUnreadable)}
    return kinds.get(landing.code, SearchFailed)(landing.message, retry_after_s=landing.retry_after_s)
