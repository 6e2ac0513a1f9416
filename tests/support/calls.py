"""Calls with a real trail over a journal in memory, for tests of what handles calls."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from orchestrator import limits
from orchestrator.clock import SystemClock
from orchestrator.errors import ProviderError
from orchestrator.events import FlightJoined
from orchestrator.model import Call, Caller, RequestT
from orchestrator.ports import Clock
from orchestrator.recorder import Recorder
from tests.support.memory_journal import MemoryJournal


def make_call(
    request: RequestT,
    *,
    clock: Clock | None = None,
    patience_s: float = limits.DEADLINE_S,
    **caller_fields: Any,
) -> Call[RequestT]:
    """A call of the request by a caller at the door `test`, `patience_s` before its deadline.

    `caller_fields` are those of `model.Caller`; the time is the machine's unless a clock is given.
    """
    clock = clock or SystemClock()
    caller = Caller(**{"door": "test", **caller_fields})
    trail = Recorder(MemoryJournal(), clock).open(caller.trace_id)
    return Call(request=request, caller=caller, trail=trail, deadline=clock.monotonic() + patience_s)


def recorded(call: Call[Any]) -> list[Any]:
    """The events of the call so far, without their envelopes."""
    return [envelope.event for envelope in call.trail.events]


def changed(call: Call[RequestT], **fields: Any) -> Call[RequestT]:
    """The same call with other fields."""
    return msgspec.structs.replace(call, **fields)


def joined(leader: Call[Any], key: str = "k1") -> FlightJoined:
    """What a call records that waits for this one."""
    trail = leader.trail
    return FlightJoined(key=key, leader=trail.execution_id, leader_trace_id=trail.trace_id)


async def failure_of(answer: Awaitable[Any]) -> ProviderError:
    """The error a call of a provider ends with. Raises AssertionError if it ends well."""
    try:
        await answer
    except ProviderError as error:
        return error
    raise AssertionError("it did not fail")
