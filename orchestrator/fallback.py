"""One service from an ordered chain of services: the next one is asked for what the one before could not do.

A failure moves on at once. An answer that leaves something open (nothing found; pages unread) may move on
too, as the policy allows. A step that is unusually slow may have company: the next one is asked as well, and
the first useful answer counts (hedging.py). One that was busy may have room when all others have failed, and
is asked once more. The last step may be a floor: it stands in when everything before it failed, and never
because the web simply had nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias

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
from orchestrator.events import AttemptHedged, ProviderSkipped
from orchestrator.hedging import Hedger
from orchestrator.model import AnswerT, Attempt, Call, Found, RequestT
from orchestrator.outcome import BUSY, NO_TIME, Outcome, judge, reason
from orchestrator.ports import Clock
from orchestrator.projections.executions import attempts
from orchestrator.service import Service

RETRY_AFTER_S = 5.0
"""chosen: what a caller is told to wait for a provider that named no time of its own."""

RESERVE_RATIO_MAX = 0.5
"""chosen: however much the rest of the chain would like to keep, the step at hand gets half of what is
left."""


class Step(msgspec.Struct, Generic[RequestT, AnswerT], frozen=True, kw_only=True):
    """One provider of the chain. `reserve_s` is the time to keep for it while earlier steps are tried.

    `is_ready` says whether it would be called at once.
    """

    provider: str
    service: Service[RequestT, Found[AnswerT]]
    reserve_s: float
    is_floor: bool = False
    is_ready: Callable[[], bool] = lambda: True


End: TypeAlias = Found[AnswerT] | Exception | None
"""What came of asking a step: an answer, a failure, or nothing, because another answer came before."""


class Fallback(Generic[RequestT, AnswerT]):
    """The chain. Answers with everything found, in order of the chain, at least one.

    `remainder(request, answer)` is what is still to be asked after an answer, or `None`; at most
    `remainders_max` times is it asked of a further step. Without a `hedger` one step is asked at a time.
    """

    def __init__(
        self,
        steps: Sequence[Step[RequestT, AnswerT]],
        clock: Clock,
        remainder: Callable[[RequestT, AnswerT], RequestT | None],
        remainders_max: int,
        hedger: Hedger | None = None,
    ) -> None:
        self._steps = tuple(steps)
        self._clock = clock
        self._remainder = remainder
        self._remainders_max = remainders_max
        self._hedger = hedger

    async def __call__(self, call: Call[RequestT]) -> tuple[Found[AnswerT], ...]:
        """Ask the steps in order. Raises AllProvidersFailed, QuotaExhausted, InvalidRequest."""
        first_event = len(call.trail.events)
        if self._hedger is not None and not (call.is_refresh or call.is_last_resort):
            self._hedger.count()
        found: list[Found[AnswerT]] = []
        errors: list[Exception] = []
        request: RequestT | None = call.request
        steps, position = self._steps, 0
        while request is not None and self._goes_on(steps[position:], found):
            asked = request
            for end in await self._ends(call, asked, steps[position:]):
                step = steps[position]
                if isinstance(end, Exception):
                    _raise_if_nobody_could(end)
                    errors.append(end)
                    if _is_busy(end) and len(steps) == len(self._steps):
                        steps = _once_more(steps, step)
                elif end is not None:
                    answer = msgspec.structs.replace(end, is_fallback=position > 0, is_degraded=step.is_floor)
                    found.append(answer)
                    request = self._remainder(asked, end.answer)
                position += 1
        tried = attempts(call.trail.events[first_event:])
        if not found:
            raise _failure(tried, errors)
        return tuple(msgspec.structs.replace(one, attempts=tried) for one in found)

    def _goes_on(self, steps: Sequence[Step[RequestT, AnswerT]], found: Sequence[Found[AnswerT]]) -> bool:
        """Whether the first of the steps that are left, if any is, may be asked for what is open."""
        if not steps or len(found) > self._remainders_max:
            return False
        return not (found and steps[0].is_floor)

    async def _ends(
        self, call: Call[RequestT], request: RequestT, steps: Sequence[Step[RequestT, AnswerT]]
    ) -> Sequence[End[AnswerT]]:
        """What came of the first of these steps and, if it was hedged, of the one after it.

        Where nobody waits nothing is gained by haste.
        """
        after_s = None
        if self._hedger is not None and len(steps) > 1 and not call.is_refresh:
            after_s = self._hedger.after_s(call, steps[0].provider)
        if self._hedger is None or after_s is None or steps[1].is_floor:
            return (await self._end(call, request, steps),)
        return await self._raced(call, request, steps, after_s, self._hedger)

    async def _raced(
        self,
        call: Call[RequestT],
        request: RequestT,
        steps: Sequence[Step[RequestT, AnswerT]],
        after_s: float,
        hedger: Hedger,
    ) -> Sequence[End[AnswerT]]:
        """As `_ends`; the next step is asked too if this one has not answered after `after_s`.

        The loser is called off and waited for, so that its end is in the record before the call's own.
        """
        step, other = steps[:2]
        first = asyncio.ensure_future(self._end(call, request, steps))
        asked = [first]
        try:
            is_slow = await hedger.is_slow(first, call, step.provider, after_s)
            if not (is_slow and other.is_ready() and hedger.take()):
                return (await first,)
            call.trail.record(AttemptHedged(provider=step.provider, after_s=after_s))
            second = asyncio.ensure_future(self._end(call, request, steps[1:]))
            asked.append(second)
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            if not first.done() and self._is_enough(request, second.result()):
                hedger.lost(call, step.provider)
                return (None, second.result())
            end = await first
            if self._is_enough(request, end) or _ends_all(end):
                return (end,)
            return (end, await second)
        finally:
            await _call_off(asked)

    def _is_enough(self, request: RequestT, end: End[AnswerT]) -> bool:
        """Whether this is an answer that leaves nothing open."""
        return isinstance(end, Found) and self._remainder(request, end.answer) is None

    async def _end(
        self, call: Call[RequestT], request: RequestT, steps: Sequence[Step[RequestT, AnswerT]]
    ) -> End[AnswerT]:
        """What came of asking the first of these steps, while time is kept for the others."""
        step = steps[0]
        narrowed = msgspec.structs.replace(call, request=request, deadline=self._share(call, steps[1:]))
        try:
            answer = await self._ask(step, narrowed)
        except Exception as error:  # noqa: BLE001 - any failure of one provider moves on to the next
            return error
        if self._hedger is not None:
            self._hedger.answered(call, step.provider)
        return answer

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

    def _share(self, call: Call[RequestT], later: Sequence[Step[RequestT, AnswerT]]) -> float:
        """The moment by which a step must be done, so that the later ones get their time too."""
        end = call.deadline - limits.WAY_BACK_S
        left_s = max(0.0, end - self._clock.monotonic())
        reserve_s = sum(step.reserve_s for step in later)
        return end - min(reserve_s, left_s * RESERVE_RATIO_MAX)


def _is_busy(error: Exception) -> bool:
    return isinstance(error, ProviderHeldBack) and error.reason == BUSY


def _once_more(
    steps: tuple[Step[RequestT, AnswerT], ...], step: Step[RequestT, AnswerT]
) -> tuple[Step[RequestT, AnswerT], ...]:
    """The steps with this one once more at their end, but before the floor."""
    end = len(steps) - steps[-1].is_floor
    return (*steps[:end], step, *steps[end:])


async def _call_off(asked: Sequence[asyncio.Future[Any]]) -> None:
    """End what is still under way, and wait until it has ended."""
    under_way = [one for one in asked if not one.done()]
    for one in under_way:
        one.cancel()
    if under_way:
        await asyncio.wait(under_way)


def _ends_all(end: object) -> bool:
    """Whether this is a failure after which nobody else is asked."""
    return isinstance(end, CallerError | StorageError) or (
        isinstance(end, Exception) and judge(end) is Outcome.INVALID
    )


def _raise_if_nobody_could(error: Exception) -> None:
    """Stop the chain for a request no provider will take, and for a record that cannot be kept."""
    if isinstance(error, CallerError | StorageError):
        raise error
    if _ends_all(error):
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
