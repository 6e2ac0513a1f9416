"""Several keys for one provider are used up in their order; one that does not work rests."""

from __future__ import annotations

import pytest

from orchestrator.errors import (
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.events import FREE
from orchestrator.facts import ProviderKeyRested
from orchestrator.providers.key_pool import KeyPool
from orchestrator.recorder import Recorder
from tests.support.clock import FakeClock
from tests.support.memory_journal import MemoryJournal

KEYS = ("tvly-1", "tvly-2", "tvly-3")
POLICY = KeyPool.policy


def drained(retry_after_s=None):
    """The plan of a key is used up."""
    return ProviderQuotaExceeded(
        "No.", provider="tavily", reason="quota", retry_after_s=retry_after_s, assumed=FREE
    )


def throttled(retry_after_s=None):
    """A key was used too often."""
    return ProviderThrottled("No.", provider="tavily", reason="throttled", retry_after_s=retry_after_s)


def refused(reason="key_refused"):
    """The provider does not know a key, or refuses something else."""
    return ProviderRejected("No.", provider="tavily", reason=reason, assumed=FREE)


class Provider:
    """A pool, and what each key gets: an answer unless `refusals` says otherwise."""

    def __init__(self, *keys: str) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal()
        self.recorder = Recorder(self.journal, self.clock)
        self.pool = KeyPool("tavily", keys or KEYS, self.clock, self.recorder)
        self.refusals: dict[str, Exception] = {}
        self.asked: list[str] = []

    async def call(self) -> str:
        """One call; the key that answered it."""
        return await self.pool.call(self._ask)

    async def _ask(self, authorization: str) -> str:
        key = authorization.removeprefix("Bearer ")
        self.asked.append(key)
        if key in self.refusals:
            raise self.refusals[key]
        return key

    async def facts(self) -> list[object]:
        """What was recorded of the keys."""
        await self.recorder.aclose()
        return self.journal.events("provider:tavily")


@pytest.fixture
def provider():
    """A provider with three keys."""
    return Provider()


async def test_the_first_key_is_used_while_it_works(provider):
    """Keys are drained in their order, not side by side."""
    assert [await provider.call() for _ in range(5)] == ["tvly-1"] * 5


@pytest.mark.parametrize("refusal", [drained(), throttled(), refused()])
async def test_the_same_call_goes_on_with_the_next_key(provider, refusal):
    """A key that is drained, throttled or refused costs the call nothing but the way there."""
    provider.refusals["tvly-1"] = refusal

    assert await provider.call() == "tvly-2"
    assert await provider.call() == "tvly-2"
    assert provider.asked == ["tvly-1", "tvly-2", "tvly-2"], "the resting key is not asked again"


@pytest.mark.parametrize(
    ("refusal", "rest_s"),
    [
        (drained(), POLICY.drained_s),
        (drained(120.0), 120.0),
        (throttled(), POLICY.throttled_s),
        (throttled(30.0), 30.0),
        (refused(), POLICY.refused_s),
    ],
)
async def test_a_key_rests_for_its_time(provider, refusal, rest_s):
    """The provider's own figure counts if it named one; then the key is the first choice again."""
    provider.refusals["tvly-1"] = refusal
    await provider.call()
    provider.refusals.clear()

    provider.clock.advance(rest_s - 0.1)
    assert await provider.call() == "tvly-2"
    provider.clock.advance(0.2)
    assert await provider.call() == "tvly-1"


async def test_a_resting_key_is_recorded_once_and_without_itself(provider):
    """Calls that were refused together leave one fact, which names the key by its number alone."""
    provider.refusals["tvly-2"] = drained()
    provider.refusals["tvly-1"] = throttled(5.0)

    await provider.call()
    provider.pool._rest(1, 5.0, throttled(5.0))  # another call that was under way with the same key

    facts = await provider.facts()
    assert facts == [
        ProviderKeyRested(provider="tavily", key_number=1, reason="throttled", rest_s=5.0),
        ProviderKeyRested(provider="tavily", key_number=2, reason="quota", rest_s=3600.0),
    ]
    assert "tvly" not in str(facts)


async def test_a_longer_rest_counts(provider):
    """A throttled key that turns out to be drained rests for the longer time."""
    provider.pool._rest(1, 5.0, throttled(5.0))
    provider.pool._rest(1, 3600.0, drained())
    provider.pool._rest(1, 5.0, throttled(5.0))
    provider.pool._rest(1, 4000.0, drained(4000.0))

    provider.clock.advance(10.0)

    assert await provider.call() == "tvly-2"
    told = [(fact.reason, fact.rest_s) for fact in await provider.facts()]
    assert told == [("throttled", 5.0), ("quota", 3600.0)], "another reason is news, another time is not"


async def test_without_a_key_left_the_provider_refuses_as_the_first_to_be_back(provider):
    """The refusal is that of the key whose rest ends first, with the time until then; nobody is called."""
    provider.refusals = {"tvly-1": drained(), "tvly-2": throttled(40.0), "tvly-3": refused()}
    with pytest.raises(ProviderThrottled) as first:
        await provider.call()
    provider.clock.advance(15.0)

    with pytest.raises(ProviderThrottled) as second:
        await provider.call()

    assert (first.value.retry_after_s, second.value.retry_after_s) == (40.0, 25.0)
    assert (second.value.reason, second.value.assumed) == ("throttled", FREE)
    assert len(provider.asked) == 3, "the second call asked nobody"
    assert "tvly" not in second.value.message.replace("tavily", "")


async def test_a_key_that_is_back_meanwhile_is_soon_asked_again(provider):
    """Its rest ended while the others refused: the provider is left alone for a moment, not for an hour."""

    async def slowly(authorization):
        provider.clock.advance(10.0)
        return await provider._ask(authorization)

    provider.pool._rest(1, 5.0, drained())
    provider.refusals = dict.fromkeys(KEYS, drained())
    with pytest.raises(ProviderQuotaExceeded) as refusal:
        await provider.pool.call(slowly)

    assert refusal.value.retry_after_s == POLICY.again_s


async def test_when_all_are_drained_it_is_the_quota(provider):
    """The chain hears of a used-up quota only when no key has any."""
    provider.refusals = dict.fromkeys(KEYS, drained())

    with pytest.raises(ProviderQuotaExceeded) as refusal:
        await provider.call()

    assert refusal.value.retry_after_s == POLICY.drained_s


@pytest.mark.parametrize(
    "failure",
    [
        ProviderTimeout("Late.", provider="tavily", reason="timeout"),
        ProviderUnavailable("Down.", provider="tavily", reason="http_500"),
        refused("bad_request"),
        refused("forbidden"),
        ZeroDivisionError(),
    ],
)
async def test_what_is_not_about_the_key_is_the_providers(provider, failure):
    """Another key would meet the same: the failure goes on, and no key rests."""
    provider.refusals["tvly-1"] = failure

    with pytest.raises(type(failure)):
        await provider.call()

    assert provider.asked == ["tvly-1"]
    assert await provider.facts() == []


async def test_one_key_alone_never_rests():
    """Its refusals go to the circuit as they are, which looks again in its own way."""
    provider = Provider("tvly-1")
    provider.refusals["tvly-1"] = drained()

    for _ in range(2):
        with pytest.raises(ProviderQuotaExceeded) as refusal:
            await provider.call()
        assert refusal.value is provider.refusals["tvly-1"]

    assert provider.asked == ["tvly-1", "tvly-1"]
    assert await provider.facts() == []


async def test_a_key_that_began_something_goes_on_with_it():
    """Even while it rests; where it is gone any other is asked."""
    clock = FakeClock()
    pool = KeyPool("tavily", KEYS, clock)

    async def ask(key):
        if key.endswith("1"):
            raise drained()
        return key

    assert await pool.call(ask) == "Bearer tvly-2"  # the first one rests now

    async def look(key):
        return key

    assert await pool.call_with(lambda key: key.endswith("1"), look) == "Bearer tvly-1"
    assert await pool.call_with(lambda key: key.endswith("9"), look) == "Bearer tvly-2"
