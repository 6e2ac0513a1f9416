"""Redis that is rebuilt under load, by a failover or by moving slots: no caller sees an error.

tests/chaos/test_redis_failover.py does it again and again, with real processes, and by killing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from orchestrator.canonical import search_key
from orchestrator.model import SearchRequest
from tests.support.gateway_server import GatewayServer, serving
from tests.support.load import POPULAR, Load
from tests.support.tavily_simulator import TavilySimulator
from tests.support.valkey_groups import MASTER, SLOTS_COUNT, Cluster, Sentinels

NOTICED_S = 20.0
"""A return that is not noticed for so long never will be."""

MOVED_COUNT = 60
"""Slots moved besides those of the popular searches."""


@pytest.fixture
async def moving_cluster() -> AsyncIterator[Cluster]:
    """A Cluster of the test's own."""
    servers = await asyncio.to_thread(Cluster().launch)
    yield servers
    servers.close()


@pytest.fixture
async def moving_sentinels() -> AsyncIterator[Sentinels]:
    """Sentinels of the test's own."""
    servers = await asyncio.to_thread(Sentinels().launch)
    yield servers
    servers.close()


async def l2_works(amos: GatewayServer) -> None:
    """Wait until new answers are kept in the shared tier."""
    deadline = time.monotonic() + NOTICED_S
    number = 0
    status = ""
    while "amos-l2; fwd=uri-miss; stored" not in status:
        assert time.monotonic() < deadline, status
        number += 1
        status = (await amos.search(f"after {time.monotonic()} {number}")).headers["cache-status"]


async def under_load(amos: GatewayServer, seed: int, work: Callable[[], None]) -> Load:
    """Do the work in a thread while callers ask; they are answered before, meanwhile and after."""
    async with Load(amos, seed) as load:
        await load.answer_more(100)
        await asyncio.to_thread(work)
        await load.answer_more(100)
    return load


async def test_slots_move_under_load(tmp_path: Path, tavily: TavilySimulator, moving_cluster: Cluster):
    """Slots with their keys go from node to node: everybody is answered, and the shared tier goes on.

    There is no other tier, so that every hit is one of the Cluster.
    """
    async with serving(tmp_path, tavily=tavily, redis_url=moving_cluster.url, l1_max_bytes=0) as amos:
        await l2_works(amos)

        slots = {slot_of(moving_cluster, query) for query in POPULAR}
        slots |= set(range(0, SLOTS_COUNT, SLOTS_COUNT // MOVED_COUNT))
        load = await under_load(amos, 1, lambda: moving_cluster.move_slots(sorted(slots)))
        await l2_works(amos)

    assert (load.broken, load.refused) == (0, {})
    assert load.caches["l2"] > 0


def slot_of(cluster: Cluster, query: str) -> int:
    """Where a search's answer, lease and outcome are."""
    return cluster.slot(f"{{{search_key(SearchRequest(query=query))}}}")


async def test_a_failover_under_load(tmp_path: Path, tavily: TavilySimulator, moving_sentinels: Sentinels):
    """The Sentinels make the replica the master: everybody is answered, and the shared tier comes back."""
    async with serving(tmp_path, tavily=tavily, redis_url=moving_sentinels.url) as amos:
        await l2_works(amos)

        def fail_over() -> None:
            moving_sentinels.sentinels[0].command("SENTINEL", "FAILOVER", MASTER)
            deadline = time.monotonic() + NOTICED_S
            while moving_sentinels.replica.command("ROLE")[0] != "master":
                assert time.monotonic() < deadline, moving_sentinels.sentinels[0].log
                time.sleep(0.02)

        load = await under_load(amos, 2, fail_over)
        await l2_works(amos)

    assert (load.broken, load.refused) == (0, {})
    assert load.caches["l1"] > 0
