"""Each opening in a row lasts longer, answers forgive them, and late answers count as failures."""

from __future__ import annotations

import contextlib

import pytest

from orchestrator.cooldown import RESET_SLACK_S, CircuitPolicy, next_reset
from orchestrator.errors import CircuitOpen, ProviderQuotaExceeded, ProviderThrottled
from orchestrator.events import AttemptStarted, AttemptSucceeded
from orchestrator.facts import CircuitOpened
from orchestrator.filters.circuit_breaker import Circuit, CircuitBreakerFilter
from orchestrator.model import SearchRequest
from tests.support.calls import make_call
from tests.support.circuits import CALL, Upstream, answer, begin, error, fail, opened
from tests.support.clock import FakeClock
from tests.support.facts import Facts

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
    return Facts("circuit:tavily")


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


STEPS_S = (30.0, 60.0, 120.0)


@pytest.fixture
def stepped(clock, facts):
    """A circuit with three steps."""
    return Circuit("tavily", clock, facts, CircuitPolicy(cooldowns_s=STEPS_S, jitter_ratio=0.0))


@pytest.fixture
def stepped_breaker(stepped, clock):
    """The filter over it."""
    return CircuitBreakerFilter(stepped, clock, lambda _request: LIMIT_S)


async def test_each_failed_probe_makes_the_cooldown_longer(stepped_breaker, upstream, clock, facts):
    """A provider that stays down is looked at less and less often."""
    await fail(stepped_breaker, upstream, error(), FAILURES_MAX)
    for wait_s in (30.0, 60.0, 120.0, 120.0):
        clock.advance(wait_s - 0.1)
        with pytest.raises(CircuitOpen):
            await stepped_breaker(CALL, upstream)
        clock.advance(0.1)
        await fail(stepped_breaker, upstream, error())

    assert opened(facts) == [(1, 30.0), (2, 60.0), (3, 120.0), (4, 120.0), (5, 120.0)]


async def test_one_answer_does_not_make_a_provider_well(stepped_breaker, upstream, clock, facts):
    """A provider that falls again right after a good probe waits for longer than before."""
    await fail(stepped_breaker, upstream, error(), FAILURES_MAX)
    clock.advance(30.0)
    await answer(stepped_breaker, upstream, FAILURES_MAX - 1)

    await fail(stepped_breaker, upstream, error(), FAILURES_MAX)

    assert opened(facts) == [(1, 30.0), (2, 60.0)]


async def test_as_many_answers_as_failures_forgive_all_openings(
    stepped, stepped_breaker, upstream, clock, facts
):
    """After five answers in a row the next outage begins with the shortest cooldown."""
    await fail(stepped_breaker, upstream, error(), FAILURES_MAX)
    clock.advance(30.0)
    await fail(stepped_breaker, upstream, error())
    clock.advance(60.0)
    await answer(stepped_breaker, upstream, FAILURES_MAX)
    assert stepped.openings == 0

    await fail(stepped_breaker, upstream, error(), FAILURES_MAX)

    assert opened(facts) == [(1, 30.0), (2, 60.0), (1, 30.0)]


async def test_a_failure_between_answers_forgives_nothing(stepped, stepped_breaker, upstream, clock):
    """The answers that show a provider well come in a row."""
    await fail(stepped_breaker, upstream, error(), FAILURES_MAX)
    clock.advance(30.0)
    for _ in range(3):
        await answer(stepped_breaker, upstream, FAILURES_MAX - 1)
        await fail(stepped_breaker, upstream, error())

    assert stepped.openings == 1


async def test_a_cooldown_is_drawn_anew_each_time(clock, facts, upstream):
    """Circuits that opened together do not all probe together."""
    chances = iter((0.0, 0.5, 1.0))
    policy = CircuitPolicy(failures_max=1, cooldowns_s=(100.0,), jitter_ratio=0.2)
    circuit = Circuit("tavily", clock, facts, policy, chance=lambda: next(chances))
    breaker = CircuitBreakerFilter(circuit, clock)

    for _ in range(3):
        await fail(breaker, upstream, error())
        clock.advance(100.0)

    assert [cooldown_s for _, cooldown_s in opened(facts)] == [100.0, 90.0, 80.0]


async def test_a_pause_of_no_time_lets_one_call_look(breaker, upstream, circuit):
    """`Retry-After: 0` means at once: the next call is a probe, and the only one while it is under way."""
    await fail(breaker, upstream, error(ProviderThrottled, 0.0))
    upstream.outcome = "answer"
    probe, gate = await begin(breaker, upstream)

    with pytest.raises(CircuitOpen):
        await breaker(CALL, upstream)
    gate.set()

    assert await probe == "answer"
    assert circuit.state == "closed"


async def test_a_pause_that_was_too_short_is_not_believed_again(breaker, upstream, clock, facts):
    """A provider that throttles again after the time it named is given our own backoff at least."""
    for _ in range(3):
        await fail(breaker, upstream, error(ProviderThrottled, 1.0))
        clock.advance(60.0)

    assert opened(facts) == [(1, 1.0), (2, 10.0), (3, 20.0)]


async def test_a_used_up_quota_costs_one_look_an_hour(breaker, upstream, clock, facts):
    """A day without credits is 24 refused calls, however many searches there are; each is free."""
    upstream.outcome = error(ProviderQuotaExceeded)
    for _ in range(24 * 60):
        with contextlib.suppress(CircuitOpen, ProviderQuotaExceeded):
            await breaker(CALL, upstream)
        clock.advance(60.0)

    assert upstream.calls == 24
    assert {cooldown_s for _, cooldown_s in opened(facts)} == {3600.0}


async def test_a_known_reset_brings_the_provider_back_at_once(clock, facts, upstream):
    """With the day of the reset configured the first call after that midnight is answered."""
    circuit = Circuit("tavily", clock, facts, CircuitPolicy(reset_days={"tavily": 16}))
    breaker = CircuitBreakerFilter(circuit, clock)
    midnight = next_reset(16, clock.now())
    clock.advance(midnight - 600.0 - clock.now())
    await fail(breaker, upstream, error(ProviderQuotaExceeded))

    clock.advance(600.0 + RESET_SLACK_S)

    await answer(breaker, upstream)
    assert clock.now() == midnight + RESET_SLACK_S


# --- slow answers


async def test_late_answers_open_the_circuit_and_are_given(breaker, upstream, circuit, facts):
    """An answer that took nearly all the time there is counts as a failure of health, and is an answer."""
    upstream.takes_s = LIMIT_S * 0.95

    await answer(breaker, upstream, FAILURES_MAX)

    assert circuit.state == "open"
    assert facts.events == [CircuitOpened(provider="tavily", reason="slow", cooldown_s=COOLDOWN_S)]


async def test_an_answer_just_in_time_is_a_success(breaker, upstream, circuit):
    """Up to the policy's share of the limit an answer is as good as any."""
    upstream.takes_s = LIMIT_S * 0.9

    await answer(breaker, upstream, FAILURES_MAX * 3)

    assert circuit.state == "closed"


async def test_a_late_probe_keeps_the_provider_away(breaker, upstream, circuit, clock):
    """A provider that is still too slow is not back; whoever probed has the answer."""
    await fail(breaker, upstream, error(), FAILURES_MAX)
    clock.advance(COOLDOWN_S)
    upstream.takes_s = LIMIT_S * 0.95

    await answer(breaker, upstream)

    assert (circuit.state, circuit.openings) == ("open", 2)


async def test_where_time_depends_on_the_question_it_says_nothing(circuit, clock, upstream):
    """Without a limit to compare with no answer is slow: an extract takes as long as it has pages."""
    breaker = CircuitBreakerFilter(circuit, clock)
    upstream.takes_s = 100.0

    await answer(breaker, upstream, FAILURES_MAX * 2)

    assert circuit.state == "closed"


async def test_our_own_waiting_is_not_the_providers_slowness(breaker, circuit, clock):
    """A call that waited for its minute, or for the record, was late for that; the attempt was not."""
    call = make_call(SearchRequest(query="tides"), clock=clock)

    async def waits_and_asks(call):
        clock.advance(LIMIT_S * 0.4)
        call.trail.record(AttemptStarted(provider="tavily", number=1, span_id="0" * 16))
        clock.advance(LIMIT_S * 0.6)
        call.trail.record(AttemptSucceeded(provider="tavily", number=1, duration_s=LIMIT_S * 0.6, results=1))

    for _ in range(FAILURES_MAX):
        await breaker(call, waits_and_asks)

    assert circuit.state == "closed"
