"""One service from an ordered chain of services: the next one is asked for what the one before could not do.

A failure moves on at once. An answer that leaves something open (nothing found; pages unread) may move on
too, as the policy allows. The last step may be a floor: it stands in when everything before it failed, and
never because the web simply had nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic

import msgspec

from orchestrator import limits
from orchestrator.errors import (
    AllProvidersFailed,
    CallerError,
    CircuitOpen,
    GatewayError,
    InvalidRequest,
    ProviderHeldBack,
    ProviderQuotaExceeded,
    ProviderTimeout,
    QuotaExhausted,
    StorageError,
)
from orchestrator.events import ProviderSkipped
from orchestrator.model import AnswerT, Attempt, Call, Found, RequestT
from orchestrator.outcome import NO_TIME, Outcome, judge, reason
from orchestrator.ports import Clock
from orchestrator.projections.executions import attempts
from orchestrator.service import Service

RETRY_AFTER_S = 5.0
"""chosen: what a caller is told to wait for a provider that named no time of its own."""

RESERVE_RATIO_MAX = 0.5
"""chosen: however much the rest of the chain would like to keep, the step at hand gets half of what is
left."""


class Step(msgspec.Struct, Generic[RequestT, AnswerT], frozen=True, kw_only=True):
    """One provider of the chain. `reserve_s` is the time to keep for it while earlier steps are tried."""

    provider: str
    service: Service[RequestT, Found[AnswerT]]
    reserve_s: float
    is_floor: bool = False


class Fallback(Generic[RequestT, AnswerT]):
    """The chain. Answers with everything found, in order of the chain, at least one.

    `remainder(request, answer)` is what is still to be asked after an answer, or `None`; at most
    `remainders_max` times is it asked of a further step.
    """

    def __init__(
        self,
        steps: Sequence[Step[RequestT, AnswerT]],
        clock: Clock,
        remainder: Callable[[RequestT, AnswerT], RequestT | None],
        remainders_max: int,
    ) -> None:
        self._steps = tuple(steps)
        self._clock = clock
        self._remainder = remainder
        self._remainders_max = remainders_max

    async def __call__(self, call: Call[RequestT]) -> tuple[Found[AnswerT], ...]:
        """Ask the steps in order. Raises AllProvidersFailed, QuotaExhausted, InvalidRequest."""
        first_event = len(call.trail.events)
        found: list[Found[AnswerT]] = []
        errors: list[Exception] = []
        request: RequestT | None = call.request
        for position, step in enumerate(self._steps):
            if request is None or len(found) > self._remainders_max or (found and step.is_floor):
                break
            narrowed = msgspec.structs.replace(call, request=request, deadline=self._share(call, position))
            try:
                answer = await self._ask(step, narrowed)
            except Exception as error:  # noqa: BLE001 - any failure of one provider moves on to the next
                _raise_if_nobody_could(error)
                errors.append(error)
                continue
            found.append(msgspec.structs.replace(answer, is_fallback=position > 0, is_degraded=step.is_floor))
            request = self._remainder(request, answer.answer)
        tried = attempts(call.trail.events[first_event:])
        if not found:
            raise _failure(tried, errors)
        return tuple(msgspec.structs.replace(one, attempts=tried) for one in found)

    async def _ask(self, step: Step[RequestT, AnswerT], call: Call[RequestT]) -> Found[AnswerT]:
        if call.deadline - self._clock.monotonic() < limits.ATTEMPT_S_MIN:
            call.trail.record(ProviderSkipped(provider=step.provider, reason=NO_TIME))
            raise ProviderTimeout(
                f"No time was left for {step.provider}.", provider=step.provider, reason=NO_TIME
            )
        try:
            return await step.service(call)
        except (CircuitOpen, ProviderHeldBack) as not_called:
            call.trail.record(ProviderSkipped(provider=step.provider, reason=reason(not_called)))
            raise

    def _share(self, call: Call[RequestT], position: int) -> float:
        """The moment by which the step must be done, so that the steps after it get their time too."""
        end = call.deadline - limits.WAY_BACK_S
        left_s = max(0.0, end - self._clock.monotonic())
        reserve_s = sum(step.reserve_s for step in self._steps[position + 1 :])
        return end - min(reserve_s, left_s * RESERVE_RATIO_MAX)


def _raise_if_nobody_could(error: Exception) -> None:
    """Stop the chain for a request no provider will take, and for a record that cannot be kept."""
    if isinstance(error, CallerError | StorageError):
        raise error
    if judge(error) is Outcome.INVALID:
        raise InvalidRequest("The search provider refused the request as invalid.") from error


def _failure(tried: tuple[Attempt, ...], errors: Sequence[Exception]) -> AllProvidersFailed:
    if not errors:
        return AllProvidersFailed(
            "Nobody could be asked: no provider is configured for this. `amos doctor` shows what is missing.",
            attempts=(),
        )
    reasons = "; ".join(f"{attempt.provider}: {attempt.reason}" for attempt in tried)
    if errors and all(_is_quota(error) for error in errors):
        spent = "budget" if any(attempt.reason == "budget" for attempt in tried) else "quota"
        return QuotaExhausted(f"The {spent} of every search provider is used up ({reasons}).", attempts=tried)
    return AllProvidersFailed(
        f"No search provider could answer ({reasons}).",
        attempts=tried,
        retry_after_s=min(map(_wait_s, errors), default=RETRY_AFTER_S),
    )


def _is_quota(error: Exception) -> bool:
    """Whether it is for our quota or budget that it did not answer, now or when its circuit opened."""
    return (
        isinstance(error, ProviderQuotaExceeded)
        or (isinstance(error, CircuitOpen) and error.is_quota)
        or (isinstance(error, ProviderHeldBack) and error.reason == "budget")
    )


def _wait_s(error: Exception) -> float:
    """After how long the provider may answer again; one that named no time may do so soon."""
    return (isinstance(error, GatewayError) and error.retry_after_s) or RETRY_AFTER_S
