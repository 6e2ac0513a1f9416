"""Total time of a call: retries, fallbacks and waiting for others included."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic

import msgspec

from orchestrator import limits
from orchestrator.errors import DeadlineExceeded
from orchestrator.model import Call, ExtractRequest, RequestT, Response
from orchestrator.patience import within
from orchestrator.ports import Clock
from orchestrator.relays import CRAWL, FEEDBACK, MAP, RESEARCH, RESEARCH_STATUS, RelayRequest
from orchestrator.service import Service


class DeadlineFilter(Generic[RequestT]):
    """Sets the call's deadline and ends the call there.

    `total_s` tells the time a request may take, in seconds, and `policy_s` what the operator's policy alone
    would give it: a call with less is marked as hurried. The inner stages are expected to finish a little
    earlier on their own (an attempt gets what is left); this is the guarantee that they do. A call that waits
    for nothing, such as a cached answer, sets no timer.
    """

    def __init__(self, clock: Clock, total_s: Callable[[RequestT], float], policy_s: float) -> None:
        self._clock = clock
        self._total_s = total_s
        self._policy_s = policy_s

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer in time, or raise DeadlineExceeded."""
        total_s = self._total_s(call.request)
        now = self._clock.monotonic()
        deadline = min(call.deadline, now + total_s)
        limited = msgspec.structs.replace(call, deadline=deadline, is_hurried=deadline < now + self._policy_s)
        try:
            return await within(deadline, service(limited))
        except TimeoutError as late:
            raise DeadlineExceeded(
                f"No answer within {total_s:g} seconds.", retry_after_s=math.ceil(total_s)
            ) from late


def _before_the_end_of(patience_s: float) -> float:
    """When to answer somebody who waits so long: a tenth of it, at most a second, is for the way back."""
    return max(patience_s * 0.9, patience_s - 1.0)


EXTRACT_POLICY_S = _before_the_end_of(limits.EXTRACT_DEADLINE_S_MAX)
"""Time of an extract whose caller says nothing about their patience."""


def extract_total_s(request: ExtractRequest) -> float:
    """Time of an extract: the caller's patience, at most `limits.EXTRACT_DEADLINE_S_MAX`, less the way back.

    Tavily's clients send the same number they use as their own timeout, so the answer must leave before it.
    """
    asked_s = request.timeout_s or 0.0
    # The request is not validated yet: a time that is none must live to be refused as such.
    if not asked_s > 0:
        return EXTRACT_POLICY_S
    return _before_the_end_of(min(asked_s, limits.EXTRACT_DEADLINE_S_MAX))


RELAY_POLICY_S: dict[str, float] = {
    operation: _before_the_end_of(longest_s)
    for operation, longest_s in (
        (MAP, limits.RELAY_PAGES_S_MAX),
        (CRAWL, limits.RELAY_PAGES_S_MAX),
        (RESEARCH, limits.RESEARCH_S_MAX),
        (RESEARCH_STATUS, limits.RESEARCH_S_MAX),
        (FEEDBACK, limits.FEEDBACK_S_MAX),
    )
}
"""Time of what is passed on, if its caller says nothing about their patience."""


def relay_policy_s(request: RelayRequest) -> float:
    """What the policy alone gives a request that is passed on."""
    return limits.STREAM_S_MAX if request.is_streamed else RELAY_POLICY_S[request.operation]


def relay_total_s(request: RelayRequest) -> float:
    """Time of what is passed on: the caller's patience less the way back, at most what the policy gives."""
    asked_s = request.patience_s
    longest_s = relay_policy_s(request)
    return longest_s if asked_s is None else min(_before_the_end_of(asked_s), longest_s)
