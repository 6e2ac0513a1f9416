"""Identical searches at real processes on one Redis: they cost one, whoever of them dies, stops or is late.

tests/integration/test_several_instances.py has the rest of what instances share, on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from storage.redis_flight import LEASE_MS, LOOK_S
from tests.support.processes import AmosProcesses, UpstreamProcess, until
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

CALL_S = 1.5
"""How long the provider takes: long enough to do something to whoever waits for it."""

REACTION_S = 2.0
"""What processes may take for their own part on a busy machine."""

STILL_S = 3.0
"""An event loop that stands still for so long has lost its lease."""

TTL_S = 2.0
"""How long answers are fresh where they shall grow old."""

CROWD = 1_000

CROWDED_S = 4.0
"""How long the crowd waits."""

CALM_S = 0.5
"""A search that has nothing to do with the crowd takes no longer in the median, on a busy machine."""

GROWTH_BYTES = 150_000_000
"""What a process may grow by for a thousand calls: they were measured to take 28 MB."""

Answer = tuple[float, int, dict[str, Any]]
"""When it was there, in monotonic seconds, its status and its body."""


async def ask(amos: AmosProcesses, query: str) -> Answer:
    """`POST /search` over a connection of its own, so cheap that a thousand may do it at once."""
    host, _, port = amos.base_url.removeprefix("http://").partition(":")
    body = json.dumps({"query": query}).encode()
    head = f"POST /search HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head.encode() + body)
        answer = await reader.read()
    finally:
        writer.close()
    if not answer:
        raise ConnectionError("no answer")
    return time.monotonic(), int(answer[9:12]), json.loads(answer.partition(b"\r\n\r\n")[2])


def asking(amos: Sequence[AmosProcesses], query: str, count: int) -> list[asyncio.Task[Answer]]:
    """The same search so many times at once, at each of them in turn."""
    return [asyncio.create_task(ask(amos[number % len(amos)], query)) for number in range(count)]


def kinds(answers: Iterable[Answer]) -> Counter[str]:
    """Where the answers came from; everything but 200 by its status."""
    return Counter(body["amos"]["cache"] if status == 200 else str(status) for _, status, body in answers)


@pytest.fixture
def upstream() -> Iterator[UpstreamProcess]:
    """Tavily in a process, which takes its time."""
    with UpstreamProcess("tavily_simulator", CALL_S * 1_000) as running:
        yield running


@contextlib.asynccontextmanager
async def two(
    folder: Path, upstream: UpstreamProcess, redis: Valkey, *settings: dict[str, str]
) -> AsyncIterator[list[AmosProcesses]]:
    """Two installations that share a Redis, which is not taken for dead because the machine is busy."""
    common = {
        "AMOS_PROVIDERS": "tavily",
        "TAVILY_API_KEY": "tvly-simulated",
        "AMOS_TAVILY_BASE_URL": upstream.base_url,
        "AMOS_REDIS_URL": redis.url,
        "AMOS_REDIS_TIMEOUT_S": "1",
        "AMOS_DEADLINE_S": "25",
        "AMOS_CONCURRENCY_MAX": "2000",
    }
    own = settings or ({}, {})
    made = [AmosProcesses(folder / f"amos{n}", {**common, **more}) for n, more in enumerate(own)]
    try:
        await asyncio.gather(*(amos.start() for amos in made))
        yield made
    finally:
        for amos in made:
            await amos.kill_all()


async def called(upstream: UpstreamProcess, count: int = 1) -> None:
    """Wait until so many calls have arrived at the provider."""
    await until(lambda: len(upstream.calls()) >= count, 10.0, lambda: "no call arrived")


async def test_two_processes_pay_once(tmp_path: Path, upstream: UpstreamProcess, valkey: Valkey):
    """200 identical searches at two processes are one call, and one credit."""
    async with two(tmp_path, upstream, valkey) as amos:
        answers = await asyncio.gather(*asking(amos, "tide tables", 200))

    assert len(upstream.calls()) == 1
    assert kinds(answers) == {"miss": 1, "collapsed": 199}
    assert sum(body["amos"]["credits"] for _, _, body in answers) == 1


async def test_a_killed_leader_costs_one_more(tmp_path: Path, upstream: UpstreamProcess, valkey: Valkey):
    """After `kill -9` the others are answered within lease, look and one further call, which they share."""
    async with two(tmp_path, upstream, valkey) as (doomed, survivor):
        leading = asking([doomed], "tide tables", 1)
        await called(upstream)
        following = asking([survivor], "tide tables", 100)
        await asyncio.sleep(0.3)
        killed = time.monotonic()
        await doomed.kill_all()
        answers = await asyncio.gather(*following)
        with pytest.raises(ConnectionError):
            await leading[0]

    assert kinds(answers) == {"miss": 1, "collapsed": 99}
    assert len(upstream.calls()) == 2
    waited_s = max(moment for moment, _, _ in answers) - killed
    assert waited_s < LEASE_MS / 1_000 + LOOK_S + CALL_S + REACTION_S


async def test_a_leader_that_stands_still_costs_one_more(
    tmp_path: Path, upstream: UpstreamProcess, valkey: Valkey
):
    """A leader whose event loop stood still has lost its lease: one other call, and its own is not wasted."""
    async with two(tmp_path, upstream, valkey) as (stopped, other):
        leading = asking([stopped], "tide tables", 20)
        await called(upstream)
        following = asking([other], "tide tables", 20)
        await asyncio.sleep(0.3)
        stopped.signal("worker", signal.SIGSTOP)
        await asyncio.sleep(STILL_S)
        stopped.signal("worker", signal.SIGCONT)
        late = asking([stopped, other], "tide tables", 20)
        answers = await asyncio.gather(*leading, *following, *late)

    assert {status for _, status, _ in answers} == {200}
    assert len(upstream.calls()) <= 2
    assert len({json.dumps(body["results"]) for _, _, body in answers}) == 1


async def test_a_leader_slower_than_a_follower_wants(
    tmp_path: Path, upstream: UpstreamProcess, valkey: Valkey
):
    """Who has less time than the leader is told so in time; nobody pays twice, and later it is a hit."""
    hurried_s = 1.0
    async with two(
        tmp_path, upstream, valkey, {"AMOS_DEADLINE_S": "25"}, {"AMOS_DEADLINE_S": f"{hurried_s}"}
    ) as (patient, hurried):
        upstream.obey({"delay_s": hurried_s + REACTION_S})
        leading = asking([patient], "tide tables", 5)
        await called(upstream)
        begun = time.monotonic()
        following = await asyncio.gather(*asking([hurried], "tide tables", 50))
        waited_s = max(moment for moment, _, _ in following) - begun
        led = await asyncio.gather(*leading)
        later = await ask(hurried, "tide tables")

    assert kinds(following) == {"504": 50}
    assert waited_s < hurried_s + REACTION_S
    assert kinds(led) == {"miss": 1, "collapsed": 4}
    assert later[2]["amos"]["cache"] == "l2"
    assert len(upstream.calls()) == 1


@pytest.mark.slow
async def test_two_processes_refresh_once(tmp_path: Path, upstream: UpstreamProcess, valkey: Valkey):
    """An answer that has grown old is given at once by both, and fetched anew by one of them."""
    ttl = {"AMOS_CACHE_TTL_S": f"{TTL_S}"}
    async with two(tmp_path, upstream, valkey, ttl, ttl) as amos:
        for one in amos:
            await ask(one, "tide tables")
        await asyncio.sleep(1.2 * TTL_S)  # freshness is jittered by a tenth
        upstream.obey({"delay_s": CROWDED_S})
        begun = time.monotonic()
        old = await asyncio.gather(*asking(amos, "tide tables", 40))
        await called(upstream, 2)
        waited_s = max(moment for moment, _, _ in old) - begun
        await asyncio.sleep(CROWDED_S + LOOK_S)  # who did not share the flight would call now

    assert {(status, body["amos"]["stale"]) for _, status, body in old} == {(200, True)}
    assert waited_s < CROWDED_S
    assert len(upstream.calls()) == 2


@pytest.mark.parametrize("harm", [pytest.param("kill", marks=pytest.mark.slow), "pause"])
async def test_a_redis_that_is_gone_in_the_middle(tmp_path: Path, upstream: UpstreamProcess, harm: str):
    """Killed or stopped in a flight: both processes go on alone, at once, and each pays at most once."""
    async with Valkey() as redis, two(tmp_path, upstream, redis) as amos:
        begun = time.monotonic()
        searches = asking(amos, "tide tables", 100)
        await called(upstream)
        getattr(redis, harm)()
        answers = await asyncio.gather(*searches)

    assert {status for _, status, _ in answers} == {200}
    assert len(upstream.calls()) <= 2
    # The other process may have found out a moment before the leader's answer was there.
    assert max(moment for moment, _, _ in answers) - begun < 2 * CALL_S + LOOK_S + 1.0 + REACTION_S


@pytest.mark.slow
async def test_a_crowd_is_served_and_disturbs_nobody(
    tmp_path: Path, upstream: UpstreamProcess, valkey: Valkey
):
    """A thousand wait for one answer, at one process, then at two; other searches stay quick."""
    upstream.obey({"delay_s": 0.01, "when": {"crowd": {"delay_s": CROWDED_S}}})
    async with two(tmp_path, upstream, valkey) as amos:
        await ask(amos[0], "calm")
        pids = [one.pid("worker") for one in amos]
        before = [resident_bytes(pid) for pid in pids]
        for count in (1, 2):
            crowd = asking(amos[:count], f"crowd at {count}", CROWD)
            took_s = []
            await asyncio.sleep(CROWDED_S / 2)  # a thousand connections are a crowd of another kind
            while not all(task.done() for task in crowd):
                took_s.append(await other_search(amos[0], f"calm {count} {len(took_s)}"))
            answers = await asyncio.gather(*crowd)

            assert kinds(answers) == {"miss": 1, "collapsed": CROWD - 1}
            moments = [moment for moment, _, _ in answers]
            assert max(moments) - min(moments) < CROWDED_S
            assert statistics.median(took_s) < CALM_S
            assert max(took_s) < CROWDED_S / 2
        grown = [resident_bytes(pid) - begun for pid, begun in zip(pids, before, strict=True)]

    assert max(grown) < GROWTH_BYTES


async def other_search(amos: AmosProcesses, query: str) -> float:
    """The seconds that a new search takes which is none of the crowd's, and a hit after it, together."""
    begun = time.monotonic()
    for _ in range(2):
        moment, status, _ = await ask(amos, query)
        assert status == 200
    return moment - begun


def resident_bytes(pid: int) -> int:
    """The memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmRSS"))
