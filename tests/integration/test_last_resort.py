"""A provider that is back ahead of its cooldown: one gateway finds out, and all of them know."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator
from tests.support.valkey import Valkey

KNOWN_S = 5.0
"""Gateways ask each other twice a second; the rest is for a busy machine."""

COOLDOWNS_S = (120.0,)
"""Longer than a test: nobody probes."""


async def status_is(amos: GatewayServer, status: str) -> None:
    """Wait until the gateway says so of Tavily. Raises TimeoutError."""
    deadline = time.monotonic() + KNOWN_S
    while status not in [one.status for one in await amos.gateway.health() if one.name == "provider:tavily"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Tavily is not {status}")
        await asyncio.sleep(0.02)


async def test_all_gateways_go_back(tmp_path: Path, valkey: Valkey):
    """Let down by Jina, a gateway finds Tavily back, and the others ask Tavily again at once."""
    options: dict[str, Any] = {
        "redis_url": valkey.url,
        "redis_timeout_s": 1.0,
        "circuit_cooldowns_s": COOLDOWNS_S,
        "circuit_failures": 1,
    }
    async with (
        TavilySimulator() as tavily,
        JinaSimulator() as jina,
        serving(tmp_path / "a", tavily=tavily, jina=jina, **options) as one,
        serving(tmp_path / "b", tavily=tavily, jina=jina, **options) as other,
    ):
        tavily.always(Fault.status(500))
        await one.search("tavily goes down")
        await status_is(other, "down")
        tavily.recover()
        jina.always(Fault.status(500))

        let_down = await one.search("jina goes down")
        begun = time.monotonic()
        await status_is(other, "ok")
        later = await other.search("both know")
        await one.drain()
        facts = [event["type"] for event in one.events("circuit:tavily")]

    assert let_down.json()["amos"]["provider"] == "tavily"
    assert later.json()["amos"]["provider"] == "tavily"
    assert time.monotonic() - begun < COOLDOWNS_S[0]
    assert facts == ["amos.circuit.opened.v1", "amos.circuit.closed.v1"]
