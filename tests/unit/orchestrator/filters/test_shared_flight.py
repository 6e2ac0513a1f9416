"""Of several processes one asks for all, and whoever dies, is late or alone harms nobody else."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import limits
from orchestrator.errors import (
    AllProvidersFailed,
    BudgetExhausted,
    DeadlineExceeded,
    EventLogUnavailable,
    InvalidRequest,
    PageUnreadable,
    QuotaExhausted,
    SearchFailed,
)
from orchestrator.events import Cost, FlightJoined
from orchestrator.filters.shared_flight import SharedFlightFilter, _decoded, _error_of, _landing_of
from orchestrator.model import Attempt, CacheControl, Response, SearchRequest
from tests.support.calls import changed, joined, make_call, recorded
from tests.support.clock import LoopClock
from tests.support.shared_memory import LEASE_S, MemoryFlights

CREDIT = Cost(amount=1.0, unit="credits", usd_micros=8_000)
TRIED = (Attempt(provider="tavily", outcome="success", reason="", duration_s=0.9),)
ANSWER = Response(
    fragment=b'"results":["\xc3\xa9"]',
    result_count=1,
    provider="tavily",
    ttl_s=60.0,
    cost=CREDIT,
    attempts=TRIED,
    unsupported=("days",),
)
LATE = AllProvidersFailed(
    "Late.", attempts=[Attempt(provider="p", outcome="final", reason="timeout", duration_s=1.0)]
)


def call_for(key="k1", *, patience_s=9.0, **caller_fields):
    """A call for this."""
    call = make_call(SearchRequest(query="tides"), clock=LoopClock(), patience_s=patience_s, **caller_fields)
    return changed(call, cache_key=key)


class Service:
    """Takes its time, then answers or fails, every call after the first with `then`; keeps its calls."""

    def __init__(self, outcome=ANSWER, takes_s=1.0, then=None):
        self.calls = []
        self.outcomes = outcome, then or outcome
        self.takes_s = takes_s

    async def __call__(self, call):
        """Take the time, then end."""
        outcome = self.outcomes[bool(self.calls)]
        self.calls.append(call)
        await asyncio.sleep(self.takes_s)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Cache:
    """What a look back finds."""

    def __init__(self):
        self.answer = None

    async def look_again(self, call):
        """The answer, if there is one by now."""
        return self.answer


@pytest.fixture
def flights():
    """What the processes share."""
    return MemoryFlights(LoopClock())


@pytest.fixture
def cache():
    """The cache they share."""
    return Cache()


@pytest.fixture
def processes(flights, cache):
    """Three processes: the filter of each."""
    return [SharedFlightFilter(flights, LoopClock(), cache.look_again) for _ in range(3)]


@pytest.fixture
def service():
    """The inner stages, whoever of the processes comes to them."""
    return Service()


async def fly(processes, calls, service):
    """The outcome of each call, one a process, all at once."""
    return await asyncio.gather(
        *(process(call, service) for process, call in zip(processes, calls, strict=False)),
        return_exceptions=True,
    )


async def test_three_processes_ask_once(processes, service):
    """One asks and pays; the others have the same answer with all that is known of it, and pay nothing."""
    calls = [call_for() for _ in range(3)]

    answers = await fly(processes, calls, service)

    assert service.calls == [calls[0]]
    assert answers[0] is ANSWER
    assert answers[1:] == [changed(ANSWER, cache="collapsed", cost=Cost())] * 2
    assert [recorded(call) for call in calls] == [[], *[[joined(calls[0])]] * 2]


async def test_a_leader_of_an_earlier_version_does_not_tell_its_trace(flights, processes, service):
    """Who waits for it records what is known: its execution."""
    await flights.claim("k1", "e-1:0123456789abcdef")
    call = call_for()

    waiting = asyncio.create_task(processes[0](call, service))
    await asyncio.sleep(0.01)
    await flights.land("k1", "e-1:0123456789abcdef", None)
    await waiting

    assert recorded(call)[0] == FlightJoined(key="k1", leader="e-1")


async def test_waiting_adds_nothing(processes, service):
    """A follower has the answer with the leader, and does not ask for it all the time."""
    begun = asyncio.get_running_loop().time()

    await fly(processes[:2], [call_for(), call_for()], service)

    assert asyncio.get_running_loop().time() - begun == pytest.approx(1.0)
    assert processes[0]._flights.calls < 10


async def test_different_keys_fly_apart(processes, service):
    """Only identical calls are joined."""
    await fly(processes, [call_for("k1"), call_for("k2"), call_for("k3")], service)

    assert len(service.calls) == 3


async def test_what_was_stored_meanwhile_is_not_fetched(processes, service, cache):
    """Whoever takes the lease just after the leader has landed finds the answer in the cache."""
    cache.answer = changed(ANSWER, cache="l2", cost=Cost())

    assert (await processes[0](call_for(), service)).cache == "l2"
    assert service.calls == []


async def test_what_is_too_large_is_not_sent(processes, flights):
    """A book does not travel through the store: the others fetch it by themselves, and at once."""
    book = changed(ANSWER, fragment=b"x" * limits.L2_ENTRY_BYTES_MAX)
    begun = asyncio.get_running_loop().time()

    answers = await fly(processes, [call_for() for _ in range(3)], Service(book))

    assert answers == [book] * 3
    assert max(map(len, flights._outcomes.values())) < 100
    assert asyncio.get_running_loop().time() - begun <= 2.2


async def test_no_store_flies_alone(processes, service, flights):
    """A caller whose answer must not be kept leaves no word of it anywhere."""
    private = {"cache_control": CacheControl(no_store=True)}

    await fly(processes, [call_for(**private) for _ in range(3)], service)

    assert len(service.calls) == 3
    assert flights.calls == 0


@pytest.mark.parametrize(
    "error",
    [
        AllProvidersFailed("Down.", attempts=TRIED, retry_after_s=7.0),
        QuotaExhausted("Out.", attempts=TRIED),
        PageUnreadable("No."),
        InvalidRequest("Refused.", field="country"),
    ],
)
async def test_a_failure_is_shared(processes, error):
    """What the leader fails with the others fail with, word for word; nobody asks again."""
    service = Service(error)

    outcomes = await fly(processes, [call_for() for _ in range(3)], service)

    assert len(service.calls) == 1
    for outcome in outcomes:
        assert type(outcome) is type(error)
        assert vars(outcome) == vars(error)
    later = await fly(processes[:1], [call_for()], service)
    assert type(later[0]) is type(error)
    assert len(service.calls) == 2


@pytest.mark.parametrize(
    "error", [EventLogUnavailable("Full."), BudgetExhausted("Spent."), ZeroDivisionError()]
)
async def test_a_failure_of_the_leader_s_own_is_not_shared(processes, error):
    """Its full disk, its caller's budget, its bug: the next process tries for itself."""
    first, second = await fly(processes[:2], [call_for() for _ in range(2)], Service(error, then=ANSWER))

    assert type(first) is type(error)
    assert second is ANSWER


async def test_a_dead_leader_costs_one_more_call(processes, service, flights):
    """When its lease lapses one of those who wait takes over, and the others wait for that one."""
    await flights.claim("k1", "dead-execution:1")
    begun = asyncio.get_running_loop().time()
    calls = [call_for() for _ in range(3)]

    answers = await fly(processes, calls, service)

    assert len(service.calls) == 1
    assert sorted(answer.cache for answer in answers) == ["collapsed", "collapsed", "miss"]
    assert asyncio.get_running_loop().time() - begun < LEASE_S + 1.0 + 0.3
    assert {recorded(call)[0].leader for call in calls} == {"dead-execution"}


async def test_a_slow_leader_keeps_its_lease(processes):
    """However long it works, nobody takes over while it lives."""
    service = Service(takes_s=8.0)

    answers = await fly(processes, [call_for() for _ in range(3)], service)

    assert len(service.calls) == 1
    assert [answer.cache for answer in answers] == ["miss", "collapsed", "collapsed"]


async def test_nobody_waits_for_a_store_that_is_down(processes, service, flights):
    """Everybody goes alone, at once."""
    flights.is_down = True
    begun = asyncio.get_running_loop().time()

    answers = await fly(processes, [call_for() for _ in range(3)], service)

    assert answers == [ANSWER] * 3
    assert len(service.calls) == 3
    assert asyncio.get_running_loop().time() - begun == pytest.approx(1.0)


async def test_a_store_that_goes_down_in_the_flight(processes, service, flights):
    """The leader ends as if nothing were; each who waited goes alone."""
    tasks = [asyncio.ensure_future(p(call_for(), service)) for p in processes]
    await asyncio.sleep(0.5)
    flights.is_down = True

    answers = await asyncio.gather(*tasks)

    assert [answer.cache for answer in answers] == ["miss"] * 3
    assert len(service.calls) == 3


async def test_a_lost_lease_does_not_stop_the_leader(processes, flights):
    """A leader that could not renew works on; its successor is not disturbed by its landing."""
    service = Service(takes_s=4.0)
    first = asyncio.ensure_future(processes[0](call_for(), service))
    await asyncio.sleep(0.2)
    flights._leases.clear()
    second = asyncio.ensure_future(processes[1](call_for(), service))
    await asyncio.sleep(1.0)
    third = asyncio.ensure_future(processes[2](call_for(), service))

    answers = await asyncio.gather(first, second, third)

    assert [answer.cache for answer in answers] == ["miss", "miss", "collapsed"]
    assert flights._leases == {}


async def test_a_leader_s_haste_is_not_its_followers(processes):
    """Who has clearly more time than a leader that failed for want of it shares one further flight."""
    service = Service(LATE, takes_s=1.4, then=ANSWER)
    hasty = asyncio.ensure_future(processes[0](call_for(patience_s=1.5), service))
    await asyncio.sleep(0.1)
    patient = [asyncio.ensure_future(p(call_for(patience_s=30.0), service)) for p in processes[1:]]

    answers = await asyncio.gather(*patient)

    assert hasty.exception() is LATE
    assert sorted(answer.cache for answer in answers) == ["collapsed", "miss"]
    assert len(service.calls) == 2


async def test_a_second_late_failure_is_the_last_word(processes):
    """A follower waits for one further flight and no more."""
    service = Service(LATE, takes_s=1.4)
    calls = [call_for(patience_s=seconds) for seconds in (1.5, 5.0, 30.0)]

    outcomes = await fly(processes, calls, service)

    assert [type(one) for one in outcomes] == [AllProvidersFailed] * 3
    assert len(service.calls) == 2


async def test_nobody_flies_on_without_more_time(processes):
    """A follower as hasty as its leader takes the leader's failure for its own."""
    service = Service(LATE, takes_s=1.4)

    outcomes = await fly(processes, [call_for(patience_s=1.5), call_for(patience_s=2.0)], service)

    assert [str(one) for one in outcomes] == ["Late."] * 2
    assert len(service.calls) == 1


async def test_a_leader_cut_off_at_its_deadline_says_so(processes):
    """Its followers need not wait for the lease to lapse."""
    service = Service(takes_s=60.0)

    async def within(process, call):
        async with asyncio.timeout_at(call.deadline):
            return await process(call, service)

    first = asyncio.ensure_future(within(processes[0], call_for(patience_s=2.0)))
    await asyncio.sleep(0.1)
    begun = asyncio.get_running_loop().time()

    with pytest.raises(DeadlineExceeded):
        await processes[1](call_for(patience_s=2.5), service)

    assert asyncio.get_running_loop().time() - begun < 2.2
    assert len(service.calls) == 1
    with pytest.raises(TimeoutError):
        await first


async def test_a_leader_that_is_stopped_hands_over(processes, service, flights):
    """One that ends before its deadline frees the key at once."""
    first = asyncio.ensure_future(processes[0](call_for(), service))
    await asyncio.sleep(0.5)
    first.cancel()
    await asyncio.wait([first])

    assert flights._leases == {}
    assert first.cancelled()


async def test_nothing_runs_on(processes, service):
    """However a flight ends, no task of it is left."""
    before = asyncio.all_tasks()
    await fly(processes, [call_for() for _ in range(3)], service)
    await fly(processes, [call_for() for _ in range(3)], Service(ZeroDivisionError()))

    assert asyncio.all_tasks() == before


def test_words_of_another_version_are_no_outcome():
    """What cannot be read counts as no word; an unknown failure is a search that failed."""
    assert _decoded(b"\xc1") is None
    landing = _landing_of(SearchFailed("Hm."), 1.0)
    assert type(_error_of(changed(landing, code="of_the_future"))) is SearchFailed
