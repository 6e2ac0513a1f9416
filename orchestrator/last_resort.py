"""A provider that is being left alone is asked all the same when whoever was to stand in for it has failed.

A circuit spares callers a provider that is down, as long as another one is well. If that one goes down while
the first may long be back, its cooldown would turn one provider's outage into everybody's. So a call that was
let down by a provider it did ask may ask those whose circuits are open: it has nothing to lose. An answer
closes the circuit for all.

How often that happens is bounded by the circuit of the provider that failed: once that is open too, a call
has been let down by nobody, and is refused at once. A provider that has asked to be left alone is (429).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Generic

import msgspec

from orchestrator.errors import AllProvidersFailed, CallerError, CircuitOpen
from orchestrator.fallback import Step
from orchestrator.model import AnswerT, Attempt, Call, Found, RequestT
from orchestrator.outcome import BUSY
from orchestrator.projections.executions import attempts
from orchestrator.service import Service

SKIPPED = "skipped"
"""The outcome of an attempt that was none (see model.Attempt)."""

CIRCUIT_OPEN = CircuitOpen.code
"""The reason for which a provider is passed by that is being left alone."""


class LastResort(Generic[RequestT, AnswerT]):
    """The chain that `build` makes of the steps, and where that fails another of those it has passed by.

    `is_passable` says of a provider whether its circuit would let a call of last resort through.
    """

    def __init__(
        self,
        steps: Sequence[Step[RequestT, AnswerT]],
        build: Callable[[Sequence[Step[RequestT, AnswerT]]], Service[RequestT, tuple[Found[AnswerT], ...]]],
        is_passable: Callable[[str], bool],
    ) -> None:
        self._steps = [step for step in steps if not step.is_floor]
        self._first = steps[0].provider if steps else ""
        self._build = build
        self._is_passable = is_passable
        self._chain = build(steps)

    async def __call__(self, call: Call[RequestT]) -> tuple[Found[AnswerT], ...]:
        """Answer as the chain does, better than its floor if possible. Raises what the chain raises."""
        first_event = len(call.trail.events)
        found: tuple[Found[AnswerT], ...] = ()
        failure: AllProvidersFailed | None = None
        try:
            found = await self._chain(call)
        except AllProvidersFailed as error:
            failure = error
        if found and not found[0].is_degraded:
            return found
        others = self._passed_by(attempts(call.trail.events[first_event:]))
        if others:
            # A client that may not pay for it, or a request that is none to it, is no worse off than before.
            with contextlib.suppress(AllProvidersFailed, CallerError):
                better = await self._build(others)(msgspec.structs.replace(call, is_last_resort=True))
                found = tuple(
                    msgspec.structs.replace(one, is_fallback=one.provider != self._first) for one in better
                )
        tried = attempts(call.trail.events[first_event:])
        if failure is not None and not found:
            failure.attempts = tried
            raise failure
        return tuple(msgspec.structs.replace(one, attempts=tried) for one in found)

    def _passed_by(self, tried: Sequence[Attempt]) -> list[Step[RequestT, AnswerT]]:
        """The steps whose circuits were open, if the call was let down by another; else none."""
        asked = {one.provider for one in tried if one.outcome != SKIPPED or one.reason == BUSY}
        if not any(step.provider in asked for step in self._steps):
            return []
        refused = {one.provider for one in tried if one.reason == CIRCUIT_OPEN} - asked
        return [step for step in self._steps if step.provider in refused and self._is_passable(step.provider)]
