"""A provider that takes the place of another at run time, and what instances share of the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator.circuit_sharing import REFRESH_S
from tests.support.gateway_server import GatewayServer, serving
from tests.support.searxng_simulator import SearxngSimulator
from tests.support.simulator import Fault

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.support.valkey import Valkey


async def register(amos: GatewayServer, url: str, **more: Any) -> httpx.Response:
    """Have the engine at the address under the name `engine`."""
    wish = {"name": "engine", "kind": "searxng", "options": {"url": url}, **more}
    return await amos.client.post("/providers", json=wish)


async def health(amos: GatewayServer) -> tuple[str, str]:
    """How the engine is, and why."""
    components = (await amos.client.get("/health")).json()["components"]
    found = next(one for one in components if one["name"] == "provider:engine")
    return found["status"], found["detail"]


async def test_a_provider_that_takes_a_name_begins_with_a_circuit_of_its_own(
    tmp_path: Path, valkey: Valkey
) -> None:
    """Redis remembers the circuit of the one that failed under this name; its successor has no part in it."""
    async with (
        SearxngSimulator() as broken,
        SearxngSimulator() as sound,
        serving(tmp_path, redis_url=valkey.url, redis_timeout_s=1.0, providers=("local",)) as amos,
    ):
        broken.always(Fault.status(500))
        assert (await register(amos, broken.base_url)).status_code == 201
        for n in range(5):
            await amos.search(f"question {n}")
        await asyncio.sleep(REFRESH_S)
        assert (await health(amos))[0] == "down"

        assert (await register(amos, sound.base_url, replace=True)).status_code == 201
        await asyncio.sleep(2 * REFRESH_S)  # By now it is known here what Redis has.
        state = await health(amos)
        answer = (await amos.search("one question more")).json()

    assert state == ("ok", "")
    assert answer["amos"]["provider"] == "engine"
