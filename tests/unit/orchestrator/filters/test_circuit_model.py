"""Random histories of calls against a circuit that is written down in thirty lines."""

from __future__ import annotations

import random

import pytest

from orchestrator.cooldown import CircuitPolicy, nth
from orchestrator.errors import (
    CircuitOpen,
    InvalidRequest,
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.facts import CircuitClosed, CircuitOpened
from orchestrator.filters.circuit_breaker import Circuit
from tests.support.circuits import Facts, error
from tests.support.clock import FakeClock

SEEDS = range(60)
STEPS = 400

POLICY = CircuitPolicy(failures_max=3, cooldowns_s=(2.0, 5.0, 9.0), jitter_ratio=0.0)

ENDS = (
    *["answer"] * 6,
    *[error(ProviderUnavailable), error(ProviderTimeout), error(ProviderProtocolError)] * 2,
    error(ProviderTimeout, why="slow"),
    error(ProviderUnavailable, 4.0),
    error(ProviderThrottled),
    error(ProviderThrottled, 0.0),
    error(ProviderThrottled, 7.0),
    error(ProviderQuotaExceeded, 12.0),
    *["cancelled"] * 2,
    InvalidRequest("No."),
)
"""How a call may end, some ways more often than others."""


class Model:
    """What a circuit is to do, without pybreaker, events and other processes."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.state = "closed"
        self.failures = self.answers = self.openings = 0
        self.until = self.cooldown_s = 0.0
        self.is_probing = False

    def admit(self) -> bool | None:
        """Whether the call is the probe; `None` if it is refused."""
        if self.state == "closed":
            return False
        if self.state == "open" and self._clock.monotonic() >= self.until:
            self.state = "half-open"
        if self.state == "open" or self.is_probing:
            return None
        self.is_probing = True
        return True

    def end(self, how: object, *, is_probe: bool) -> None:
        """A call has ended so."""
        if isinstance(how, ProviderThrottled | ProviderQuotaExceeded):
            self._pause(how)
        elif self.state == "closed" or (is_probe and self.state == "half-open"):
            if how == "answer":
                self.answers = self.answers + 1 if self.state == "closed" else 1
                self.state, self.failures = "closed", 0
                if self.answers >= POLICY.failures_max:
                    self.openings = 0
            elif isinstance(how, ProviderUnavailable | ProviderTimeout | ProviderProtocolError):
                self.answers = 0
                self.failures += 1
                if self.state == "half-open" or self.failures >= POLICY.failures_max:
                    self._open(how)
        if is_probe:
            self.is_probing = False

    def _pause(self, how: Exception) -> None:
        pauses_s = POLICY.pauses_s("tavily", how, 0.0, 0.0)
        if self.state != "open" or nth(pauses_s, self.openings) > self.cooldown_s:
            self._open(how, is_longer=self.state == "open")

    def _open(self, how: Exception, *, is_longer: bool = False) -> None:
        self.openings += not is_longer
        self.cooldown_s = nth(POLICY.pauses_s("tavily", how, 0.0, 0.0), self.openings)
        self.until = self._clock.monotonic() + self.cooldown_s
        self.state, self.failures, self.answers = "open", 0, 0


def end(circuit: Circuit, how: object, *, is_probe: bool) -> None:
    """What the filter tells the circuit."""
    if how == "answer":
        circuit.succeeded(is_probe=is_probe)
    elif isinstance(how, Exception):
        circuit.failed(how, is_probe=is_probe)
    if is_probe:
        circuit.end_probe()


def admitted(circuit: Circuit) -> bool | None:
    """Whether the call is the probe; `None` if it is refused."""
    try:
        return circuit.admit()
    except CircuitOpen:
        return None


@pytest.mark.parametrize("seed", SEEDS)
def test_the_circuit_does_what_the_model_does(seed: int):
    """Calls overlap, fail, are late, throttled, cancelled: state, rest and count agree after each step."""
    chance, clock, facts = random.Random(seed), FakeClock(), Facts()
    circuit, model = Circuit("tavily", clock, facts, POLICY), Model(clock)
    under_way: list[bool] = []
    # A provider has good and bad hours: by itself chance would hardly ever answer three times in a row.
    mood = ENDS
    for _ in range(STEPS):
        if chance.random() < 0.03:
            mood = chance.choice((ENDS, ("answer",), (error(ProviderUnavailable),)))
        draw = chance.random()
        if draw < 0.45:
            is_probe = admitted(circuit)
            assert is_probe == model.admit()
            if is_probe is not None:
                under_way.append(is_probe)
        elif draw < 0.9 and under_way:
            is_probe = under_way.pop(chance.randrange(len(under_way)))
            how = chance.choice(mood)
            end(circuit, how, is_probe=is_probe)
            model.end(how, is_probe=is_probe)
        else:
            clock.advance(chance.choice((0.0, 0.1, 1.0, 2.0, 10.0)))

        assert sum(under_way) <= 1, "two probes at once"
        assert (circuit.state, circuit.openings) == (model.state, model.openings)
        left_s = max(0.0, model.until - clock.monotonic()) if model.state == "open" else 0.0
        assert circuit.retry_after_s == pytest.approx(left_s)
    check_story(facts.events)


def check_story(events: list[object]) -> None:
    """What is recorded is a story: openings are counted, and a circuit is closed only after it has opened."""
    openings, is_open = 0, False
    for event in events:
        if isinstance(event, CircuitOpened):
            # One more, the same one for longer, or the first after the provider was well.
            assert event.openings in ((openings, openings + 1) if is_open else (openings + 1, 1))
            openings, is_open = event.openings, True
        elif isinstance(event, CircuitClosed):
            assert is_open
            is_open = False
    assert openings > 0
