"""A day in the life of a gateway, lived in a minute: for pictures of pages that show a day.

    async with lived_day(folder) as day:
        ... day.amos.base_url, day.key

The calls, the answers, the record and its folds are real, and the providers simulated. Only the wall clock is
set back by a day and moved on between the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.clock import SystemClock
from orchestrator.cooldown import CircuitPolicy
from orchestrator.filters.rate_limit import RateLimitPolicy
from orchestrator.key_admin import KeyWish
from orchestrator.parts import Policies
from tests.support.console_visitor import RECORDS_EVERY_S
from tests.support.faults import Fault
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import WHOLE_DAYS, JinaSimulator
from tests.support.tavily_simulator import TavilySimulator

DAY_S = 86_400.0

STEP_S = 300.0
"""So much of the day passes between two handfuls of calls; the charts of a day have points as far apart."""

LAST_HOUR_STEP_S = 60.0

CALLS_MEAN = 9.0
"""In a handful, at the busiest hour twice as many."""

OUTAGE_S = (8 * 3600.0, 8.7 * 3600.0)
"""The first provider is down in this part of the day."""

AT_ONCE = 16

POLICIES = Policies(
    rate_limit=RateLimitPolicy(burst=10_000, per_minute=100_000, per_hour=1_000_000),  # a day is a minute
    circuit=CircuitPolicy(cooldowns_s=(0.4,), jitter_ratio=0.0),
    budget=BudgetPolicy(
        usd_micros_per_month=60_000_000,
        units_per_day={"tavily": 4_000},
        units={"tavily": "credits", "jina": "tokens"},
    ),
)

CLIENTS = ("research-agents", "support-bot", "docs-site", "newsroom")

QUERIES = (
    *("eu ai act high risk obligations", "postgres 18 logical replication", "tide tables north sea"),
    *("solid state battery energy density", "http query method rfc 10008", "heat pump noise limits germany"),
    *("rust async cancellation safety", "wind farm capacity factor offshore", "mrna vaccine storage"),
    *("model context protocol stateless servers", "valkey cluster failover", "carbon border adjustment 2026"),
    *("kubernetes gateway api migration", "fusion ignition results", "bee colony winter losses"),
    *("lithium recycling process", "sqlite wal checkpoint", "train strike timetable", "sourdough hydration"),
    *("openai deep research benchmark", "opentelemetry genai conventions", "coral reef bleaching map"),
)


class _MovedClock:
    """The wall clock, some seconds off."""

    def __init__(self) -> None:
        self.off_s = -DAY_S

    def now(self) -> float:
        return time.time() + self.off_s

    @contextlib.contextmanager
    def is_the_clock(self) -> Iterator[None]:
        """For everything in this process that asks the Clock port."""
        real = SystemClock.now
        SystemClock.now = staticmethod(self.now)  # type: ignore[method-assign]
        try:
            yield
        finally:
            SystemClock.now = real  # type: ignore[method-assign]


@dataclass
class Day:
    """What has been lived, still served. `key` may do everything."""

    amos: GatewayServer
    tavily: TavilySimulator
    key: str


@contextlib.asynccontextmanager
async def lived_day(folder: Path) -> AsyncIterator[Day]:
    """The gateway after its day; its recorder goes on."""
    handbook = folder / "handbook"
    handbook.mkdir()
    (handbook / "tides.md").write_text("# Tide tables\n\nHigh water at the harbour museum is at 06:40.\n")
    clock = _MovedClock()
    with clock.is_the_clock():
        async with (
            TavilySimulator() as tavily,
            JinaSimulator(balance=WHOLE_DAYS) as jina,
            serving(
                folder / "var",
                tavily=tavily,
                jina=jina,
                policies=POLICIES,
                key_pepper="p" * 32,
                local_paths=(handbook,),
            ) as amos,
        ):
            await amos.drain()  # makes the tables
            keys = [await _key(amos, client) for client in CLIENTS]
            admin = await _key(amos, "operations", "search", "extract", "refresh", "reports", "admin")
            await _live(amos, tavily, jina, keys, clock)
            clock.off_s = 0.0
            async with amos.draining(RECORDS_EVERY_S):
                yield Day(amos, tavily, admin)


async def _key(amos: GatewayServer, client: str, *scopes: str) -> str:
    keys = amos.gateway.keys
    assert keys is not None, "the gateway has a pepper"
    wish = KeyWish(client=client, scopes=scopes or ("search", "extract"))
    return (await keys.create(wish, by="operations")).raw


async def _live(
    amos: GatewayServer,
    tavily: TavilySimulator,
    jina: JinaSimulator,
    keys: list[str],
    clock: _MovedClock,
) -> None:
    chance = random.Random(7)
    began_at = time.monotonic()
    passed_s = 0.0
    while passed_s < DAY_S:
        clock.off_s = passed_s - DAY_S - (time.monotonic() - began_at)
        is_down = OUTAGE_S[0] <= passed_s < OUTAGE_S[1]
        tavily.always(Fault.status(503) if is_down else Fault())
        tavily.delay_s, jina.delay_s = chance.uniform(0.06, 0.2), chance.uniform(0.15, 0.35)
        step_s = STEP_S if passed_s < DAY_S - 3600.0 else LAST_HOUR_STEP_S
        await _handful(amos, keys, chance, passed_s, share=step_s / STEP_S)
        await amos.drain()
        passed_s += step_s
    tavily.always(Fault())


async def _handful(
    amos: GatewayServer, keys: list[str], chance: random.Random, passed_s: float, *, share: float
) -> None:
    """Some calls at once; more by day than by night, and some questions far oftener than others."""
    busy = 1.0 + math.sin(2 * math.pi * (passed_s / DAY_S - 0.3))
    room = asyncio.Semaphore(AT_ONCE)

    async def ask() -> None:
        query = QUERIES[min(int(chance.expovariate(0.16)), len(QUERIES) - 1)]
        query = query if chance.random() < 0.85 else f"{query} {chance.randrange(2020, 2027)}"
        key = chance.choices(keys, (6, 3, 2, 1))[0]
        topic = "news" if key == keys[3] else "general"
        depth = "advanced" if chance.random() < 0.05 else "basic"
        async with room:
            headers = {"Authorization": f"Bearer {key}"}
            await amos.search(query, headers, topic=topic, search_depth=depth)

    calls = max(0.0, chance.gauss(CALLS_MEAN * busy, 2.0)) * share
    await asyncio.gather(*(ask() for _ in range(round(calls + chance.random()))))
