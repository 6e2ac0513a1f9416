"""Stops calling a provider that is down, and lets one probe through to see whether it is back.

pybreaker holds the state and counts. It knows no asyncio (its `call_async` needs Tornado), its half-open
state admits everybody, and it would count a cancelled call as a failure; so admission is ours. A cancelled
call is nobody's fault and moves nothing. Everything here runs on one event loop and never waits, so it
needs no lock.

Several processes may share their circuits (circuit_sharing.py). A circuit then tells what it sees and learns
what the others saw, both behind the back of the calls. It still decides by itself and at once; but that it
has opened is recorded by the one process by whose report all of them opened, and it asks the others before
it probes.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, Generic

import pybreaker

from orchestrator.circuits import CircuitReport, SharedCircuit
from orchestrator.cooldown import SLOW, CircuitPolicy, asks_for_pause, nth
from orchestrator.errors import CircuitOpen, ProviderQuotaExceeded, ProviderTimeout
from orchestrator.events import AttemptSucceeded
from orchestrator.facts import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
)
from orchestrator.model import Call, RequestT
from orchestrator.outcome import is_health_failure, reason
from orchestrator.ports import Clock, FactSink
from orchestrator.service import ResponseT, Service

STATES = (pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN)
"""`closed`, `open`, `half-open`."""

THROTTLED = "throttled"
"""The `reason` of a circuit that was opened because the provider has asked us to slow down (429)."""

PROBE_AGAIN_S = 0.5
"""chosen: while another process probes, this one looks again after this time, by when it usually knows."""


class Circuit:
    """The state of one provider, shared by all its operations. `state` is `closed`, `open` or `half-open`.

    `openings` counts how often it has opened since the provider was well for the last time, which is after
    `failures_max` answers in a row. `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        provider: str,
        clock: Clock,
        facts: FactSink,
        policy: CircuitPolicy,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.provider = provider
        self.since = clock.now()
        self.reason = ""
        self.openings = 0
        self._clock = clock
        self._facts = facts
        self._policy = policy
        self._chance = chance
        self._answers = 0  # in a row, while there are openings to forgive
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=policy.failures_max, throw_new_error_on_trip=False, name=provider
        )
        self._opened_until = 0.0
        self._cooldown_s = 0.0
        self._is_quota = False
        self._has_probe = False
        self._is_probed = False  # since it has opened
        self._tell: Callable[[CircuitReport], None] | None = None
        self._take_probe: Callable[[], Awaitable[bool]] | None = None
        self._untold = 0  # reports on their way
        self._is_unheard = False  # the others do not know that it has opened here
        self._shared_failures = 0

    def share(self, tell: Callable[[CircuitReport], None], take_probe: Callable[[], Awaitable[bool]]) -> None:
        """Share the circuit: each report that is told comes back by `learn`, with what became of it.

        `take_probe` asks the others whether this process may probe.
        """
        self._tell, self._take_probe = tell, take_probe

    def when_opened(self, act: Callable[[], None]) -> None:
        """Call `act`, which must not wait, each time the circuit opens, whoever has found out."""
        self._breaker.add_listener(_Opening(act))

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

    @property
    def is_passable(self) -> bool:
        """Whether a call of last resort may pass, be the circuit open or closed by now.

        A provider that has asked us to slow down is not called earlier, for whatever reason.
        """
        return self.reason != THROTTLED

    def admit(self) -> bool:
        """Let a call through, or raise CircuitOpen. The result says whether the call is to be the probe."""
        if self.state == pybreaker.STATE_CLOSED:
            return False
        if self.state == pybreaker.STATE_OPEN:
            if self.retry_after_s > 0:
                raise self._refusal()
            self._breaker.half_open()
            self._is_probed = False
        if self._has_probe:
            raise self._refusal()
        self._has_probe = True
        return True

    async def begin_probe(self) -> None:
        """Ask the others, if there are any. Raises CircuitOpen if one of them is probing already."""
        if self._take_probe is None or await self._take_probe():
            if not self._is_probed:  # a probe that is held back or called off is followed by another
                self._is_probed = True
                self._note(CircuitHalfOpened(provider=self.provider))
            return
        if self.state == pybreaker.STATE_HALF_OPEN:
            self._breaker.open()
            self._opened_until = self._clock.monotonic() + PROBE_AGAIN_S
        raise self._refusal()

    def end_probe(self) -> None:
        """The probe is over, whatever came of it."""
        self._has_probe = False
        self._report("probed")

    def succeeded(self, *, is_probe: bool) -> None:
        """A call was answered in good time."""
        if not self._listens_to(is_probe=is_probe):
            return
        was = self.state
        self._breaker.call(_nothing)
        if was != self.state:
            self.reason = ""
            self._answers = 0
            self._note(CircuitClosed(provider=self.provider))
            self._report("closed")
        elif self._shared_failures or self.openings:
            self._shared_failures = 0
            self._report("answered")
        self._forgive()

    def revived(self) -> None:
        """A call of last resort was answered: the provider is back, ahead of its time."""
        if self.state == pybreaker.STATE_CLOSED:
            self.succeeded(is_probe=False)
            return
        self._breaker.close()
        self.reason = ""
        self._answers = 0
        self._note(CircuitClosed(provider=self.provider))
        self._report("revived")
        self._forgive()

    def failed(self, error: BaseException, *, is_probe: bool) -> None:
        """A call failed: count it if it speaks of ill health, open at once if it asks for a pause."""
        if asks_for_pause(error):
            self._pause(error)
        elif is_health_failure(error) and self._listens_to(is_probe=is_probe):
            self._answers = 0
            with contextlib.suppress(_Failure):
                self._breaker.call(_fail)
            pauses_s = self._pauses_s(error)
            if self.state == pybreaker.STATE_OPEN:
                self.openings += 1
                self._open("opened", pauses_s, error)
            else:
                self._report("failed", reason(error), pauses_s)

    def is_slow(self, took_s: float, limit_s: float) -> bool:
        """Whether an answer that took so long of the provider's limit speaks of ill health."""
        return took_s > limit_s * self._policy.slow_ratio

    def learn(self, report: CircuitReport, shared: SharedCircuit | None) -> None:
        """Take note of how things stand after a report was told; `None` if it reached nobody."""
        if report.kind != "looked":
            self._untold -= 1
        if report.kind in ("opened", "paused", "remembered"):
            self._is_unheard = shared is None
        if shared is None:
            if report.kind in ("opened", "paused"):
                self._note_opened(report.reason, nth(report.pauses_s, report.openings), report.openings)
            return
        self._shared_failures = shared.failures
        if shared.is_ours and report.kind != "remembered":
            self._note_opened(report.reason, shared.cooldown_s, shared.openings)
        if shared.is_ours or (self._untold == 0 and not self._has_probe):
            self._adopt(shared)

    def _adopt(self, shared: SharedCircuit) -> None:
        """Follow the others. What this process knew alone, or what they have forgotten, it tells them."""
        if shared.state == pybreaker.STATE_OPEN:
            if shared.left_s > 0 or self.state == pybreaker.STATE_CLOSED:
                if self.state != pybreaker.STATE_OPEN:
                    self.since = self._clock.now()
                self._breaker.open()
                self.openings = shared.openings
                self._opened_until = self._clock.monotonic() + shared.left_s
                self._cooldown_s = shared.cooldown_s
                self._is_quota = shared.is_quota
                self.reason = shared.reason
        elif self.state == pybreaker.STATE_OPEN and (self._is_unheard or not shared.state):
            self._report("remembered", self.reason, (self.retry_after_s,))
        elif shared.state == pybreaker.STATE_CLOSED:
            self.openings = shared.openings
            if self.state != pybreaker.STATE_CLOSED:
                self._breaker.close()
                self.reason = ""
                self.since = self._clock.now()

    def _forgive(self) -> None:
        """Begin with the shortest cooldown again once the provider has shown that it is well."""
        if self.openings:
            self._answers += 1
            if self._answers >= self._policy.failures_max:
                self.openings = 0

    def _report(self, kind: str, why: str = "", pauses_s: tuple[float, ...] = ()) -> None:
        if self._tell is None:
            return
        self._untold += 1
        self._tell(
            CircuitReport(
                provider=self.provider,
                kind=kind,
                failures_max=self._policy.failures_max,
                pauses_s=pauses_s,
                openings=self.openings,
                reason=why,
                is_quota=self._is_quota,
            )
        )

    def _listens_to(self, *, is_probe: bool) -> bool:
        """Whether the end of a call says something new.

        Once the circuit has opened only the probe does: any other call was let through before, and its end
        is the old news by which the circuit was opened.
        """
        return self.state == pybreaker.STATE_CLOSED or (is_probe and self.state == pybreaker.STATE_HALF_OPEN)

    def _pauses_s(self, error: BaseException) -> tuple[float, ...]:
        return self._policy.pauses_s(self.provider, error, self._clock.now(), self._chance())

    def _pause(self, error: BaseException) -> None:
        """Open for the time asked for. Of several told to pause at once the first, or longest, counts."""
        pauses_s = self._pauses_s(error)
        if self.state != pybreaker.STATE_OPEN:
            self.openings += 1
        elif nth(pauses_s, self.openings) <= self._cooldown_s:
            return
        self._answers = 0
        self._open("paused", pauses_s, error)

    def _open(self, kind: str, pauses_s: tuple[float, ...], error: BaseException) -> None:
        seconds = nth(pauses_s, self.openings)
        self._breaker.open()
        self._opened_until = self._clock.monotonic() + seconds
        self._cooldown_s = seconds
        self._is_quota = isinstance(error, ProviderQuotaExceeded)
        self.reason = reason(error)
        self.since = self._clock.now()
        if self._tell is None:
            self._note_opened(self.reason, seconds, self.openings)
        self._report(kind, self.reason, pauses_s)

    def _note_opened(self, why: str, cooldown_s: float, openings: int) -> None:
        event = CircuitOpened(provider=self.provider, reason=why, cooldown_s=cooldown_s, openings=openings)
        self._facts.record_fact(f"circuit:{self.provider}", event)

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
    """Calls the provider only while its circuit lets calls through, and tells the circuit how they end.

    `limit_s` gives the provider's limit for a request, of which the policy's `slow_ratio` may be used; `None`
    where the time depends on what is asked for, such as on the number of pages, and says nothing.
    """

    def __init__(
        self, circuit: Circuit, clock: Clock, limit_s: Callable[[RequestT], float] | None = None
    ) -> None:
        self._circuit = circuit
        self._clock = clock
        self._limit_s = limit_s

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, ResponseT]) -> ResponseT:
        """Answer as the provider does. Raises CircuitOpen without calling it."""
        circuit = self._circuit
        if call.is_last_resort and circuit.is_passable and circuit.state != pybreaker.STATE_CLOSED:
            return await self._pass(call, service)
        is_probe = self._circuit.admit()
        try:
            if is_probe:
                await self._circuit.begin_probe()
            begun = self._clock.monotonic()
            response = await service(call)
        except Exception as error:
            self._circuit.failed(error, is_probe=is_probe)
            raise
        else:
            self._answered(call, self._clock.monotonic() - begun, is_probe=is_probe)
            return response
        finally:
            if is_probe:
                self._circuit.end_probe()

    async def _pass(self, call: Call[RequestT], service: Service[RequestT, ResponseT]) -> ResponseT:
        """Pass the open circuit. An answer closes it; a failure is what was expected, and moves nothing."""
        begun = self._clock.monotonic()
        try:
            response = await service(call)
        except Exception as error:
            self._circuit.failed(error, is_probe=False)
            raise
        if not self._is_slow(call, self._clock.monotonic() - begun):
            self._circuit.revived()
        return response

    def _answered(self, call: Call[RequestT], took_s: float, *, is_probe: bool) -> None:
        if self._is_slow(call, took_s):
            late = ProviderTimeout("The answer was late.", provider=self._circuit.provider, reason=SLOW)
            self._circuit.failed(late, is_probe=is_probe)
        else:
            self._circuit.succeeded(is_probe=is_probe)

    def _is_slow(self, call: Call[RequestT], took_s: float) -> bool:
        """Whether the provider was slow, as its attempt says if there is one.

        The call may have waited on our side too: for its minute, or for the record.
        """
        if self._limit_s is None or not self._circuit.is_slow(took_s, self._limit_s(call.request)):
            return False
        for event in (envelope.event for envelope in reversed(call.trail.events)):
            if isinstance(event, AttemptSucceeded) and event.provider == self._circuit.provider:
                return self._circuit.is_slow(event.duration_s, self._limit_s(call.request))
        return True


class _Opening(pybreaker.CircuitBreakerListener):
    """Acts when a circuit opens."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def state_change(self, cb: object, old_state: object, new_state: Any) -> None:
        """What pybreaker calls."""
        if new_state.name == pybreaker.STATE_OPEN:
            self._act()


class _Failure(Exception):
    """What pybreaker is shown for a failure."""


def _nothing() -> None:
    """What pybreaker is shown for a success."""


def _fail() -> None:
    raise _Failure
