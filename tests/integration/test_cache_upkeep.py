"""The cache of a running installation is cleared everywhere, and gives way when memory is short."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cache_admin import ELSEWHERE_S
from tests.support.gateway_server import serving
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.support.gateway_server import GatewayServer

LOOKS = 400
"""Every 50 ms: what a busy machine may take for something that takes two seconds."""

MEGABYTE = 1_048_576


@contextlib.asynccontextmanager
async def two(folder: Path, redis: Valkey, **options: object) -> AsyncIterator[list[GatewayServer]]:
    """Two gateways on one Redis, which is not taken for dead because the machine is busy."""
    shared = {"redis_url": redis.url, "redis_timeout_s": 1.0, **options}
    async with (
        serving(folder / "one", **shared) as one,
        serving(folder / "other", **shared) as other,
    ):
        yield [one, other]


async def tier_of(amos: GatewayServer, query: str) -> str:
    """Where the answer to the query came from."""
    return str((await amos.search(query)).json()["amos"]["cache"])


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so, and fail if it does not come about."""
    for _ in range(LOOKS):
        if await is_so():
            return
        await asyncio.sleep(0.05)
    pytest.fail("It does not come about.")


async def cache_of(amos: GatewayServer) -> dict[str, Any]:
    """What `GET /cache` says."""
    answer: dict[str, Any] = (await amos.client.get("/cache")).json()
    return answer


async def entries(amos: GatewayServer) -> int:
    """How many answers the gateway has in memory."""
    return int((await cache_of(amos))["tiers"][0]["entries"])


async def has_forgotten(amos: GatewayServer) -> bool:
    """Whether it has none, and Redis is in its reach."""
    own, shared = (await cache_of(amos))["tiers"]
    return own["entries"] == 0 and shared["status"] == "ok"


async def test_clearing_at_one_instance_empties_the_memory_of_all(tmp_path, valkey, tavily):
    """Two seconds after it nobody has an old answer any more, and each question is paid once again."""
    async with two(tmp_path, valkey, tavily=tavily) as (one, other):
        assert await tier_of(one, "tide tables") == "miss"
        assert await tier_of(other, "tide tables") == "l2"
        assert await tier_of(other, "tide tables") == "l1"

        cleared = (await one.client.delete("/cache")).json()
        await eventually(lambda: has_forgotten(other))

        assert cleared["entries"] == {"l1": 1, "l2": 1}
        assert cleared["elsewhere_within_s"] == ELSEWHERE_S
        assert await tier_of(other, "tide tables") == "miss"
        assert await tier_of(one, "tide tables") == "l2"
        assert len(tavily.calls) == 2
        await one.drain()
        (frame,) = one.frames("cache:all")
        assert frame["events"][0]["event"]["by"] == "local"


async def test_an_instance_that_was_cut_off_clears_when_redis_is_back(tmp_path, tavily):
    """Whoever could not look at the mark looks when it can: no message was there to be missed."""
    async with (
        Valkey(save="", appendonly="yes") as valkey,
        two(tmp_path, valkey, tavily=tavily) as (one, other),
    ):
        await tier_of(one, "tide tables")
        await tier_of(other, "tide tables")
        await one.client.delete("/cache")
        valkey.kill()
        await valkey.start()

        await eventually(lambda: has_forgotten(other))


async def test_while_redis_is_gone_clearing_says_so(tmp_path, tavily):
    """The own memory is empty all the same, and the answer says that others were not told."""
    async with Valkey() as valkey, two(tmp_path, valkey, tavily=tavily) as (one, other):
        await tier_of(one, "tide tables")
        await tier_of(other, "tide tables")
        valkey.kill()

        refused = await one.client.delete("/cache")
        seen = await cache_of(one)

        assert refused.status_code == 503
        assert "out of reach" in refused.text
        assert (await entries(one), await entries(other)) == (0, 1)
        assert [tier["status"] for tier in seen["tiers"]] == ["ok", "degraded"]


async def test_a_worker_short_of_memory_shrinks_its_cache_and_says_so(tmp_path, tavily):
    """It goes on answering; health, metrics, `/cache` and the record tell the bound in force."""
    configured = 10 * MEGABYTE
    async with serving(tmp_path, tavily=tavily, l1_max_bytes=configured, memory_max_bytes=1) as amos:
        floor = configured // 16

        async def has_shrunk() -> bool:
            return bool((await cache_of(amos))["tiers"][0]["bytes_max"] == floor)

        await eventually(has_shrunk)
        assert await tier_of(amos, "tide tables") == "miss"
        assert await tier_of(amos, "tide tables") == "l1"

        seen = await cache_of(amos)
        health = (await amos.client.get("/health")).json()
        metrics = (await amos.client.get("/metrics/instance")).text
        await amos.drain()

        own = seen["tiers"][0]
        assert (own["status"], own["bytes_configured"]) == ("degraded", configured)
        assert seen["memory"]["is_short"]
        assert (seen["memory"]["source"], seen["memory"]["limit_bytes"]) == ("process", 1)
        (component,) = [one for one in health["components"] if one["name"] == "cache:l1"]
        assert component["status"] == "degraded"
        assert str(floor) in component["detail"]
        assert health["status"] == "degraded"
        for name, value in (
            ("cache_l1_max", floor),
            ("cache_l1_configured", configured),
            ("memory_limit", 1),
        ):
            (found,) = re.findall(rf"^amos_{name}_bytes(?:\{{.*\}})? (\S+)$", metrics, re.MULTILINE)
            assert float(found) == value, name
        (frame,) = amos.frames("cache:l1")
        (event,) = [one["event"] for one in frame["events"]]
        assert (event["reason"], event["was_bytes_max"], event["bytes_max"]) == (
            "pressure",
            configured,
            floor,
        )
