"""Calls with a real trail over a journal in memory, for tests of what handles calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from orchestrator import limits
from orchestrator.clock import SystemClock
from orchestrator.errors import EventLogUnavailable
from orchestrator.events import Envelope, Frame
from orchestrator.model import Call, Caller, RequestT
from orchestrator.ports import Clock
from orchestrator.recorder import Recorder


class ListJournal:
    """A journal that keeps its frames in a list: durable for as long as the test runs.

    Set `is_full` to have it refuse, as a full disk does.
    """

    instance = "test"

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        """What was written, oldest first."""
        self.is_full = False

    async def _write(self, frame: Frame) -> None:
        if self.is_full:
            raise EventLogUnavailable("The journal of this test is full.")

    def append(
        self, stream: str, recorded_at: float, events: Sequence[Envelope], texts: Mapping[str, str]
    ) -> Any:
        """Take one frame now, unless the journal is full."""
        frame = Frame(
            instance=self.instance,
            instance_seq=len(self.frames) + 1,
            stream=stream,
            recorded_at=recorded_at,
            events=tuple(events),
            texts=dict(texts),
        )
        if not self.is_full:
            self.frames.append(frame)
        return self._write(frame)


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
    trail = Recorder(ListJournal(), clock).open(caller.trace_id)
    return Call(request=request, caller=caller, trail=trail, deadline=clock.monotonic() + patience_s)


def recorded(call: Call[Any]) -> list[Any]:
    """The events of the call so far, without their envelopes."""
    return [envelope.event for envelope in call.trail.events]


def changed(call: Call[RequestT], **fields: Any) -> Call[RequestT]:
    """The same call with other fields."""
    return msgspec.structs.replace(call, **fields)
