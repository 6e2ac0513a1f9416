"""One call to one provider, as facts: the intent before it, the outcome after it.

The intent of a call somebody bills is durable before the provider hears of it. Whatever happens to this
process then, the log knows that the money may be spent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Generic

import msgspec

from orchestrator.events import (
    FREE,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Cost,
)
from orchestrator.model import (
    AnswerT,
    Call,
    ExtractRequest,
    Found,
    RequestT,
    SearchRequest,
)
from orchestrator.outcome import bill, judge, reason
from orchestrator.ports import Clock
from orchestrator.relays import RelayRequest
from orchestrator.service import Service


class AttemptFilter(Generic[RequestT, AnswerT]):
    """Records AttemptStarted, then AttemptSucceeded or AttemptFailed.

    `estimate` prices a request in advance.
    """

    def __init__(self, provider: str, clock: Clock, estimate: Callable[[RequestT], Cost]) -> None:
        self._provider = provider
        self._clock = clock
        self._estimate = estimate

    async def __call__(
        self, call: Call[RequestT], service: Service[RequestT, Found[AnswerT]]
    ) -> Found[AnswerT]:
        """Answer as the provider does. Raises EventLogUnavailable, and then the provider was not called."""
        number = self._number(call)
        estimate = self._estimate(call.request)
        span_id = secrets.token_hex(8)
        whose = _whose(call)
        call.trail.record(
            AttemptStarted(
                provider=self._provider, number=number, span_id=span_id, estimate=estimate, **whose
            )
        )
        intended_at = call.trail.events[-1].at
        begun = self._clock.monotonic()
        is_called = False
        try:
            if estimate != FREE:
                await call.trail.commit()
                begun = self._clock.monotonic()
            is_called = True
            found = await service(msgspec.structs.replace(call, span_id=span_id))
        except BaseException as error:
            # A cancelled attempt is a fact too; the cancellation goes on. So is one that was not made because
            # its intent could not be written: without an outcome it would settle as spent.
            cost, assumed = bill(error, estimate) if is_called else (FREE, FREE)
            call.trail.record(
                AttemptFailed(
                    provider=self._provider,
                    number=number,
                    duration_s=self._clock.monotonic() - begun,
                    outcome=judge(error),
                    reason=reason(error),
                    cost=cost,
                    assumed=assumed,
                    estimate=estimate,
                    intended_at=intended_at,
                    **whose,
                )
            )
            raise
        call.trail.record(
            AttemptSucceeded(
                provider=self._provider,
                number=number,
                duration_s=self._clock.monotonic() - begun,
                results=found.answer.count,
                cost=found.cost,
                assumed=found.assumed,
                estimate=estimate,
                intended_at=intended_at,
                **whose,
            )
        )
        return found

    def _number(self, call: Call[RequestT]) -> int:
        started = (e.event for e in call.trail.events if isinstance(e.event, AttemptStarted))
        return 1 + sum(event.provider == self._provider for event in started)


def _whose(call: Call[Any]) -> dict[str, str]:
    """The fields that say on whose account the attempt was."""
    request: SearchRequest | ExtractRequest | RelayRequest = call.request
    return {
        "operation": request.operation,
        "door": call.caller.door,
        "client": call.principal.client if call.principal else "",
        "topic": request.category,
    }
