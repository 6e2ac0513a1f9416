"""Identical calls under way at once cost one: a leader works, followers wait for its answer or its error.

The leader is a task of its own, with the deadline of the call that began it: no caller's leaving cancels it,
and it fills the cache for the next one. A follower's own deadline and cancellation stay its own. `no-store`
never joins.

Followers are answered a few in each turn of the event loop, in the order they came: a thousand of them would
otherwise hold up everybody else for as long as it takes to answer a thousand.

A leader's haste stays its own too. If a flight fails for want of time, the followers who have clearly more of
it share one further flight, with the time of the most patient of them; how that ends is the last word. So
does its client's empty purse: the followers of other clients begin anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Generic

import msgspec

from orchestrator import limits
from orchestrator.errors import BudgetExhausted, DeadlineExceeded, SearchFailed
from orchestrator.events import FREE, FlightJoined
from orchestrator.history import has_ended
from orchestrator.model import Call, RequestT, Response
from orchestrator.outcome import is_late
from orchestrator.service import Service

ANSWERED_COUNT = 16
"""chosen: followers answered in one turn of the event loop. When 1,000 of them were answered at once, a hit
for somebody else took 500 to 800 ms meanwhile; so it takes 40 to 75, as with 8 or 32."""


class _Flight(msgspec.Struct, Generic[RequestT]):
    """A leader at work, and those who wait for it. `patient` is the call among them that ends last."""

    leader: Call[RequestT]
    task: asyncio.Task[Response]
    patient: Call[RequestT]
    waiting: deque[asyncio.Future[None]] = msgspec.field(default_factory=deque)


class SingleFlightFilter(Generic[RequestT]):
    """One flight per cache key in this process. `aclose` waits for those still in the air."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[RequestT]] = {}
        self._tasks: set[asyncio.Task[Response]] = set()

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer from the one flight of this key; begin it if there is none.

        Raises what the flight raises.
        """
        if call.caller.cache_control.no_store:
            return await service(call)
        flight = self._flights.get(call.cache_key)
        if flight is None:
            if len(self._flights) >= limits.FLIGHTS_MAX:
                return await service(call)
            flight = self._begin(call, service)
        try:
            response = await _ride(call, flight)
        except BudgetExhausted:
            # It is the budget of the leader's client that is spent. Each further flight has another client.
            if _client(call) == _client(flight.leader):
                raise
            return await self(call, service)
        except SearchFailed as error:
            if not (is_late(error) and _has_more_time(call, flight.leader)):
                raise
        else:
            if call is flight.leader or call.caller.cache_control.accepts(response.age_s):
                return response
            return await self(call, service)  # It came from the cache, older than this call wants it.
        return await _ride(call, self._further(flight, service))

    def _begin(self, call: Call[RequestT], service: Service[RequestT, Response]) -> _Flight[RequestT]:
        task = asyncio.create_task(_lead(call, service), name=f"flight {call.trail.execution_id}")
        flight = self._flights[call.cache_key] = _Flight(leader=call, task=task, patient=call)
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._land(flight))
        return flight

    def _further(self, failed: _Flight[RequestT], service: Service[RequestT, Response]) -> _Flight[RequestT]:
        """The flight after one that had too little time.

        The first follower to come by begins it, and the others find it. One that a hasty newcomer has begun
        in between would fail them again.
        """
        flight = self._flights.get(failed.leader.cache_key)
        if flight is None or _has_more_time(failed.patient, flight.leader):
            flight = self._begin(failed.patient, service)
        return flight

    def _land(self, flight: _Flight[RequestT]) -> None:
        self._tasks.discard(flight.task)
        key = flight.leader.cache_key
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.task.cancelled():
            flight.task.exception()  # Seen here, so that a flight everybody has left does not warn about it.
        _answer(flight.waiting)

    def __len__(self) -> int:
        """How many flights are in the air."""
        return len(self._tasks)

    async def aclose(self) -> None:
        """Wait until every flight has landed; their deadlines bound the wait."""
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _ride(call: Call[RequestT], flight: _Flight[RequestT]) -> Response:
    """The answer of the flight, as its leader or as a follower."""
    if call is flight.leader:
        return await asyncio.shield(flight.task)
    if call.deadline > flight.patient.deadline:
        flight.patient = call
    leader = flight.leader.trail
    joined = FlightJoined(key=call.cache_key, leader=leader.execution_id, leader_trace_id=leader.trace_id)
    call.trail.record(joined)
    turn = asyncio.get_running_loop().create_future()
    flight.waiting.append(turn)
    await turn
    return msgspec.structs.replace(flight.task.result(), cache="collapsed", cost=FREE)


def _answer(waiting: deque[asyncio.Future[None]]) -> None:
    """Let the next few go on, now, and the others in the turns that follow."""
    for _ in range(min(len(waiting), ANSWERED_COUNT)):
        turn = waiting.popleft()
        if not turn.done():
            turn.set_result(None)
    if waiting:
        asyncio.get_running_loop().call_soon(_answer, waiting)


def _client(call: Call[Any]) -> str:
    return call.principal.client if call.principal else ""


def _has_more_time(call: Call[Any], leader: Call[Any]) -> bool:
    return call.deadline > leader.deadline + limits.PATIENCE_S_MIN


async def _lead(call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
    """Fly within the deadline of the call that began the flight."""
    try:
        async with asyncio.timeout_at(call.deadline):
            return await service(call)
    except TimeoutError as late:
        raise DeadlineExceeded("No answer before the deadline of the call this one waited for.") from late
    finally:
        if has_ended(call.trail.events):
            # Its caller has left or was told "too late", and its last frame is written: what happened since
            # then goes into a further frame of the same execution.
            call.trail.commit_soon()
