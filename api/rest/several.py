"""Several searches in one call: each an execution of its own, all under way at once.

Each is recorded, limited and cached as if it had come alone, so a question asked in a list is the cached
answer of the same question asked alone, and nothing is paid twice. They are in one trace. The call is
answered if one of them is; if none is, it fails as the first does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from api.rest.dialects.dialect import Outcome
from orchestrator.errors import GatewayError
from orchestrator.gateway import Gateway
from orchestrator.model import Call, Caller, Response, SearchRequest


class Several(msgspec.Struct, frozen=True):
    """The calls, and what became of each."""

    calls: tuple[Call[SearchRequest], ...]
    outcomes: tuple[Outcome, ...]

    @property
    def best(self) -> tuple[Call[SearchRequest], Response] | None:
        """The first call that was answered, whose headers speak for all; `None` if none was."""
        for call, outcome in zip(self.calls, self.outcomes, strict=True):
            if outcome.response is not None:
                return call, outcome.response
        return None

    @property
    def failure(self) -> GatewayError:
        """That of the first call; there must be one."""
        error = self.outcomes[0].error
        assert error is not None
        return error


async def search_all(gateway: Gateway, requests: Sequence[SearchRequest], caller: Caller) -> Several:
    """Ask everything at once, and wait for the last. A caller who leaves cancels all."""
    first = gateway.open(requests[0], caller)
    if not caller.trace_id:
        caller = msgspec.structs.replace(caller, trace_id=first.trail.trace_id)
    calls = (first, *(gateway.open(request, caller) for request in requests[1:]))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(gateway, call)) for call in calls]
    _tell_what_is_left(calls)
    return Several(calls, tuple(task.result() for task in tasks))


def _tell_what_is_left(calls: Sequence[Call[SearchRequest]]) -> None:
    """Let each call show what the limiter said to the one it charged last: one answer speaks for all."""
    verdicts = [call.trail.verdict for call in calls if call.trail.verdict is not None]
    if verdicts:
        least = min(verdicts, key=lambda verdict: verdict.remaining[verdict.tightest])
        for call in calls:
            call.trail.verdict = least


async def _outcome(gateway: Gateway, call: Call[SearchRequest]) -> Outcome:
    execution_id = call.trail.execution_id
    try:
        response = await gateway.search(call)
    except GatewayError as error:
        return Outcome(request=call.request, execution_id=execution_id, error=error)
    return Outcome(request=call.request, execution_id=execution_id, response=response)
