"""Calls under way to one provider are bounded by what it has shown that it can take."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from orchestrator.errors import (
    ProviderHeldBack,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.filters.provider_room import CallBound, ProviderRoom, ProviderRoomPolicy
from orchestrator.model import SearchRequest
from orchestrator.outcome import CUT_SHORT
from tests.support.calls import make_call
from tests.support.clock import LoopClock

POLICY = ProviderRoomPolicy(calls_max=8, calls_at_first=2, growth_count=1.0, waiting_max=4)


class Provider:
    """A room, and inner stages in which calls stay until they are told to end."""

    def __init__(self, policy: ProviderRoomPolicy = POLICY) -> None:
        self.clock = LoopClock()
        self.is_open = False
        self.room = ProviderRoom("tavily", self.clock, policy, lambda: self.is_open)
        self.inside: dict[str, asyncio.Future[None]] = {}
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, *names: str, patience_s: float = 9.0) -> None:
        """Calls with these names come in, in this order."""
        for name in names:
            call = make_call(SearchRequest(query=name), clock=self.clock, patience_s=patience_s)
            self.tasks[name] = asyncio.create_task(self.room(call, self._stay))
        await turns()

    async def _stay(self, call) -> None:
        name = call.request.query
        self.order.append(name)
        self.inside[name] = asyncio.get_running_loop().create_future()
        try:
            await self.inside[name]
        finally:
            del self.inside[name]

    async def end(self, *names: str, error: Exception | None = None) -> None:
        """These calls are answered, or fail."""
        for name in names:
            if error is None:
                self.inside[name].set_result(None)
            else:
                self.inside[name].set_exception(error)
        await turns()

    async def empty(self) -> None:
        """Everybody leaves."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def turns() -> None:
    """Some turns of the loop, in no time."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def provider():
    """A room with two places at first."""
    provider = Provider()
    yield provider
    await provider.empty()
    assert provider.room.calls == 0
    assert provider.room.waiting == 0


def late(reason="timeout"):
    """A timeout of the provider."""
    return ProviderTimeout("Late.", provider="tavily", reason=reason)


async def test_a_provider_that_nobody_knows_gets_few_calls(provider):
    """As many calls are under way as the bound begins with; the others wait."""
    await provider.ask("a", "b", "c", "d")

    assert list(provider.inside) == ["a", "b"]
    assert provider.room.waiting == 2


async def test_each_answer_makes_room_for_one_more(provider):
    """An answer gives its place back and adds another, so that those under way double with each round."""
    await provider.ask("a", "b", "c", "d", "e", "f")

    await provider.end("a", "b")

    assert list(provider.inside) == ["c", "d", "e", "f"]
    assert provider.room.calls_max == 4


async def test_places_go_to_those_who_have_waited_longest(provider):
    """Nobody overtakes: who comes while others wait goes to the end of the queue."""
    await provider.ask("a", "b", "c", "d")
    await provider.end("a", error=ProviderUnavailable("Down.", provider="tavily", reason="http_500"))
    await provider.ask("e")

    await provider.end("b", error=ProviderUnavailable("Down.", provider="tavily", reason="http_500"))

    assert provider.order == ["a", "b", "c", "d"]


async def test_a_full_queue_refuses_at_once(provider):
    """Beyond the bound on those who wait a call moves on to the next provider, and was never billed."""
    await provider.ask("a", "b", "c", "d", "e", "f")

    await provider.ask("g")

    with pytest.raises(ProviderHeldBack) as refusal:
        await provider.tasks["g"]
    assert (refusal.value.reason, refusal.value.provider) == ("busy", "tavily")
    assert refusal.value.assumed is not None
    assert refusal.value.assumed.usd_micros == 0


async def test_half_of_the_time_may_be_spent_waiting(provider):
    """Who has waited for half of the time it has at this provider moves on."""
    await provider.ask("a", "b")
    await provider.ask("c", patience_s=4.0)
    began = provider.clock.monotonic()

    with pytest.raises(ProviderHeldBack):
        await provider.tasks["c"]

    assert provider.clock.monotonic() - began == pytest.approx(2.0)
    assert provider.room.waiting == 0


async def test_who_is_late_does_not_wait(provider):
    """Without time left there is nothing to share."""
    await provider.ask("a", "b")
    await provider.ask("c", patience_s=0.0)

    assert isinstance(provider.tasks["c"].exception(), ProviderHeldBack)


async def test_when_the_circuit_opens_all_who_wait_move_on(provider):
    """They go to the breaker, which refuses; the bound begins anew, as the provider is not what it was."""
    await provider.ask("a", "b", "c", "d", "e", "f")
    await provider.end("a", "b")
    await provider.ask("g", "h")

    provider.is_open = True
    provider.room.let_go()
    await turns()

    assert provider.order[-2:] == ["g", "h"]
    assert provider.room.calls_max == 2
    await provider.ask("i")
    assert "i" in provider.inside, "while it is open nobody waits"


async def test_who_leaves_gives_up_its_place_in_the_queue(provider):
    """A cancelled call waits no longer, and the one behind it is next."""
    await provider.ask("a", "b", "c", "d")

    provider.tasks["c"].cancel()
    await turns()
    await provider.end("a", error=late(CUT_SHORT))

    assert provider.order == ["a", "b", "d"]


async def test_a_place_given_to_one_who_leaves_is_not_lost(provider):
    """A call that is cancelled in the very moment in which its turn comes hands the place on."""
    await provider.ask("a", "b", "c", "d")

    provider.inside["a"].set_exception(late(CUT_SHORT))
    await asyncio.sleep(0)
    assert provider.room.waiting == 1, "it has its place and does not know it yet"
    provider.tasks["c"].cancel()
    await turns()

    assert provider.order == ["a", "b", "d"]


async def test_a_place_is_not_given_to_one_who_has_left(provider):
    """A call that is cancelled just before its turn is passed over."""
    await provider.ask("a", "b", "c", "d")

    provider.tasks["c"].cancel()
    provider.inside["a"].set_exception(late(CUT_SHORT))
    await turns()

    assert provider.order == ["a", "b", "d"]


@pytest.mark.parametrize("error", [late(), ProviderThrottled("Slow.", provider="tavily", reason="throttled")])
async def test_a_provider_that_suffers_gets_fewer_calls(error):
    """A timeout or a throttled call takes a third of the places away."""
    provider = Provider(ProviderRoomPolicy(calls_at_first=10))
    await provider.ask(*map(str, range(10)))

    await provider.end("0", error=error)

    assert provider.room.calls_max == 7
    await provider.empty()


@pytest.mark.parametrize(
    "error", [late(CUT_SHORT), ProviderUnavailable("Down.", provider="tavily", reason="http_500")]
)
async def test_other_failures_say_nothing_of_the_bound(error):
    """A caller's own haste and a provider's own fault leave the places as they are."""
    provider = Provider(ProviderRoomPolicy(calls_at_first=10))
    await provider.ask(*map(str, range(10)))

    await provider.end("0", error=error)

    assert provider.room.calls_max == 10
    await provider.empty()


def test_a_round_of_timeouts_counts_once():
    """Calls that began before the bound shrank say nothing new; those that began after it do."""
    bound = CallBound(ProviderRoomPolicy(calls_at_first=10), now=0.0)

    for _ in range(10):
        bound.suffered(began=1.0, now=6.0)
    assert bound.calls == 7

    bound.suffered(began=6.5, now=11.0)
    assert bound.calls == 4


def test_the_bound_never_falls_below_one():
    """One call is always possible, or nothing would ever be learnt again."""
    bound = CallBound(POLICY, now=0.0)

    for moment in range(50):
        bound.suffered(began=float(moment), now=float(moment))

    assert bound.calls == 1


def test_above_what_it_suffered_at_it_grows_by_one_a_round():
    """After the provider has suffered the bound does not double any more."""
    bound = CallBound(ProviderRoomPolicy(calls_at_first=10), now=0.0)
    bound.suffered(began=1.0, now=1.0)

    for _ in range(8):
        bound.answered(under_way=8, now=2.0)

    assert bound.calls == 8


def test_a_bound_that_nobody_uses_does_not_grow():
    """With few calls under way an answer says nothing of how many the provider could take."""
    bound = CallBound(ProviderRoomPolicy(calls_at_first=10), now=0.0)

    for _ in range(100):
        bound.answered(under_way=3, now=1.0)

    assert bound.calls == 10


def test_the_bound_ends_at_the_operators_limit():
    """However many answers come, no more calls are under way than may be; also at first."""
    bound = CallBound(ProviderRoomPolicy(calls_max=12), now=0.0)
    for _ in range(100):
        bound.answered(under_way=12, now=1.0)
    assert bound.calls == 12

    assert CallBound(ProviderRoomPolicy(calls_max=3), now=0.0).calls == 3


def test_after_a_silence_the_bound_begins_anew():
    """What was learnt of a provider yesterday does not let a crowd upon it today."""
    bound = CallBound(ProviderRoomPolicy(), now=0.0)
    for _ in range(100):
        bound.answered(under_way=100, now=1.0)
    bound.began(now=10.0)
    assert bound.calls > 100

    bound.began(now=12.0)

    assert bound.calls == 10


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_no_place_is_lost_or_made(seed):
    """After any mixture of answers, faults, cancellations and openings all places are free again."""
    chance = random.Random(seed)
    provider = Provider(ProviderRoomPolicy(calls_max=16, calls_at_first=4, waiting_max=20))
    for number in range(400):
        await provider.ask(str(number), patience_s=chance.choice([0.5, 2.0, math.inf]))
        assert provider.room.calls == len(provider.inside)
        assert provider.room.waiting <= 20
        happening = chance.random()
        names = list(provider.inside)
        if names and happening < 0.6:
            await provider.end(chance.choice(names), error=chance.choice([None, None, None, late()]))
        elif happening < 0.8:
            provider.tasks[str(chance.randrange(number + 1))].cancel()
        elif happening < 0.85:
            provider.is_open = not provider.is_open
            if provider.is_open:
                provider.room.let_go()
        elif happening < 0.95:
            await asyncio.sleep(0.3)
        if not provider.is_open and provider.room.waiting:
            assert provider.room.calls >= provider.room.calls_max, "a place is free and somebody waits"

    await provider.empty()

    assert (provider.room.calls, provider.room.waiting) == (0, 0)
