"""A further attempt at the same provider, when it helps and there is time and budget for it."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import limits
from orchestrator.errors import (
    CircuitOpen,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.events import RetryScheduled
from orchestrator.filters.retry import RetryBudget, RetryFilter, RetryPolicy
from orchestrator.model import SearchRequest
from tests.support.calls import make_call, recorded
from tests.support.clock import FakeClock

REQUEST = SearchRequest(query="tides")


def error(kind=ProviderUnavailable, retry_after_s=None):
    """A failure of the provider."""
    return kind("It failed.", provider="tavily", reason="http_503", retry_after_s=retry_after_s)


class Service:
    """Fails as scripted, then answers."""

    def __init__(self, *failures):
        self.calls = 0
        self._failures = failures

    async def __call__(self, call):
        """The next line of the script."""
        self.calls += 1
        if self.calls <= len(self._failures):
            raise self._failures[self.calls - 1]
        return "answer"


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return FakeClock()


def retry_filter(clock, *, chance=0.5, **policy):
    """The filter under test, without chance."""
    return RetryFilter("tavily", clock, RetryPolicy(**policy), chance=lambda: chance)


async def test_no_failure_no_retry(clock):
    """An answer is passed on as it is."""
    service = Service()

    assert await retry_filter(clock)(make_call(REQUEST, clock=clock), service) == "answer"
    assert service.calls == 1


async def test_a_passing_fault_is_tried_again_after_a_wait(clock):
    """After a retryable failure the same provider is asked again, and the wait is on record."""
    call = make_call(REQUEST, clock=clock)

    assert await retry_filter(clock)(call, Service(error())) == "answer"

    assert recorded(call) == [RetryScheduled(provider="tavily", backoff_s=0.05, reason="http_503")]
    assert clock.slept == [0.05]


async def test_attempts_are_bounded(clock):
    """After the last attempt its error is raised."""
    service = Service(*[error()] * 10)

    with pytest.raises(ProviderUnavailable):
        await retry_filter(clock, attempts_max=3)(make_call(REQUEST, clock=clock), service)

    assert service.calls == 3


@pytest.mark.parametrize("kind", [ProviderTimeout, ProviderRejected, CircuitOpen])
async def test_what_is_final_is_not_tried_again(clock, kind):
    """Timeouts, refusals and open circuits are the last word of a provider."""
    service = Service(error(kind))

    with pytest.raises(kind):
        await retry_filter(clock)(make_call(REQUEST, clock=clock), service)

    assert service.calls == 1


async def test_a_bug_is_not_tried_again(clock):
    """An exception that is none of ours would only come again."""
    service = Service(ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        await retry_filter(clock)(make_call(REQUEST, clock=clock), service)

    assert service.calls == 1


async def test_a_short_time_the_provider_names_is_kept_exactly(clock):
    """`Retry-After` replaces our own backoff while it is short."""
    await retry_filter(clock)(make_call(REQUEST, clock=clock), Service(error(retry_after_s=0.8)))

    assert clock.slept == [0.8]


@pytest.mark.parametrize("kind", [ProviderUnavailable, ProviderThrottled])
async def test_a_long_time_the_provider_names_is_not_waited_for(clock, kind):
    """Rather than wait for long the chain goes on."""
    with pytest.raises(kind):
        await retry_filter(clock)(make_call(REQUEST, clock=clock), Service(error(kind, 30.0)))

    assert clock.slept == []


async def test_a_throttled_provider_is_left_alone(clock):
    """A 429 without a time opens the circuit for seconds; a retry would only meet the open circuit."""
    service = Service(error(ProviderThrottled))
    call = make_call(REQUEST, clock=clock)

    with pytest.raises(ProviderThrottled):
        await retry_filter(clock)(call, service)

    assert service.calls == 1
    assert recorded(call) == []


async def test_without_time_there_is_no_retry(clock):
    """A retry that could not begin before the deadline is not waited for."""
    call = make_call(REQUEST, clock=clock, patience_s=0.09)

    with pytest.raises(ProviderUnavailable):
        await retry_filter(clock)(call, Service(error()))

    assert clock.slept == []


async def test_retries_are_budgeted(clock):
    """In a bad minute only about a fifth of the calls is tried again, beside a small constant."""
    retries = retry_filter(clock, budget_ratio=0.2, budget_min_per_s=0.0)
    attempts = 0
    for _ in range(100):
        service = Service(*[error()] * 2)
        with pytest.raises(ProviderUnavailable):
            await retries(make_call(REQUEST, clock=clock), service)
        attempts += service.calls

    assert attempts - 100 == pytest.approx(20, abs=1)


@pytest.mark.parametrize("named_s", [0.05, 0.0])
async def test_a_throttled_provider_that_names_a_short_time_is_asked_again(clock, named_s):
    """A 429 that will be over in a moment is worth the moment; one that names no wait gets our own."""
    service = Service(error(ProviderThrottled, named_s))

    assert await retry_filter(clock)(make_call(REQUEST, clock=clock), service) == "answer"

    assert clock.slept == [0.05]


class Flaky:
    """Fails as often as chance has it, and remembers when it was called."""

    def __init__(self, chance, clock):
        self.calls = []
        self._chance, self._clock = chance, clock

    async def __call__(self, call):
        """Take some time, then answer or fail."""
        self.calls.append(self._clock.monotonic())
        self._clock.advance(self._chance.choice((0.0, 0.01, 0.5, 2.0)))
        if self._chance.random() < 0.7:
            raise error(retry_after_s=self._chance.choice((None, None, 0.0, 0.3, 5.0)))
        return "answer"


@pytest.mark.parametrize("seed", range(40))
async def test_retries_stay_within_the_budget_and_the_deadline(clock, seed):
    """Over any stretch of calls, retries are at most a ratio of the requests and the constant over time.

    No attempt is begun for which the call has no time any more.
    """
    chance = random.Random(seed)
    policy = RetryPolicy(attempts_max=chance.choice((2, 3, 6)), budget_min_per_s=0.5)
    retries = RetryFilter("tavily", clock, policy, chance=chance.random)
    begun_at = clock.monotonic()
    requests = attempts = 0
    for _ in range(200):
        clock.advance(chance.choice((0.0, 0.0, 0.0, 0.1, 3.0)))
        call = make_call(REQUEST, clock=clock, patience_s=chance.choice((0.1, 1.0, 9.0)))
        service = Flaky(chance, clock)
        with contextlib.suppress(ProviderUnavailable):
            await retries(call, service)
        requests += 1
        attempts += len(service.calls)

        assert all(at + limits.ATTEMPT_S_MIN <= call.deadline for at in service.calls[1:])
        assert len(service.calls) <= policy.attempts_max
        passed_s = clock.monotonic() - begun_at
        assert attempts - requests <= 1 + policy.budget_ratio * requests + policy.budget_min_per_s * passed_s
    assert attempts > requests


@given(st.integers(1, 60), st.floats(0, 1))
def test_backoff_grows_and_is_capped(retry, chance):
    """The wait is drawn from 0 to a bound that doubles with every retry up to the cap."""
    policy = RetryPolicy()

    backoff_s = policy.backoff_s(retry, None, chance)

    assert 0 <= backoff_s <= min(policy.backoff_cap_s, policy.backoff_base_s * 2 ** (retry - 1))


def test_full_jitter_reaches_the_whole_range():
    """Both ends of the range are drawn."""
    assert RetryPolicy().backoff_s(1, None, 0.0) == 0.0
    assert RetryPolicy().backoff_s(1, None, 1.0) == 0.1
    assert RetryPolicy().backoff_s(9, None, 1.0) == 1.0


@given(st.lists(st.tuples(st.sampled_from(["deposit", "take"]), st.floats(0, 5)), max_size=200))
def test_a_budget_never_gives_more_than_it_has(steps):
    """Retries are at most the start, a ratio of the requests and the constant over time."""
    now = 50.0
    budget = RetryBudget(ratio=0.2, min_per_s=2.0, now=now)
    requests = taken = 0
    for step, wait_s in steps:
        now += wait_s
        if step == "deposit":
            budget.deposit(now)
            requests += 1
        else:
            taken += budget.take(now)

    assert taken <= 2.0 + 0.2 * requests + 2.0 * (now - 50.0) + 1e-6


def test_a_budget_does_not_save_up_for_a_storm():
    """A long calm brings no more than ten seconds' worth."""
    budget = RetryBudget(ratio=0.2, min_per_s=2.0, now=0.0)

    given_ = sum(budget.take(86_400.0) for _ in range(100))

    assert given_ == 20


def test_a_clock_that_steps_back_gives_nothing():
    """Time that runs backwards does not take from the budget and does not add to it."""
    budget = RetryBudget(ratio=0.0, min_per_s=1.0, now=100.0)

    assert budget.take(50.0)
    assert not budget.take(50.5)
