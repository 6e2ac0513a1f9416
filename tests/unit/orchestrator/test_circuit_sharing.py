"""One set of circuits over several processes: what one has seen all know; each opening is recorded once."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.circuit_sharing import REFRESH_S, REPORTS_MAX, CircuitSharing
from orchestrator.cooldown import CircuitPolicy
from orchestrator.errors import CircuitOpen, ProviderHeldBack, ProviderQuotaExceeded, ProviderUnavailable
from orchestrator.events import FREE
from orchestrator.facts import CircuitOpened
from orchestrator.filters.circuit_breaker import Circuit, CircuitBreakerFilter
from orchestrator.model import SearchRequest
from tests.support.calls import make_call
from tests.support.clock import LoopClock
from tests.support.facts import Facts
from tests.support.shared_memory import MemoryCircuitBoard

POLICY = CircuitPolicy(failures_max=5, cooldowns_s=(30.0, 60.0), jitter_ratio=0.0)
SOON_S = REFRESH_S * 1.2
"""By now everybody has asked for news."""

DOWN = ProviderUnavailable("It failed.", provider="tavily", reason="http_503")
OUT = ProviderQuotaExceeded("Used up.", provider="tavily", reason="http_432", retry_after_s=300.0)


class Upstream:
    """A provider that ends as it is told."""

    def __init__(self):
        self.outcome = DOWN
        self.calls = 0
        self.takes_s = 0.0

    async def __call__(self, call):
        """Take the time, then end."""
        self.calls += 1
        await asyncio.sleep(self.takes_s)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Process:
    """One process: its circuit and what shares it."""

    def __init__(self, board, facts):
        self.circuit = Circuit("tavily", LoopClock(), facts, POLICY)
        self.breaker = CircuitBreakerFilter(self.circuit, LoopClock())
        self.sharing = CircuitSharing(board, {"tavily": self.circuit})

    async def call(self, upstream):
        """A call through the circuit; its outcome."""
        try:
            return await self.breaker(make_call(SearchRequest(query="tides"), clock=LoopClock()), upstream)
        except (CircuitOpen, ProviderHeldBack, ProviderUnavailable, ProviderQuotaExceeded) as error:
            return error


@pytest.fixture
def board():
    """What they share."""
    return MemoryCircuitBoard(LoopClock())


@pytest.fixture
def facts():
    """What they record."""
    return Facts()


@pytest.fixture
def upstream():
    """The provider of all."""
    return Upstream()


@pytest.fixture
async def processes(board, facts):
    """Three of them."""
    processes = [Process(board, facts) for _ in range(3)]
    yield processes
    for process in processes:
        await process.sharing.aclose()


def states(processes):
    """The state each knows."""
    return [process.circuit.state for process in processes]


async def let_fail(processes, upstream, times):
    """Calls one after the other, at each process in turn."""
    for n in range(times):
        await processes[n % len(processes)].call(upstream)
        await asyncio.sleep(0.01)


async def test_failures_of_all_add_up(processes, upstream, facts):
    """Five failures anywhere open the circuit everywhere, and that is recorded once."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(SOON_S)

    assert states(processes) == ["open"] * 3
    assert facts.events == [CircuitOpened(provider="tavily", reason="http_503", cooldown_s=30.0)]
    assert all(29.0 < process.circuit.retry_after_s <= 30.0 for process in processes)
    assert {process.circuit.reason for process in processes} == {"http_503"}
    assert [type(await process.call(upstream)) for process in processes] == [CircuitOpen] * 3
    assert upstream.calls == 5


async def test_failures_at_once_everywhere_are_one_opening(processes, upstream, facts):
    """Also when each process has seen enough by itself, and all at the same moment."""
    await asyncio.gather(*(process.call(upstream) for process in processes for _ in range(8)))
    assert states(processes) == ["open"] * 3
    await asyncio.sleep(SOON_S)

    assert facts.kinds() == ["CircuitOpened"]


async def test_a_success_anywhere_starts_the_count_anew(processes, upstream):
    """Failures count in a row over all processes."""
    await let_fail(processes, upstream, 4)
    await asyncio.sleep(SOON_S)
    upstream.outcome = "answer"
    await processes[0].call(upstream)
    await asyncio.sleep(SOON_S)
    upstream.outcome = DOWN

    await let_fail(processes, upstream, 4)
    await asyncio.sleep(SOON_S)

    assert states(processes) == ["closed"] * 3


async def test_a_used_up_quota_is_known_to_all(processes, upstream, facts):
    """One refusal is enough for everybody, for as long as it asked, and all know that it is the quota."""
    upstream.outcome = OUT
    await processes[0].call(upstream)
    await asyncio.sleep(SOON_S)

    refusals = [await process.call(upstream) for process in processes]

    assert [refusal.is_quota for refusal in refusals] == [True] * 3
    assert all(298.0 < refusal.retry_after_s <= 300.0 for refusal in refusals)
    assert upstream.calls == 1
    assert facts.kinds() == ["CircuitOpened"]


async def test_one_probe_finds_out_for_all(processes, upstream, facts):
    """After the cooldown one call of one process goes through; when it succeeds all circuits close."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(31.0)
    upstream.outcome, upstream.takes_s, before = "answer", 0.3, upstream.calls

    outcomes = await asyncio.gather(*(process.call(upstream) for process in processes for _ in range(5)))

    assert upstream.calls - before == 1
    assert outcomes.count("answer") == 1
    await asyncio.sleep(SOON_S)
    assert states(processes) == ["closed"] * 3
    assert facts.kinds() == ["CircuitOpened", "CircuitHalfOpened", "CircuitClosed"]
    assert [await process.call(upstream) for process in processes] == ["answer"] * 3


async def test_probes_that_are_not_made_are_told_once(processes, upstream, facts):
    """A budget that is spent until midnight holds back each probe: not every search until then is news."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(31.0)
    upstream.outcome = ProviderHeldBack("No.", provider="tavily", reason="budget", assumed=FREE)

    for _ in range(20):
        assert await processes[0].call(upstream) is upstream.outcome

    assert facts.kinds() == ["CircuitOpened", "CircuitHalfOpened"]
    upstream.outcome = "answer"
    assert await processes[0].call(upstream) == "answer"


async def test_a_probe_that_fails_keeps_all_away(processes, upstream, facts):
    """If the probe fails too, nobody is sent there for another cooldown."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(31.0)

    await asyncio.gather(*(process.call(upstream) for process in processes for _ in range(5)))
    await asyncio.sleep(SOON_S)

    assert upstream.calls == 6
    assert states(processes) == ["open"] * 3
    assert facts.kinds() == ["CircuitOpened", "CircuitHalfOpened", "CircuitOpened"]
    assert all(process.circuit.retry_after_s > 28.0 for process in processes)


async def test_steps_are_counted_together(processes, upstream, facts):
    """A probe that fails makes the next cooldown longer, whichever process made it; all count answers."""
    await let_fail(processes, upstream, 5)
    for prober, wait_s in ((1, 31.0), (2, 61.0), (0, 61.0)):
        await asyncio.sleep(wait_s)
        await processes[prober].call(upstream)
    await asyncio.sleep(61.0)
    upstream.outcome = "answer"
    for n in range(8):
        await processes[n % 3].call(upstream)
        await asyncio.sleep(SOON_S)
    upstream.outcome = DOWN
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(SOON_S)

    opened = [(e.openings, e.cooldown_s) for e in facts.events if isinstance(e, CircuitOpened)]
    assert opened == [(1, 30.0), (2, 60.0), (3, 60.0), (4, 60.0), (1, 30.0)]
    assert [process.circuit.openings for process in processes] == [1, 1, 1]


async def test_a_process_that_is_alone_knows_how_often(processes, upstream, board, facts):
    """What opened during an outage of the board has the step that follows what was known before it."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(SOON_S)
    board.is_down = True
    await asyncio.sleep(31.0)
    await processes[1].call(upstream)
    await asyncio.sleep(SOON_S)

    assert facts.events[-1] == CircuitOpened(
        provider="tavily", reason="http_503", cooldown_s=60.0, openings=2
    )


async def test_a_cancelled_probe_lets_another_try(processes, upstream):
    """Nobody's fault moves nothing, and the next call probes, of whatever process."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(31.0)
    upstream.outcome, upstream.takes_s = "answer", 5.0
    probe = asyncio.ensure_future(processes[0].call(upstream))
    await asyncio.sleep(1.0)
    probe.cancel()
    await asyncio.wait([probe])
    await asyncio.sleep(SOON_S)

    assert await processes[1].call(upstream) == "answer"


async def test_news_from_before_our_own_report_close_nothing(board, processes, upstream):
    """What the board said when it had not heard of our failures yet is older than what we know."""
    await let_fail(processes, upstream, 1)  # so that the board knows the circuit, as closed
    report = board.report

    async def late(*arguments):
        found = await report(*arguments)
        await asyncio.sleep(0.2)
        return found

    board.report = late
    await asyncio.sleep(SOON_S)
    await let_fail(processes[:1], upstream, 8)

    assert {(await asyncio.sleep(0.05), states(processes)[0])[1] for _ in range(100)} == {"open"}


async def test_a_board_that_fails_in_an_unknown_way_is_out_of_reach(board, processes, upstream, caplog):
    """Each process goes on alone and shares again when it can; the log tells of it once for each."""
    report, board.report = board.report, None
    await let_fail(processes[:1], upstream, 5)
    await asyncio.sleep(4 * SOON_S)
    assert states(processes) == ["open", "closed", "closed"]
    board.report = report
    await asyncio.sleep(2 * SOON_S)

    assert states(processes) == ["open"] * 3
    assert len(caplog.records) == len(processes)


async def test_who_may_not_probe_asks_again_only_after_a_while(processes, upstream, board):
    """While one probes, the calls of the others do not each ask whether they may."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(31.0)
    upstream.takes_s = 3.0
    probe = asyncio.ensure_future(processes[0].call(upstream))
    await asyncio.sleep(0.01)
    asked = 0
    take_probe = board.take_probe

    async def counted(provider, holder):
        nonlocal asked
        asked += 1
        return await take_probe(provider, holder)

    board.take_probe = counted
    for _ in range(100):
        assert isinstance(await processes[1].call(upstream), CircuitOpen)
        await asyncio.sleep(0.01)

    assert asked <= 3
    await probe


async def test_a_new_process_knows_what_the_others_know(processes, upstream, board, facts):
    """One that starts while the circuit is open does not call; after the cooldown it probes like the rest."""
    await let_fail(processes, upstream, 5)
    newcomer = Process(board, facts)
    await asyncio.sleep(0.01)

    assert isinstance(await newcomer.call(upstream), CircuitOpen)
    await asyncio.sleep(31.0)
    late = Process(board, facts)
    await asyncio.sleep(0.01)
    upstream.outcome = "answer"
    assert await late.call(upstream) == "answer"
    assert facts.kinds() == ["CircuitOpened", "CircuitHalfOpened", "CircuitClosed"]
    await newcomer.sharing.aclose()
    await late.sharing.aclose()


async def test_without_the_board_each_keeps_its_own(processes, upstream, board, facts):
    """While it is down everybody counts, opens, probes, closes and records alone."""
    board.is_down = True
    await let_fail(processes[:1], upstream, 5)
    await let_fail(processes[1:2], upstream, 4)
    await asyncio.sleep(SOON_S)
    assert states(processes) == ["open", "closed", "closed"]
    assert facts.kinds() == ["CircuitOpened"]
    upstream.outcome = "answer"
    await asyncio.sleep(31.0)

    assert await processes[0].call(upstream) == "answer"
    assert facts.kinds() == ["CircuitOpened", "CircuitHalfOpened", "CircuitClosed"]


async def test_what_opened_during_an_outage_is_told_afterwards(processes, upstream, board, facts):
    """The others learn of it, and it is not recorded a second time."""
    board.is_down = True
    await let_fail(processes[:1], upstream, 5)
    await asyncio.sleep(SOON_S)
    board.is_down = False

    await asyncio.sleep(2 * SOON_S)

    assert states(processes) == ["open"] * 3
    assert facts.kinds() == ["CircuitOpened"]
    assert all(process.circuit.retry_after_s < 30.0 - SOON_S for process in processes)


async def test_a_board_that_forgot_is_reminded(processes, upstream, board, facts):
    """A Redis that comes back empty closes no circuit, and learns of it from those who know."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(SOON_S)
    board.forget()

    await asyncio.sleep(2 * SOON_S)

    assert states(processes) == ["open"] * 3
    assert facts.kinds() == ["CircuitOpened"]
    newcomer = Process(board, facts)
    await asyncio.sleep(0.01)
    assert newcomer.circuit.state == "open"
    await newcomer.sharing.aclose()


async def test_an_outage_opens_nothing_again(processes, upstream, board):
    """What the others closed while this process heard nothing stays closed when it hears again."""
    await let_fail(processes, upstream, 5)
    await asyncio.sleep(31.0)
    deaf = processes[2]
    deaf.sharing._task.cancel()
    upstream.outcome = "answer"
    await processes[0].call(upstream)
    await asyncio.sleep(SOON_S)
    assert states(processes) == ["closed", "closed", "open"]

    deaf.sharing = CircuitSharing(board, {"tavily": deaf.circuit})
    await asyncio.sleep(SOON_S)

    assert states(processes) == ["closed"] * 3


async def test_reports_have_a_bound(processes, upstream, board, facts):
    """What does not fit into the queue is dealt with as if nobody were there."""
    process = processes[0]
    process.sharing._task.cancel()
    for _ in range(REPORTS_MAX + 10):
        process.circuit._report("answered")

    await let_fail(processes[:1], upstream, 5)

    assert facts.kinds() == ["CircuitOpened"]


async def test_the_last_reports_are_sent(processes, upstream, board):
    """What waits when a process ends is still told."""
    await asyncio.gather(*(processes[0].call(upstream) for _ in range(5)))
    await processes[0].sharing.aclose()
    await asyncio.sleep(SOON_S)

    assert states(processes) == ["open"] * 3
