"""Redis dies, stops, is replaced and rebuilt under load, again and again: no caller sees an error.

Two installations with a Redis in common, each under its own load, and all they answered is recorded once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.chaos.conftest import DELAY_MS, Install
from tests.support.audit import audit
from tests.support.installation import Installation
from tests.support.load import Load
from tests.support.processes import UpstreamProcess, until
from tests.support.valkey import Valkey
from tests.support.valkey_groups import MASTER, SLOTS_COUNT, Cluster, Sentinels

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROUNDS = 3

REPLACED_S = 60.0
"""Longer than Sentinels take to agree, and to make the old master a replica when it is back."""

AWAY_S = 2.0
"""How long something is gone at least, so that everybody has met it."""

ANSWERS = 150
"""So many calls must be answered by each installation before the next thing happens."""

MOVED_COUNT = 400
"""Slots that change their node; each is written to the disks of three nodes several times."""

CALLERS = 20
"""Who asks the same at once, half of them at each installation."""

CALL_S = 0.3
"""What a provider takes where flights are what is tested."""


@pytest.fixture
def sentinels() -> Iterator[Sentinels]:
    """Sentinels of the test's own."""
    servers = Sentinels().launch()
    yield servers
    servers.close()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A Cluster of the test's own."""
    servers = Cluster().launch()
    yield servers
    servers.close()


class Pair:
    """Two installations on one Redis, and the load on each."""

    def __init__(self, installations: list[Installation], loads: list[Load]) -> None:
        self.installations = installations
        self.loads = loads

    async def answer_more(self) -> None:
        """Wait until both have answered some more calls."""
        await asyncio.gather(*(load.answer_more(ANSWERS) for load in self.loads))

    async def check(self) -> None:
        """Nobody was refused or cut, hits were given all the time, and every answer is recorded once."""
        for installation, load in zip(self.installations, self.loads, strict=True):
            assert (load.broken, load.refused) == (0, {}), load.summary
            assert load.caches["l1"] > 0
            assert await installation.amos.stop() == 0, installation.amos.log
            assert audit(installation.amos.database, load.answered) == []


@contextlib.asynccontextmanager
async def pair(install: Install, redis_url: str) -> AsyncIterator[Pair]:
    """Both, started and under load, as long as the context lasts."""
    installations = [install(AMOS_REDIS_URL=redis_url) for _ in range(2)]
    await asyncio.gather(*(one.amos.start() for one in installations))
    loads = [Load(one.amos, number) for number, one in enumerate(installations)]
    async with loads[0], loads[1]:
        both = Pair(installations, loads)
        await both.answer_more()
        yield both
        await both.answer_more()


def master(sentinels: Sentinels) -> Valkey:
    """Who is the master, as the Sentinels say."""
    _, port = sentinels.sentinels[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
    return sentinels.master if int(port) == sentinels.master.port else sentinels.replica


async def replaced(sentinels: Sentinels, old: Valkey) -> None:
    """Wait until the Sentinels say that another is the master."""
    await until(lambda: master(sentinels) is not old, REPLACED_S, lambda: sentinels.sentinels[0].log, 0.2)


async def follows(sentinels: Sentinels, old: Valkey) -> None:
    """Wait until the former master has all that the present one has."""

    def is_replica() -> bool:
        seen = old.command("INFO", "replication")
        return seen["role"] == "slave" and seen["master_link_status"] == "up"

    await until(is_replica, REPLACED_S, lambda: old.log, 0.2)


@pytest.mark.parametrize("harm", ["killed", "stopped", "deposed"])
async def test_the_master_is_replaced(install: Install, sentinels: Sentinels, harm: str) -> None:
    """A master that is killed, stopped or made to step down is replaced; then its successor, and so on."""
    async with pair(install, sentinels.url) as both:
        for _ in range(ROUNDS):
            old = master(sentinels)
            if harm == "killed":
                old.kill()
            elif harm == "stopped":
                old.pause()
            else:
                sentinels.sentinels[0].command("SENTINEL", "FAILOVER", MASTER)
            await both.answer_more()
            await replaced(sentinels, old)
            if harm == "killed":
                await old.start()
            elif harm == "stopped":
                old.resume()
            await both.answer_more()
            await follows(sentinels, old)
    await both.check()


async def test_slots_are_moved(install: Install, cluster: Cluster) -> None:
    """Hundreds of slots of a Cluster go to other nodes, with their keys."""
    async with pair(install, cluster.url) as both:
        await asyncio.to_thread(cluster.move_slots, range(0, SLOTS_COUNT, SLOTS_COUNT // MOVED_COUNT))
    await both.check()


@pytest.mark.parametrize("harm", ["killed", "stopped"])
async def test_a_node_is_gone_for_a_while(install: Install, cluster: Cluster, harm: str) -> None:
    """A node of a Cluster dies or stops, and comes back; then the next one."""
    async with pair(install, cluster.url) as both:
        for node in cluster.nodes:
            node.kill() if harm == "killed" else node.pause()
            await both.answer_more()
            await asyncio.sleep(AWAY_S)
            if harm == "killed":
                await node.start()
            else:
                node.resume()
            await both.answer_more()
    await both.check()


async def test_flights_over_a_failover(
    install: Install, upstreams: tuple[UpstreamProcess, UpstreamProcess], sentinels: Sentinels
) -> None:
    """While the master dies the same questions at both cost two calls at most, and one before and after."""
    installations = [install(AMOS_REDIS_URL=sentinels.url, AMOS_REDIS_TIMEOUT_S="0.5") for _ in range(2)]
    await asyncio.gather(*(one.amos.start() for one in installations))
    upstream, _ = upstreams
    upstream.obey({"delay_s": CALL_S})
    urls = [f"{one.amos.base_url}/search" for one in installations]

    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:

        async def ask(question: str) -> int:
            """What one question cost."""
            answers = await asyncio.gather(
                *(client.post(urls[n % 2], json={"query": question}) for n in range(CALLERS))
            )
            assert {answer.status_code for answer in answers} == {200}
            return sum(call["json"]["query"] == question for call in upstream.calls())

        before = [await ask(f"before {n}") for n in range(5)]
        old = master(sentinels)
        killed = asyncio.create_task(asyncio.to_thread(old.kill))
        during = []
        while master(sentinels) is old or len(during) < 10:
            during.append(await ask(f"during {len(during)}"))
        await killed
        await until(lambda: in_reach(urls), REPLACED_S, lambda: "the shared tier did not come back", 0.2)
        after = [await ask(f"after {n}") for n in range(5)]

    upstream.obey({"delay_s": DELAY_MS / 1_000})
    assert max(during) <= 2, Counter(during)
    # A machine that gives Redis no time for half a second is an outage too.
    assert sorted(before)[2] == sorted(after)[2] == 1, (before, after)


def in_reach(urls: list[str]) -> bool:
    """Whether all say that Redis is in reach."""
    for url in urls:
        found = httpx.get(url.replace("/search", "/health"), trust_env=False).json()["components"]
        if next(one["status"] for one in found if one["name"] == "cache:l2") != "ok":
            return False
    return True
