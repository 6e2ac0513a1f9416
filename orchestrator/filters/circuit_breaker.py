"""Stops calling a provider that is down, and lets one probe through to see whether it is back.

pybreaker holds the state and counts. It knows no asyncio (its `call_async` needs Tornado), its half-open
state admits everybody, and it would count a cancelled call as a failure; so admission is ours. A cancelled
call is nobody's fault and moves nothing. Everything here runs on one event loop and never waits, so it
needs no lock.
"""

from __future__ import annotations

import contextlib
from typing import Generic

import msgspec
import pybreaker

from orchestrator.errors import CircuitOpen, ProviderQuotaExceeded
from orchestrator.events import CircuitClosed, CircuitHalfOpened, CircuitOpened
from orchestrator.model import Call, RequestT
from orchestrator.outcome import cooldown_s, is_health_failure, reason
from orchestrator.ports import Clock, FactSink
from orchestrator.service import ResponseT, Service


class CircuitPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`failures_max` failures in a row open the circuit for `cooldown_s`.

    Both chosen: five failures are no accident, and half a minute is shorter than the outages worth waiting
    for.
    """

    failures_max: int = 5
    cooldown_s: float = 30.0


class Circuit:
    """The state of one provider, shared by all its operations. `state` is `closed`, `open` or `half-open`."""

    def __init__(self, provider: str, clock: Clock, facts: FactSink, policy: CircuitPolicy) -> None:
        self.provider = provider
        self.since = clock.now()
        self.reason = ""
        self._clock = clock
        self._facts = facts
        self._policy = policy
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=policy.failures_max, throw_new_error_on_trip=False, name=provider
        )
        self._opened_until = 0.0
        self._cooldown_s = 0.0
        self._is_quota = False
        self._has_probe = False

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return self._breaker.current_state

    @property
    def retry_after_s(self) -> float:
        """The rest of the cooldown in seconds; 0 when the circuit is not open."""
        if self.state != pybreaker.STATE_OPEN:
            return 0.0
        return max(0.0, self._opened_until - self._clock.monotonic())

    def admit(self) -> bool:
        """Let a call through, or raise CircuitOpen. The result says whether the call is the probe."""
        if self.state == pybreaker.STATE_CLOSED:
            return False
        if self.state == pybreaker.STATE_OPEN:
            if self.retry_after_s > 0:
                raise self._refusal()
            self._breaker.half_open()
            self._note(CircuitHalfOpened(provider=self.provider))
        if self._has_probe:
            raise self._refusal()
        self._has_probe = True
        return True

    def end_probe(self) -> None:
        """The probe is over, whatever came of it."""
        self._has_probe = False

    def succeeded(self, *, is_probe: bool) -> None:
        """A call was answered."""
        if not self._listens_to(is_probe=is_probe):
            return
        was = self.state
        self._breaker.call(_nothing)
        if was != self.state:
            self.reason = ""
            self._note(CircuitClosed(provider=self.provider))

    def failed(self, error: BaseException, *, is_probe: bool) -> None:
        """A call failed: count it if it speaks of ill health, open at once if it asks for a pause."""
        asked_s = cooldown_s(error)
        if asked_s is not None:
            self._pause(asked_s, error)
        elif is_health_failure(error) and self._listens_to(is_probe=is_probe):
            with contextlib.suppress(_Failure):
                self._breaker.call(_fail)
            if self.state == pybreaker.STATE_OPEN:
                self._open(self._policy.cooldown_s, error)

    def _listens_to(self, *, is_probe: bool) -> bool:
        """Whether the end of a call says something new.

        Once the circuit has opened only the probe does: any other call was let through before, and its end
        is the old news by which the circuit was opened.
        """
        return self.state == pybreaker.STATE_CLOSED or (is_probe and self.state == pybreaker.STATE_HALF_OPEN)

    def _pause(self, seconds: float, error: BaseException) -> None:
        """Open for the time asked for. Of several told to pause at once the first, or longest, counts."""
        if self.state != pybreaker.STATE_OPEN or seconds > self._cooldown_s:
            self._open(seconds, error)

    def _open(self, seconds: float, error: BaseException) -> None:
        self._breaker.open()
        self._opened_until = self._clock.monotonic() + seconds
        self._cooldown_s = seconds
        self._is_quota = isinstance(error, ProviderQuotaExceeded)
        self.reason = reason(error)
        self._note(CircuitOpened(provider=self.provider, reason=self.reason, cooldown_s=seconds))

    def _note(self, event: CircuitOpened | CircuitHalfOpened | CircuitClosed) -> None:
        self.since = self._clock.now()
        self._facts.record_fact(f"circuit:{self.provider}", event)

    def _refusal(self) -> CircuitOpen:
        return CircuitOpen(
            f"{self.provider} is not called at the moment: its circuit is {self.state}.",
            provider=self.provider,
            reason="circuit_open",
            retry_after_s=self.retry_after_s,
            is_quota=self._is_quota,
        )


class CircuitBreakerFilter(Generic[RequestT, ResponseT]):
    """Calls the provider only while its circuit lets calls through, and tells the circuit how they end."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, ResponseT]) -> ResponseT:
        """Answer as the provider does. Raises CircuitOpen without calling it."""
        is_probe = self._circuit.admit()
        try:
            response = await service(call)
        except Exception as error:
            self._circuit.failed(error, is_probe=is_probe)
            raise
        else:
            self._circuit.succeeded(is_probe=is_probe)
            return response
        finally:
            if is_probe:
                self._circuit.end_probe()


class _Failure(Exception):
    """What pybreaker is shown for a failure."""


def _nothing() -> None:
    """What pybreaker is shown for a success."""


def _fail() -> None:
    raise _Failure
