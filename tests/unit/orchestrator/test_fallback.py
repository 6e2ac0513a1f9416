"""The chain asks the next provider for what the one before could not do, and shares the time among them."""

from __future__ import annotations

import math

import pytest

from orchestrator import limits
from orchestrator.errors import (
    AllProvidersFailed,
    CircuitOpen,
    EventLogUnavailable,
    InvalidRequest,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    QuotaExhausted,
)
from orchestrator.events import (
    AttemptFailed,
    AttemptStarted,
    ProviderSkipped,
)
from orchestrator.fallback import RETRY_AFTER_S, Fallback, Step
from orchestrator.model import Found, SearchRequest
from orchestrator.outcome import BAD_REQUEST
from tests.support.calls import make_call, recorded
from tests.support.clock import FakeClock
from tests.support.scripted_provider import found

REQUEST = SearchRequest(query="tides")


def down(provider, retry_after_s=None):
    """A passing fault."""
    return ProviderUnavailable("Down.", provider=provider, reason="http_503", retry_after_s=retry_after_s)


def broke(provider):
    """A used-up quota."""
    return ProviderQuotaExceeded("Used up.", provider=provider, reason="http_432")


def circuit(provider, retry_after_s, is_quota=False):
    """An open circuit."""
    return CircuitOpen(
        "Open.",
        provider=provider,
        reason="circuit_open",
        retry_after_s=retry_after_s,
        is_quota=is_quota,
    )


class Steps:
    """Steps with one answer each, and what they were asked."""

    def __init__(self, clock, again=lambda request, answer: None if answer.results else request):
        self.clock = clock
        self.asked = []
        self._again = again

    def step(self, provider, answer, *, reserve_s=0.0, is_floor=False, takes_s=0.0):
        """A step with one answer."""

        async def service(call):
            self.asked.append((provider, call.request, call.deadline - self.clock.monotonic()))
            self.clock.advance(takes_s)
            if isinstance(answer, Exception):
                raise answer
            return Found(answer=found(answer, provider), provider=provider)

        return Step(provider=provider, service=service, reserve_s=reserve_s, is_floor=is_floor)

    def chain(self, *steps, remainders_max=1):
        """The chain under test."""
        return Fallback(steps, self.clock, self._again, remainders_max)

    @property
    def providers(self):
        """Who was asked, in order."""
        return [provider for provider, _, _ in self.asked]


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def steps(clock):
    """Makes steps that note what they are asked."""
    return Steps(clock)


@pytest.fixture
def call(clock):
    """A call of a search."""
    return make_call(REQUEST, clock=clock)


async def test_the_first_answer_ends_the_chain(steps, call):
    """A provider that has results is the last one asked."""
    chain = steps.chain(steps.step("tavily", 2), steps.step("jina", 2))

    (answer,) = await chain(call)

    assert (answer.provider, answer.is_fallback, answer.is_degraded) == ("tavily", False, False)
    assert steps.providers == ["tavily"]


async def test_a_failure_moves_on(steps, call):
    """A provider's failure is the next one's turn, whose answer is marked as a fallback."""
    chain = steps.chain(steps.step("tavily", down("tavily")), steps.step("jina", 2))

    (answer,) = await chain(call)

    assert (answer.provider, answer.is_fallback) == ("jina", True)


async def test_a_bug_in_one_provider_moves_on(steps, call):
    """Any exception of a step is that step's failure alone."""
    chain = steps.chain(steps.step("tavily", ZeroDivisionError()), steps.step("jina", 2))

    (answer,) = await chain(call)

    assert answer.provider == "jina"


async def test_nothing_found_asks_once_more(steps, call):
    """An empty answer asks the next provider; both answers are returned, in order."""
    chain = steps.chain(steps.step("tavily", 0), steps.step("jina", 2), steps.step("third", 2))

    answers = await chain(call)

    assert [(one.provider, len(one.answer.results)) for one in answers] == [("tavily", 0), ("jina", 2)]


async def test_nothing_found_twice_is_believed(steps, call):
    """After as many empty answers as the policy allows the chain ends."""
    chain = steps.chain(steps.step("tavily", 0), steps.step("jina", 0), steps.step("third", 2))

    answers = await chain(call)

    assert [one.provider for one in answers] == ["tavily", "jina"]


async def test_an_empty_answer_survives_later_failures(steps, call):
    """What one provider answered counts, though the others failed."""
    chain = steps.chain(steps.step("tavily", 0), steps.step("jina", down("jina")))

    (answer,) = await chain(call)

    assert (answer.provider, answer.answer.results) == ("tavily", ())


async def test_the_floor_stands_in_for_failed_providers(steps, call):
    """When all others failed the floor answers, marked degraded."""
    chain = steps.chain(steps.step("tavily", down("tavily")), steps.step("local", 1, is_floor=True))

    (answer,) = await chain(call)

    assert (answer.provider, answer.is_degraded) == ("local", True)


async def test_the_floor_is_not_asked_when_the_web_found_nothing(steps, call):
    """The floor never stands in for an empty answer."""
    chain = steps.chain(steps.step("tavily", 0), steps.step("local", 1, is_floor=True))

    (answer,) = await chain(call)

    assert answer.provider == "tavily"
    assert steps.providers == ["tavily"]


async def test_only_the_remainder_is_asked_further(clock, call):
    """The next step gets what the answer left open, not the whole request."""
    rest = SearchRequest(query="the rest")
    steps = Steps(clock, again=lambda request, answer: rest if request is not rest else None)
    chain = steps.chain(steps.step("tavily", 1), steps.step("jina", 1), remainders_max=2)

    await chain(call)

    assert [request for _, request, _ in steps.asked] == [REQUEST, rest]


async def test_an_invalid_request_ends_the_chain(steps, call):
    """A request that one provider refuses as invalid is not offered to others, and is the caller's fault."""
    refusal = ProviderRejected("No.", provider="tavily", reason=BAD_REQUEST)
    chain = steps.chain(steps.step("tavily", refusal), steps.step("jina", 2))

    with pytest.raises(InvalidRequest):
        await chain(call)

    assert steps.providers == ["tavily"]


async def test_a_failing_journal_ends_the_chain(steps, call):
    """If the intent cannot be written no provider can be called, so none is tried."""
    chain = steps.chain(steps.step("tavily", EventLogUnavailable("Full.")), steps.step("jina", 2))

    with pytest.raises(EventLogUnavailable):
        await chain(call)

    assert steps.providers == ["tavily"]


async def test_an_open_circuit_is_a_recorded_omission(steps, call):
    """A provider with an open circuit is skipped, and the record says why."""
    chain = steps.chain(steps.step("tavily", circuit("tavily", 12.0)), steps.step("jina", 2))

    (answer,) = await chain(call)

    assert recorded(call) == [ProviderSkipped(provider="tavily", reason="circuit_open")]
    assert [(one.provider, one.outcome, one.reason) for one in answer.attempts] == [
        ("tavily", "skipped", "circuit_open")
    ]


async def test_attempts_are_those_of_this_run(steps, call):
    """What was recorded before the chain began is not told as its attempts."""
    call.trail.record(AttemptStarted(provider="earlier", number=1, span_id="s"))
    chain = steps.chain(steps.step("tavily", 2))

    (answer,) = await chain(call)

    assert answer.attempts == ()


async def test_when_all_fail_every_reason_is_told(clock, call):
    """The error names each provider and why it failed."""
    steps = Steps(clock)

    def failing(provider):
        inner = steps.step(provider, down(provider)).service

        async def service(call):
            call.trail.record(AttemptStarted(provider=provider, number=1, span_id="s"))
            try:
                return await inner(call)
            finally:
                call.trail.record(
                    AttemptFailed(
                        provider=provider, number=1, duration_s=0.5, outcome="retryable", reason="http_503"
                    )
                )

        return Step(provider=provider, service=service, reserve_s=0.0)

    with pytest.raises(AllProvidersFailed) as failure:
        await steps.chain(failing("tavily"), failing("jina"))(call)

    assert failure.value.message == "No search provider could answer (tavily: http_503; jina: http_503)."
    assert [one.provider for one in failure.value.attempts] == ["tavily", "jina"]


async def test_an_empty_chain_says_so(steps, call):
    """Without providers there is a failure with a reason, not a bug."""
    with pytest.raises(AllProvidersFailed, match="no provider is configured"):
        await steps.chain()(call)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([down("tavily", 20.0), down("jina", 40.0)], 20.0),
        ([circuit("tavily", 25.0), down("jina")], RETRY_AFTER_S),
        ([circuit("tavily", 0.0)], RETRY_AFTER_S),
        ([circuit("tavily", 3600.0, is_quota=True), down("jina")], RETRY_AFTER_S),
        ([ZeroDivisionError()], RETRY_AFTER_S),
        ([ProviderThrottled("Slow.", provider="tavily", reason="http_429", retry_after_s=2.0)], 2.0),
    ],
)
async def test_a_caller_waits_for_the_first_that_may_be_back(steps, call, errors, expected):
    """The time to wait is the shortest of all providers; one that named none may be back soon."""
    chain = steps.chain(*(steps.step(f"p{position}", error) for position, error in enumerate(errors)))

    with pytest.raises(AllProvidersFailed) as failure:
        await chain(call)

    assert failure.value.retry_after_s == expected


async def test_a_used_up_quota_everywhere_has_its_own_name(steps, call):
    """If all providers refuse for our quota, the caller learns that it is the quota."""
    chain = steps.chain(steps.step("tavily", broke("tavily")), steps.step("jina", broke("jina")))

    with pytest.raises(QuotaExhausted):
        await chain(call)


async def test_a_circuit_that_a_quota_opened_is_still_the_quota(steps, call):
    """The second caller is told the same as the first, though the providers are not asked again."""
    chain = steps.chain(
        steps.step("tavily", circuit("tavily", 3600.0, is_quota=True)), steps.step("jina", broke("jina"))
    )

    with pytest.raises(QuotaExhausted):
        await chain(call)


async def test_one_other_failure_is_not_the_quota(steps, call):
    """If one provider failed for another reason, it is a failure that may pass."""
    chain = steps.chain(steps.step("tavily", broke("tavily")), steps.step("jina", down("jina")))

    with pytest.raises(AllProvidersFailed) as failure:
        await chain(call)

    assert not isinstance(failure.value, QuotaExhausted)


async def test_a_step_leaves_the_reserve_of_later_ones(steps, call):
    """A step gets what remains, less what later steps reserve and the way back."""
    chain = steps.chain(
        steps.step("tavily", down("tavily"), takes_s=1.0),
        steps.step("jina", down("jina"), reserve_s=3.0),
        steps.step("local", 1, reserve_s=0.5),
    )

    await chain(call)

    assert [left for _, _, left in steps.asked] == pytest.approx(
        [9.0 - 3.5 - limits.WAY_BACK_S, 8.0 - 0.5 - limits.WAY_BACK_S, 8.0 - limits.WAY_BACK_S]
    )


async def test_a_step_gets_at_least_half_of_what_is_left(steps, clock):
    """However much later steps would like, the step at hand has half of the time."""
    call = make_call(REQUEST, clock=clock, patience_s=2.0 + limits.WAY_BACK_S)
    chain = steps.chain(steps.step("tavily", 1), steps.step("jina", 1, reserve_s=60.0))

    await chain(call)

    assert steps.asked[0][2] == pytest.approx(1.0)


async def test_without_time_no_step_is_begun(steps, clock, call):
    """A step that would have no time is skipped, and recorded as such; the last one may still have some."""
    chain = steps.chain(
        steps.step("tavily", down("tavily"), takes_s=9.0 - limits.WAY_BACK_S - limits.ATTEMPT_S_MIN * 1.5),
        steps.step("jina", 1),
        steps.step("local", 1, reserve_s=5.0),
    )

    (answer,) = await chain(call)

    assert answer.provider == "local"
    assert recorded(call) == [ProviderSkipped(provider="jina", reason="deadline")]


async def test_when_time_is_up_all_further_steps_are_skipped(steps, call):
    """After the deadline nobody is asked, and the failure says so."""
    chain = steps.chain(
        steps.step("tavily", down("tavily"), takes_s=9.0), steps.step("jina", 1), steps.step("local", 1)
    )

    with pytest.raises(AllProvidersFailed, match="jina: deadline; local: deadline"):
        await chain(call)


async def test_a_call_without_deadline_shares_nothing(steps, clock):
    """An endless call gives each step endless time."""
    call = make_call(REQUEST, clock=clock, patience_s=math.inf)
    chain = steps.chain(steps.step("tavily", 1), steps.step("jina", 1, reserve_s=3.0))

    await chain(call)

    assert steps.asked[0][2] == math.inf
