"""Two gateways that share a Redis, and one whose Redis dies: nobody notices but the events."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.canonical import search_key
from orchestrator.limits import REDIS_TIMEOUT_S
from orchestrator.model import SearchRequest
from tests.support.gateway_server import GatewayServer, serving
from tests.support.processes import until
from tests.support.tavily_simulator import TavilySimulator
from tests.support.valkey import Valkey
from tests.support.valkey_groups import Cluster, Sentinels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENT_S = 1.0
"""What Redis may take where a busy test machine must not be taken for an outage."""

NOTICED_S = 10.0
"""A return that is not noticed for so long never will be."""

MISS = "amos-l2; fwd=uri-miss; stored, amos-l1; fwd=uri-miss; stored"
OUTAGE = "amos-l2; fwd=miss; detail=outage, amos-l1; fwd=uri-miss; stored"


@pytest.fixture
async def mortal() -> AsyncIterator[Valkey]:
    """A Valkey of the test's own, which may be stopped."""
    async with Valkey() as server:
        yield server


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, mortal: Valkey) -> AsyncIterator[GatewayServer]:
    """A gateway on the mortal Redis, with the time for an answer that users have."""
    async with serving(tmp_path / "one", tavily=tavily, redis_url=mortal.url) as running:
        await in_reach(running)
        yield running


async def l2(amos: GatewayServer) -> dict[str, Any]:
    """What /health says of the shared tier."""
    components = (await amos.client.get("/health")).json()["components"]
    return next(component for component in components if component["name"] == "cache:l2")


async def in_reach(amos: GatewayServer, status: str = "ok") -> None:
    """Wait until /health says so of the shared tier."""
    async with asyncio.timeout(NOTICED_S):
        while (await l2(amos))["status"] != status:  # noqa: ASYNC110 - asked over HTTP, as an operator does
            await asyncio.sleep(0.02)


async def statuses(amos: GatewayServer, *queries: str) -> list[str]:
    """The Cache-Status of each search, all of which must be answered."""
    answers = [await amos.search(query) for query in queries]
    assert [answer.status_code for answer in answers] == [200] * len(queries)
    return [answer.headers["cache-status"] for answer in answers]


async def misses(amos: GatewayServer) -> list[dict[str, str]]:
    """Why each tier had no answer, for every recorded miss, oldest first."""
    await amos.drain()
    events = [event["event"] for frame in amos.frames() for event in frame["events"]]
    return [event["misses"] for event in events if event["type"] == "amos.cache.missed.v1"]


async def facts(amos: GatewayServer) -> list[str]:
    """The recorded facts about Redis, without prefix and version."""
    await amos.drain()
    return [event["type"].split(".")[2] for event in amos.events("store:redis")]


# --- one cache for all


@pytest.mark.parametrize("kind", ["valkey", "sentinels", "cluster"])
async def test_what_one_instance_fetched_all_have(
    tmp_path: Path, tavily: TavilySimulator, kind: str, request: pytest.FixtureRequest
):
    """The second instance answers from the shared tier, says so, and then from its own memory."""
    url = request.getfixturevalue(kind).url
    fields = {"tavily": tavily, "redis_url": url, "redis_timeout_s": PATIENT_S}
    async with (
        serving(tmp_path / "one", **fields) as one,
        serving(tmp_path / "two", **fields) as two,
    ):
        fetched = await one.search("tide tables")
        shared = await two.search("Tide  TABLES")
        again = await two.search("tide tables")

        assert tavily.count == 1
        assert fetched.headers["cache-status"] == MISS
        assert shared.json()["results"] == fetched.json()["results"]
        assert shared.json()["amos"]["cache"] == "l2"
        assert shared.headers["cache-status"].startswith("amos-l2; hit; ttl=")
        assert shared.headers["cache-status"].endswith(", amos-l1; fwd=uri-miss")
        assert "age" in shared.headers
        assert again.json()["amos"]["cache"] == "l1"


async def test_an_entry_leaves_when_it_is_of_no_more_use(
    tmp_path: Path, tavily: TavilySimulator, valkey: Valkey
):
    """Every key in Redis has an end: that of the answer's freshness and the longest of its stale times."""
    async with serving(
        tmp_path,
        tavily=tavily,
        redis_url=valkey.url,
        redis_timeout_s=PATIENT_S,
        cache_ttl_s=100,
        stale_while_revalidate_s=20,
        stale_if_error_s=700,
        stale_if_quota_s=500,
    ) as amos:
        await amos.search("tide tables")

        (key,) = valkey.command("KEYS", "amos:cache:v1:{*}")
        assert 780_000 < valkey.command("PTTL", key) <= 810_000


async def test_a_memory_of_no_bytes_is_no_tier(tmp_path: Path, tavily: TavilySimulator, valkey: Valkey):
    """With the cache in memory switched off every hit is one of the shared tier."""
    async with serving(
        tmp_path, tavily=tavily, redis_url=valkey.url, redis_timeout_s=PATIENT_S, l1_max_bytes=0
    ) as amos:
        first, second, third = await statuses(amos, "tides", "tides", "tides")

        assert first == "amos-l2; fwd=uri-miss; stored"
        assert second.startswith("amos-l2; hit; ttl=")
        assert third.startswith("amos-l2; hit; ttl=")


# --- what lies there is not an answer


@pytest.mark.parametrize(
    "command",
    [
        ("SET", b""),
        ("SET", b"not an entry"),
        ("SET", b"\x81\xa8fragment\xc4\x01x"),
        ("SET", b"\xff" * 5_000),
        ("LPUSH", b"a list"),
        ("HSET", b"field", b"value"),
    ],
    ids=["empty", "text", "half an entry", "bytes", "list", "hash"],
)
async def test_what_is_no_entry_is_a_miss_and_replaced(
    tmp_path: Path, tavily: TavilySimulator, valkey: Valkey, command: tuple[Any, ...]
):
    """Whatever lies under the key, nobody gets it as an answer, and the next answer takes its place."""
    key = f"amos:cache:v1:{{{search_key(SearchRequest(query='tides'))}}}"
    name, *value = command
    valkey.command(name, key, *value)
    async with serving(
        tmp_path, tavily=tavily, redis_url=valkey.url, redis_timeout_s=PATIENT_S, l1_max_bytes=0
    ) as amos:
        first, second = await statuses(amos, "tides", "tides")

        assert first == "amos-l2; fwd=uri-miss; stored"
        assert second.startswith("amos-l2; hit; ttl=")
        assert tavily.count == 1


# --- outages


async def test_a_silent_redis_is_nobodys_concern(
    amos: GatewayServer, tavily: TavilySimulator, mortal: Valkey
):
    """Redis stopped: searches and hits go on, the events say so, and its return is noticed."""
    await statuses(amos, "kept in memory")
    mortal.pause()

    during = await statuses(amos, *(f"query {number}" for number in range(10)))
    hit = await statuses(amos, "kept in memory")
    health = await l2(amos)

    assert during == [OUTAGE] * 10
    assert hit[0].startswith("amos-l1; hit")
    assert (health["status"], health["detail"]) == ("degraded", "Out of reach: no answer in time.")
    assert await misses(amos) == [
        {"l1": "absent", "l2": "absent"},
        *[{"l1": "absent", "l2": "outage"}] * 10,
    ]
    mortal.resume()
    await in_reach(amos)
    assert (await statuses(amos, "after"))[0] == MISS
    assert await facts(amos) == ["lost", "restored"]
    assert tavily.count == 12


@pytest.mark.parametrize("harm", ["pause", "kill"])
async def test_a_lost_redis_costs_one_wait_and_then_nothing(amos: GatewayServer, mortal: Valkey, harm: str):
    """The miss that finds out loses the time of one exchange, and no other loses anything.

    Quartiles, because a busy machine makes some of them slow, and does so without Redis too.
    """
    before_s = [await taken_s(amos, f"before {number}") for number in range(24)]
    getattr(mortal, harm)()

    first_s, *others_s = [await taken_s(amos, f"after {number}") for number in range(25)]

    usual_s = statistics.quantiles(before_s)[0]
    assert first_s < max(before_s) + REDIS_TIMEOUT_S + 1.0
    assert statistics.quantiles(others_s)[0] < usual_s + REDIS_TIMEOUT_S / 2
    assert await facts(amos) == ["lost"]


async def taken_s(amos: GatewayServer, query: str) -> float:
    """The seconds a search takes."""
    begun = time.perf_counter()
    assert (await amos.search(query)).status_code == 200
    return time.perf_counter() - begun


async def test_a_killed_redis_returns_empty(amos: GatewayServer, tavily: TavilySimulator, mortal: Valkey):
    """SIGKILL and a restart cost nothing but what was in Redis."""
    await statuses(amos, "before")
    mortal.kill()

    during = await statuses(amos, "before", "during")
    await mortal.start()
    await in_reach(amos)
    after = await statuses(amos, "after", "after")

    assert during[0].startswith("amos-l1; hit")
    assert during[1] == OUTAGE
    assert after[0] == MISS
    assert (await facts(amos))[-2:] == ["lost", "restored"]
    assert tavily.count == 3


async def test_a_cut_connection_costs_no_answer(amos: GatewayServer, tavily: TavilySimulator, mortal: Valkey):
    """Connections that somebody closed in between are replaced; every search is answered."""
    for number in range(5):
        mortal.command("CLIENT", "KILL", "TYPE", "normal")
        await statuses(amos, f"query {number}", f"query {number}")

    assert tavily.count == 5
    await in_reach(amos)


async def test_readiness_does_not_hang_on_redis(amos: GatewayServer, mortal: Valkey):
    """An instance without its Redis is degraded, and ready."""
    mortal.kill()
    await in_reach(amos, "degraded")

    assert (await amos.client.get("/readyz")).status_code == 200


async def test_a_full_redis_keeps_nothing_and_breaks_nothing(tmp_path: Path, tavily: TavilySimulator):
    """When Redis takes no more, answers are kept in memory only, and what is in Redis is still given."""
    async with (
        Valkey(maxmemory="100mb", maxmemory_policy="noeviction") as full,
        serving(
            tmp_path, tavily=tavily, redis_url=full.url, redis_timeout_s=PATIENT_S, l1_max_bytes=0
        ) as amos,
    ):
        await statuses(amos, "kept")
        full.command("CONFIG", "SET", "maxmemory", "1mb")

        refused, kept = await statuses(amos, "refused", "kept")

        assert refused == "amos-l2; fwd=uri-miss"
        assert kept.startswith("amos-l2; hit")


async def test_a_wrong_password_stops_nothing(tmp_path: Path, tavily: TavilySimulator):
    """Redis that does not let us in is an outage, told in health without the password."""
    async with (
        Valkey(requirepass="right") as locked,
        serving(tmp_path, tavily=tavily, redis_url=locked.url.replace("127", ":hunter2@127")) as amos,
    ):
        during = await statuses(amos, "tides", "tides")

        assert during[0] == OUTAGE
        assert during[1].startswith("amos-l1; hit")
        health = (await amos.client.get("/health")).text
        assert "Out of reach: AuthenticationError." in health
        assert "hunter2" not in health
        assert "hunter2" not in repr(amos.settings) + str(amos.settings.masked())


# --- failover


async def test_a_cluster_without_a_node_is_an_outage_until_it_returns(
    tmp_path: Path, tavily: TavilySimulator
):
    """When a node of a Cluster dies, all go on without the shared tier until the Cluster is whole again."""
    servers = await asyncio.to_thread(Cluster().launch)
    try:
        async with serving(tmp_path, tavily=tavily, redis_url=servers.url, l1_max_bytes=0) as amos:
            await in_reach(amos)
            servers.nodes[1].kill()

            during = await statuses(amos, *(f"query {number}" for number in range(12)))
            await in_reach(amos, "degraded")
            await servers.nodes[1].start()
            await in_reach(amos)
            after = await statuses(amos, *(f"later {number}" for number in range(12)))

            assert "amos-l2; fwd=miss; detail=outage" in during
            assert after == ["amos-l2; fwd=uri-miss; stored"] * 12
    finally:
        servers.close()


async def test_sentinels_put_another_in_its_place(tmp_path: Path, tavily: TavilySimulator):
    """When the master dies the cache works again as soon as the Sentinels have agreed on the next."""
    servers = await asyncio.to_thread(Sentinels().launch)
    try:
        async with serving(tmp_path, tavily=tavily, redis_url=servers.url, l1_max_bytes=0) as amos:
            await in_reach(amos)
            await statuses(amos, "kept")
            await until(
                lambda: len(servers.replica.command("KEYS", "amos:cache:*")) == 1, 5, lambda: "no copy"
            )
            servers.master.kill()

            during = await statuses(amos, "during")
            await in_reach(amos, "degraded")
            async with asyncio.timeout(30):
                await in_reach(amos)
            (after,) = await statuses(amos, "kept")

            assert during == ["amos-l2; fwd=miss; detail=outage"]
            assert after.startswith("amos-l2; hit")
    finally:
        servers.close()
