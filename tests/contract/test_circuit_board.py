"""The contract of circuit boards: failures add up, the first to reach the limit opens for all, one probes."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.circuits import CircuitReport, SharedCircuit
from orchestrator.clock import SystemClock
from orchestrator.errors import CircuitBoardUnavailable
from storage.redis_circuits import EARLY_MS, PROBE_MS, RedisCircuits
from storage.redis_client import open_redis
from tests.support.shared_memory import EARLY_S, PROBE_S, MemoryCircuitBoard
from tests.support.valkey import Valkey

PATIENT_S = 5.0
"""A test machine may be busy."""

MAX = 5
COOLDOWN_S = 0.5


@pytest.fixture(params=["memory", "valkey", "sentinels", "cluster"])
async def board(request):
    """Every implementation in turn."""
    if request.param == "memory":
        yield MemoryCircuitBoard(SystemClock())
        return
    client = await open_redis(request.getfixturevalue(request.param).url, timeout_s=PATIENT_S)
    yield RedisCircuits(client)
    await client.aclose()


def report(kind, *pauses_s, provider="tavily", is_quota=False, reason="http_500", openings=0):
    """What a process tells."""
    return CircuitReport(
        provider=provider,
        kind=kind,
        failures_max=MAX,
        pauses_s=pauses_s or (COOLDOWN_S,),
        openings=openings,
        reason=reason,
        is_quota=is_quota,
    )


async def test_nobody_has_told_anything(board):
    """A provider that nobody has reported is neither open nor closed."""
    assert await board.report(report("looked"), "a") == SharedCircuit()


async def test_a_last_resort_closes(board):
    """Who was answered past the open circuit closes it for all, ahead of its time; a mere probe would not."""
    await board.report(report("opened", 60.0), "a")
    probed = await board.report(report("closed"), "a")

    revived = await board.report(report("revived"), "b")

    assert (probed.state, revived.state, revived.openings) == ("open", "closed", 1)
    assert (await board.report(report("looked"), "a")).state == "closed"


async def test_failures_of_all_add_up(board):
    """The fifth failure in a row opens, whoever made the others; only its report is told that it opened."""
    seen = await asyncio.gather(*(board.report(report("failed"), f"p{n % 3}") for n in range(MAX + 3)))

    assert sum(one.is_ours for one in seen) == 1
    assert seen[0] == SharedCircuit(state="closed", failures=1)
    last = await board.report(report("looked"), "a")
    assert (last.state, last.reason, last.cooldown_s, last.is_ours) == ("open", "http_500", COOLDOWN_S, False)
    assert 0 < last.left_s <= COOLDOWN_S


async def test_a_success_between_starts_the_count_anew(board):
    """Failures count in a row."""
    for _ in range(MAX - 1):
        await board.report(report("failed"), "a")
    await board.report(report("answered"), "b")

    assert (await board.report(report("failed"), "a")).failures == 1


async def test_providers_are_apart(board):
    """Each has a circuit of its own."""
    await board.report(report("opened"), "a")

    assert await board.report(report("looked", provider="jina"), "a") == SharedCircuit()


async def test_of_two_who_open_at_once_one_has(board):
    """Who comes second with no longer a pause learns that it is open already; a longer one prevails."""
    first = await board.report(report("opened"), "a")
    second = await board.report(report("opened", reason="timeout"), "b")
    longer = await board.report(report("paused", 60.0, is_quota=True, reason="http_432"), "c")

    assert [first.is_ours, second.is_ours, longer.is_ours] == [True, False, True]
    assert second.reason == "http_500"
    seen = await board.report(report("looked"), "a")
    assert (seen.reason, seen.is_quota, seen.cooldown_s) == ("http_432", True, 60.0)
    assert seen.left_s > 59.0


async def test_one_process_probes(board):
    """Of three who would probe one may; when it is over another may."""
    taken = await asyncio.gather(*(board.take_probe("tavily", name) for name in "abc"))
    assert sorted(taken) == [False, False, True]
    prober = "abc"[taken.index(True)]

    await board.report(report("probed"), "somebody else")
    assert not await board.take_probe("tavily", "d")
    await board.report(report("probed"), prober)
    assert await board.take_probe("tavily", "d")


async def test_a_probe_whose_report_was_lost_may_be_made_again(board):
    """An outage at the end of a probe keeps its process from no other, and a healthy provider from nobody."""
    assert await board.take_probe("tavily", "a")

    assert await board.take_probe("tavily", "a")
    assert not await board.take_probe("tavily", "b")


async def test_nobody_probes_while_it_is_open(board):
    """Who has not heard that another one's probe failed is told so when it would probe."""
    await board.report(report("opened"), "a")

    assert not await board.take_probe("tavily", "b")
    await asyncio.sleep(COOLDOWN_S + 0.05)
    assert await board.take_probe("tavily", "b")


async def test_a_probe_that_succeeds_closes(board):
    """After the cooldown a probe may close; during it nothing does."""
    await board.report(report("opened"), "a")
    assert (await board.report(report("closed"), "a")).state == "open"
    await asyncio.sleep(COOLDOWN_S + 0.05)
    assert (await board.report(report("looked"), "a")).left_s == 0

    closed = await board.report(report("closed"), "a")

    assert closed == SharedCircuit(state="closed", openings=1)


async def test_a_probe_that_fails_opens_again(board):
    """The next opening after the cooldown is an opening of its own."""
    await board.report(report("opened"), "a")
    await asyncio.sleep(COOLDOWN_S + 0.05)

    again = await board.report(report("opened"), "b")

    assert again.is_ours
    assert again.left_s > 0


STEPS_S = (0.2, 0.4, 60.0)


async def open_again(board, times):
    """So many openings in a row, each right after the cooldown of the one before; what they lasted."""
    seen = []
    for _ in range(times):
        one = await board.report(report("opened", *STEPS_S), "a")
        assert one.is_ours
        seen.append((one.openings, one.cooldown_s))
        await asyncio.sleep(min(one.left_s + 0.02, 0.5))
    return seen


async def test_each_opening_lasts_longer(board):
    """The board counts openings of all and chooses the step; the last step stands for all later ones."""
    assert await open_again(board, 3) == [(1, 0.2), (2, 0.4), (3, 60.0)]


async def test_failures_that_add_up_to_an_opening_have_its_step(board):
    """It is the same count, whether one process saw enough or all together did."""
    await open_again(board, 1)
    await board.report(report("closed"), "a")
    for _ in range(MAX):
        seen = await board.report(report("failed", *STEPS_S), "b")

    assert (seen.openings, seen.cooldown_s, seen.is_ours) == (2, 0.4, True)


async def test_answers_of_all_forgive_openings(board):
    """As many answers in a row as failures open, the probe included, begin again with the first step."""
    await open_again(board, 2)
    await board.report(report("closed"), "a")
    seen = [await board.report(report("answered"), f"p{n}") for n in range(MAX - 1)]

    assert [one.openings for one in seen] == [2, 2, 2, 0]
    assert await open_again(board, 1) == [(1, 0.2)]


async def test_a_failure_among_the_answers_forgives_nothing(board):
    """They count in a row over all processes."""
    await open_again(board, 1)
    await board.report(report("closed"), "a")
    for kind in ("answered", "answered", "answered", "failed", "answered", "answered"):
        seen = await board.report(report(kind, *STEPS_S), "a")

    assert (seen.state, seen.openings) == ("closed", 1)


async def test_a_longer_pause_prolongs_and_is_no_further_opening(board):
    """Who asks for a longer pause while it is open gets it; failures prolong nothing."""
    await board.report(report("opened", 10.0, 50.0), "a")

    failed = await board.report(report("opened", 20.0, 50.0), "b")
    asked = await board.report(report("paused", 20.0, 50.0), "b")

    assert (failed.is_ours, failed.cooldown_s) == (False, 10.0)
    assert (asked.is_ours, asked.cooldown_s, asked.openings) == (True, 20.0, 1)


async def test_what_is_remembered_keeps_its_count(board):
    """A board that forgot is told how often it was."""
    seen = await board.report(report("remembered", 5.0, openings=3), "a")

    assert (seen.state, seen.openings, seen.cooldown_s) == ("open", 3, 5.0)


async def test_old_news_changes_nothing(board):
    """While it is open, failures and successes of calls that were let through before do not count."""
    await board.report(report("opened"), "a")

    after = [await board.report(report(kind), "b") for kind in ("failed", "answered")]

    assert [(one.state, one.failures, one.is_ours) for one in after] == [("open", 0, False)] * 2


def test_both_probes_last_as_long():
    """The tests with virtual time tell of the real time to live."""
    assert (PROBE_MS, EARLY_MS) == (PROBE_S * 1000, EARLY_S * 1000)


async def test_nothing_is_left_for_ever(valkey):
    """Every key has a time to live, an open circuit's beyond its cooldown."""
    client = await open_redis(valkey.url, timeout_s=PATIENT_S)
    board = RedisCircuits(client)
    await board.report(report("failed"), "a")
    await board.report(report("opened", 7_200.0, provider="jina"), "a")
    await board.report(report("closed", provider="local"), "a")
    await board.take_probe("tavily", "a")
    await client.aclose()

    left = {key: valkey.command("PTTL", key) for key in valkey.command("KEYS", "amos:circuit:*")}

    assert len(left) == 4
    assert all(ms > 0 for ms in left.values())
    assert left["amos:circuit:{jina}"] > 7_200_000


async def test_a_clock_that_was_put_back_keeps_nobody_out(valkey):
    """A server that takes over may be an hour behind: what is left is at most the cooldown, and passes."""
    client = await open_redis(valkey.url, timeout_s=PATIENT_S)
    board = RedisCircuits(client)
    await board.report(report("opened"), "a")
    until_ms = int(valkey.command("HGET", "amos:circuit:{tavily}", "until"))
    valkey.command("HSET", "amos:circuit:{tavily}", "until", str(until_ms + 3_600_000))

    first = await board.report(report("looked"), "a")
    await asyncio.sleep(COOLDOWN_S)
    second = await board.report(report("looked"), "a")
    may_probe = await board.take_probe("tavily", "a")
    await client.aclose()

    assert first.left_s == COOLDOWN_S
    assert second.left_s == 0
    assert may_probe


async def test_an_outage_says_so():
    """Without Redis both methods raise CircuitBoardUnavailable, soon."""
    async with Valkey() as server:
        client = await open_redis(server.url, timeout_s=PATIENT_S)
        board = RedisCircuits(client)
        server.kill()

        for attempt in (board.report(report("looked"), "a"), board.take_probe("tavily", "a")):
            with pytest.raises(CircuitBoardUnavailable):
                await asyncio.wait_for(attempt, 2.0)
        await client.aclose()
