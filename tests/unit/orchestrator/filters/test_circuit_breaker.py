"""A provider that is down is not called; one probe finds out when it is back."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.cooldown import CircuitPolicy
from orchestrator.errors import (
    CircuitOpen,
    EventLogUnavailable,
    InvalidRequest,
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.facts import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
)
from orchestrator.filters.circuit_breaker import Circuit, CircuitBreakerFilter
from tests.support.circuits import CALL, Facts, Upstream, begin, error, fail
from tests.support.clock import FakeClock

FAILURES_MAX = 5
COOLDOWN_S = 30.0
LIMIT_S = 5.0


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def facts():
    """Takes what the circuit reports."""
    return Facts()


@pytest.fixture
def circuit(clock, facts):
    """The circuit under test."""
    policy = CircuitPolicy(failures_max=FAILURES_MAX, cooldowns_s=(COOLDOWN_S,), jitter_ratio=0.0)
    return Circuit("tavily", clock, facts, policy)


@pytest.fixture
def breaker(circuit, clock):
    """The filter under test."""
    return CircuitBreakerFilter(circuit, clock, lambda _request: LIMIT_S)


@pytest.fixture
def upstream(clock):
    """The provider behind the breaker."""
    return Upstream(clock)


async def test_a_closed_circuit_lets_everything_through(breaker, upstream, circuit):
    """While all is well the breaker is not noticed."""
    assert await breaker(CALL, upstream) == "answer"
    assert (circuit.state, circuit.retry_after_s) == ("closed", 0.0)


async def test_failures_in_a_row_open_the_circuit(breaker, upstream, circuit, facts):
    """The last of the failures that the policy bears opens the circuit, and that is a fact of its own."""
    await fail(breaker, upstream, error(), FAILURES_MAX - 1)
    assert circuit.state == "closed"

    await fail(breaker, upstream, error())

    assert circuit.state == "open"
    assert facts.events == [CircuitOpened(provider="tavily", reason="http_503", cooldown_s=COOLDOWN_S)]


async def test_an_answer_between_failures_forgives_them(breaker, upstream, circuit):
    """Only failures in a row count."""
    for _ in range(3):
        await fail(breaker, upstream, error(), FAILURES_MAX - 1)
        upstream.outcome = "answer"
        await breaker(CALL, upstream)

    assert circuit.state == "closed"


async def test_an_open_circuit_calls_nobody(breaker, upstream, clock):
    """While the circuit is open the provider is not called; the error tells the rest of the cooldown."""
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(10.0)

    with pytest.raises(CircuitOpen) as refused:
        await breaker(CALL, upstream)

    assert upstream.calls == FAILURES_MAX
    assert refused.value.retry_after_s == pytest.approx(20.0)
    assert not refused.value.is_quota


@pytest.mark.parametrize(
    "kind", [ProviderUnavailable, ProviderTimeout, ProviderProtocolError, ZeroDivisionError]
)
async def test_whatever_speaks_of_ill_health_counts(breaker, upstream, circuit, kind):
    """Outages, slowness, wrong answers and bugs open the circuit alike."""
    failure = kind() if kind is ZeroDivisionError else error(kind)

    await fail(breaker, upstream, failure, FAILURES_MAX)

    assert circuit.state == "open"


@pytest.mark.parametrize("failure", [InvalidRequest("No."), EventLogUnavailable("Full.")])
async def test_what_is_not_the_providers_fault_does_not_count(breaker, upstream, circuit, failure):
    """A bad request and a full journal say nothing about the provider."""
    await fail(breaker, upstream, failure, FAILURES_MAX * 2)

    assert circuit.state == "closed"


async def test_cancelled_calls_do_not_count(breaker, upstream, circuit):
    """However many callers leave, the provider is not to blame."""
    for _ in range(FAILURES_MAX * 2):
        task, _gate = await begin(breaker, upstream)
        task.cancel()
        await asyncio.wait([task])

    assert circuit.state == "closed"


@pytest.mark.parametrize(
    ("failure", "pause_s", "is_quota"),
    [
        (error(ProviderThrottled, 12.0), 12.0, False),
        (error(ProviderThrottled), 5.0, False),
        (error(ProviderQuotaExceeded), 3600.0, True),
    ],
)
async def test_a_provider_that_asks_for_a_pause_gets_it(breaker, upstream, failure, pause_s, is_quota):
    """One 429 or used-up quota opens the circuit for the time it asks for."""
    await fail(breaker, upstream, failure)

    with pytest.raises(CircuitOpen) as refused:
        await breaker(CALL, upstream)

    assert refused.value.retry_after_s == pytest.approx(pause_s)
    assert refused.value.is_quota is is_quota


async def test_after_the_cooldown_one_probe_decides(breaker, upstream, circuit, clock, facts):
    """When the cooldown is over a call passes as a probe, and its success closes the circuit."""
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(COOLDOWN_S)
    upstream.outcome = "answer"

    assert await breaker(CALL, upstream) == "answer"

    assert circuit.state == "closed"
    assert circuit.reason == ""
    assert [type(event) for event in facts.events] == [CircuitOpened, CircuitHalfOpened, CircuitClosed]


async def test_a_failed_probe_opens_the_circuit_again(breaker, upstream, circuit, clock, facts):
    """One failure of the probe is enough for another cooldown."""
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(COOLDOWN_S)

    await fail(breaker, upstream, error(why="reset"))

    assert (circuit.state, circuit.retry_after_s) == ("open", COOLDOWN_S)
    assert facts.events[-1] == CircuitOpened(
        provider="tavily", reason="reset", cooldown_s=COOLDOWN_S, openings=2
    )


async def test_only_one_probe_passes_at_a_time(breaker, upstream, clock):
    """While the probe is under way everybody else is still refused."""
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(COOLDOWN_S)
    upstream.outcome = "answer"
    probe, gate = await begin(breaker, upstream)

    for _ in range(10):
        with pytest.raises(CircuitOpen):
            await breaker(CALL, upstream)
    gate.set()

    assert await probe == "answer"
    assert upstream.calls == FAILURES_MAX + 1


async def test_a_probe_that_is_cancelled_makes_room_for_another(breaker, upstream, circuit, clock):
    """A probe without an outcome decides nothing and blocks nobody."""
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(COOLDOWN_S)
    upstream.outcome = "answer"
    probe, _gate = await begin(breaker, upstream)

    probe.cancel()
    await asyncio.wait([probe])

    assert circuit.state == "half-open"
    assert await breaker(CALL, upstream) == "answer"
    assert circuit.state == "closed"


async def test_a_probe_that_could_not_be_made_decides_nothing(breaker, upstream, circuit, clock):
    """If the journal is full the provider is not called, so the next call is the probe."""
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(COOLDOWN_S)

    await fail(breaker, upstream, EventLogUnavailable("Full."))

    assert circuit.state == "half-open"


async def test_late_answers_do_not_close_an_open_circuit(breaker, upstream, circuit):
    """A call let through before the circuit opened changes nothing by its success."""
    late, gate = await begin(breaker, upstream)
    await fail(breaker, upstream, error(), FAILURES_MAX)

    gate.set()

    assert await late == "answer"
    assert circuit.state == "open"


async def test_late_answers_do_not_decide_for_the_probe(breaker, upstream, circuit, clock):
    """While a probe is under way, a success from before the outage does not close the circuit."""
    late, late_gate = await begin(breaker, upstream)
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(COOLDOWN_S)
    upstream.outcome = error()
    probe, probe_gate = await begin(breaker, upstream)

    late_gate.set()
    await late

    assert circuit.state == "half-open"
    probe_gate.set()
    with pytest.raises(ProviderUnavailable):
        await probe
    assert circuit.state == "open"


async def test_late_failures_do_not_decide_for_the_probe(breaker, upstream, circuit, clock):
    """While a probe is under way, a failure from before the outage does not open the circuit again."""
    upstream.outcome = error()
    late, late_gate = await begin(breaker, upstream)
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(COOLDOWN_S)
    upstream.outcome = "answer"
    probe, probe_gate = await begin(breaker, upstream)

    late_gate.set()
    with pytest.raises(ProviderUnavailable):
        await late
    probe_gate.set()

    assert await probe == "answer"
    assert circuit.state == "closed"


async def test_fifty_refusals_at_once_are_one_opening(breaker, upstream, circuit, clock, facts):
    """Calls that were under way together and are all told to pause open the circuit once."""
    upstream.outcome = error(ProviderThrottled, 10.0)
    begun = [await begin(breaker, upstream) for _ in range(50)]

    for task, gate in begun:
        clock.advance(0.01)
        gate.set()
        await asyncio.wait([task])
        task.exception()

    assert len(facts.events) == 1
    assert circuit.retry_after_s == pytest.approx(10.0 - 0.49)


async def test_a_shorter_pause_does_not_end_a_longer_one(breaker, upstream, circuit):
    """A 429 that arrives after the quota was used up does not bring the provider back early."""
    upstream.outcome = error(ProviderThrottled, 1.0)
    late, gate = await begin(breaker, upstream)
    await fail(breaker, upstream, error(ProviderQuotaExceeded))

    gate.set()
    await asyncio.wait([late])
    late.exception()

    assert circuit.retry_after_s == 3600.0


async def test_a_longer_pause_extends_a_shorter_one(breaker, upstream, circuit, facts):
    """A used-up quota that shows after a 429 keeps the provider away for its own time."""
    upstream.outcome = error(ProviderQuotaExceeded)
    late, gate = await begin(breaker, upstream)
    await fail(breaker, upstream, error(ProviderThrottled, 1.0))

    gate.set()
    await asyncio.wait([late])
    late.exception()

    assert circuit.retry_after_s == 3600.0
    assert [event.cooldown_s for event in facts.events] == [1.0, 3600.0]


async def test_the_state_knows_since_when(breaker, upstream, circuit, clock):
    """Health can say since when a circuit is what it is."""
    clock.advance(7.0)

    await fail(breaker, upstream, error(), FAILURES_MAX)

    assert circuit.since == clock.now()
    assert circuit.reason == "http_503"
