"""A gateway's whole life in some seconds: every door, every way a call can end, several clients, one death.

    async with mixed_traffic(folder, is_server=True) as lived:
        ... lived.amos, lived.tavily, lived.jina, lived.saw

Everything has happened and is in SQL when the context is entered; nothing is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from orchestrator.budget_policy import BudgetPolicy
from orchestrator.cache_policy import CachePolicy
from orchestrator.cooldown import CircuitPolicy
from orchestrator.key_admin import KeyWish
from orchestrator.model import Caller, SearchRequest
from orchestrator.parts import Policies
from orchestrator.ports import ProviderTiming
from orchestrator.principals import OwnLimits
from orchestrator.warming_plan import WarmingPolicy
from tests.support.command_line import CommandLine
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import BALANCE, JinaSimulator
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.postgres import shared_postgres
from tests.support.processes import until
from tests.support.simulator import Fault, Simulator
from tests.support.tavily_simulator import TavilySimulator
from tests.support.traces import exporting

PEPPER = "p" * 32

POLICIES = Policies(
    deadline_s=3.0,
    circuit=CircuitPolicy(cooldowns_s=(0.2,), jitter_ratio=0.0),
    budget=BudgetPolicy(client_usd_micros_per_day=480_000, usd_micros_per_day=100_000_000),
    cache=CachePolicy(fast_ttl_s=1.0),
    timing=ProviderTiming(search_s=0.8, search_advanced_s=1.6, extract_s=0.8),
)
"""Impatient ones, so that timeouts and cooldowns pass quickly; a client may spend 60 credits a day, and all
together more than they ever will.

News is old after a second.
"""

CERTAIN_S = 0.2
"""After so long without a word an execution counts as dead."""

PAGES_A_CREDIT = 5
"""Tavily bills every fifth page it has read; a total that is a multiple has no credit in between."""

DEAD_QUERY = "the process dies in this one"


@dataclass
class Lived:
    """What has been lived through.

    `saw` counts what callers were told, by door and `cache` or status; `lost_credits` were billed by Tavily
    in answers that never arrived whole.
    """

    amos: GatewayServer
    tavily: TavilySimulator
    jina: JinaSimulator
    command: CommandLine
    receiver: OtlpReceiver
    """Where all spans have arrived."""
    saw: Counter[str] = field(default_factory=Counter)
    reader: dict[str, str] = field(default_factory=dict)
    """The header with which reports may be read."""
    lost_credits: int = 0

    @property
    def tokens_used(self) -> int:
        """The tokens that Jina took off the balance."""
        return BALANCE - self.jina.balance

    async def search(
        self, query: str, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """A search over HTTP, seen by its caller."""
        return self._seen(await self.amos.search(query, headers, **options))

    async def extract(self, *pages: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """An extract of pages of the almanac, seen by its caller."""
        urls = [f"https://almanac.example/{page}" for page in pages]
        return self._seen(await self.amos.extract(urls, headers))

    async def relay(self, path: str, **body: Any) -> httpx.Response:
        """Something that is passed on, seen by its caller, who has a key that may read reports."""
        return self._seen(await self.amos.client.post(path, json=body, headers=self.reader))

    def _seen(self, answer: httpx.Response) -> httpx.Response:
        has_answer = answer.status_code == 200
        self.saw[f"http:{answer.json()['amos']['cache'] if has_answer else answer.status_code}"] += 1
        return answer


@contextlib.asynccontextmanager
async def mixed_traffic(folder: Path, *, is_server: bool) -> AsyncIterator[Lived]:
    """A gateway on SQLite, or on a server, that has lived through all of it."""
    handbook = folder / "handbook"
    handbook.mkdir()
    (handbook / "tides.md").write_text("# Tide tables\n\nHigh water at the harbour museum is at 06:40.\n")
    url = {"database_url": shared_postgres().new_database()} if is_server else {}
    async with TavilySimulator() as tavily, JinaSimulator() as jina, OtlpReceiver() as receiver:
        fields: dict[str, Any] = {**url, "key_pepper": PEPPER, "local_paths": (handbook,)}
        data_dir = folder / "var"
        async with (
            serving(data_dir, tavily=tavily, jina=jina, policies=POLICIES, **fields) as amos,
            exporting(amos.settings, receiver, certain_s=CERTAIN_S) as traces,
        ):
            await amos.drain()  # makes the tables
            await traces.export()
            command = CommandLine(folder, _environment(amos, tavily, jina))
            lived = Lived(amos, tavily, jina, command, receiver)
            await _live(lived)
            await asyncio.sleep(1.1)  # who is turned away is counted by the second
            await amos.drain()
            await traces.export()
            await asyncio.sleep(CERTAIN_S)
            await traces.export()  # now it is certain who has died
            yield lived


def _environment(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator) -> dict[str, str]:
    settings = amos.settings
    return {
        "AMOS_DATA_DIR": str(settings.data_dir),
        "AMOS_DATABASE_URL": settings.database_url,
        "AMOS_KEY_PEPPER": PEPPER,
        "AMOS_LOCAL_PATHS": str(settings.local_paths[0]),
        "TAVILY_API_KEY": tavily.api_key,
        "AMOS_TAVILY_BASE_URL": settings.tavily_base_url,
        "JINA_API_KEY": jina.api_key,
        "AMOS_JINA_SEARCH_URL": settings.jina_search_url,
        "AMOS_JINA_READER_URL": settings.jina_reader_url,
    }


async def _live(lived: Lived) -> None:
    await _by_the_operator(lived)
    await _extracts(lived)
    await _faults(lived)
    await _by_command(lived)
    await _by_mcp(lived, {})
    await _cancelled(lived)
    await _by_clients(lived)
    await _old(lived)
    await _relays(lived)
    await _circuits(lived)
    await _warmed(lived)
    await _to_whole_credits(lived)
    await _throttled(lived)


async def _by_the_operator(lived: Lived) -> None:
    """Joins, misses, hits, other writings of the same query, and what the caller did wrong."""
    tavily, jina = lived.tavily, lived.jina
    tavily.delay_s = 0.4  # longer than seven calls need to arrive on the busiest machine
    await asyncio.gather(*(lived.search("everybody at once", search_depth="advanced") for _ in range(7)))
    tavily.delay_s = jina.delay_s = 0.01
    for n in range(6):
        await lived.search(f"harbour {n}", topic="news" if n % 2 else "general")
    for n in range(9):
        await lived.search(f"Harbour  {n % 6}", topic="news" if n % 2 else "general")
    await lived.search("harbour 1", {"Cache-Control": "no-cache"}, topic="news")
    await lived.search("x")
    await lived.search("y" * 401)
    await lived.search("not cached", {"Cache-Control": "only-if-cached"})
    for _ in range(5):
        await lived.search("a stranger", {"Via": "1.1 proxy.example"})


async def _extracts(lived: Lived) -> None:
    """Pages read, read by the second provider, from the cache, some of each, and ones nobody can read."""
    await lived.extract("a", "b", "gone/1")
    await lived.extract("a", "b")
    await lived.extract("a", "c")
    await lived.extract("a", "gone/1")
    lived.tavily.script(Fault.status(500), times=2)
    await lived.extract("d")  # one page, because Jina is asked for each by itself
    await lived.extract("d", "a")


async def _faults(lived: Lived) -> None:
    """Empty answers, timeouts, broken answers, retries, refusals, dropped results."""
    tavily, jina = lived.tavily, lived.jina
    tavily.script(Fault.variant("off_list_hosts"))
    await lived.search("elsewhere", include_domains=["wiki.example"], include_domains_mode="restrict")
    tavily.script(Fault.variant("unusable_urls"))
    await lived.search("nothing to follow, and billed")
    tavily.script(Fault.variant("missing_fields"))
    await lived.search("without addresses")
    tavily.script(Fault.empty())
    await lived.search("jina finds more")
    await lived.search("jina finds more")
    tavily.script(Fault.empty())
    jina.script(Fault.empty())
    await lived.search("nobody finds it")
    await lived.search("nobody finds it")
    tavily.script(Fault.hang())
    await lived.search("tavily is silent")
    tavily.script(Fault.status(500))
    await lived.search("works the second time")
    tavily.script(Fault.truncate())
    lived.lost_credits += 1
    await lived.search("half an answer")
    tavily.script(Fault.status(400))
    await lived.search("not liked")
    tavily.script(Fault.hang())
    jina.script(Fault.hang())
    await lived.extract("late")
    _calm(tavily, jina)


async def _by_command(lived: Lived) -> None:
    """A search, a hit and an extract from a shell, and a process that is killed in a paid call."""
    lived.tavily.when(DEAD_QUERY, Fault.hang())
    with lived.command.started("search", DEAD_QUERY) as process:
        await until(lambda: _was_asked(lived.tavily, DEAD_QUERY), 20.0, lambda: "nobody was asked")
        process.kill()
        await asyncio.to_thread(process.wait)
    lived.tavily.recover()
    done = await asyncio.to_thread(lived.command.run, "search", "-", "--json", stdin="tides\nharbour 2\n")
    assert done.exit_code == 0, done.stderr
    done = await asyncio.to_thread(lived.command.run, "extract", "https://almanac.example/shell", "--json")
    assert done.exit_code == 0, done.stderr


def _was_asked(simulator: Simulator, query: str) -> bool:
    return any(query in str(call.json) for call in simulator.calls)


async def _by_mcp(lived: Lived, headers: dict[str, str]) -> None:
    """Every tool, a hit, and a search that is none."""
    http = httpx2.AsyncClient(headers=headers)
    address = f"{lived.amos.base_url}/mcp"
    async with http, Client(streamable_http_client(address, http_client=http)) as client:
        for name, arguments in (
            ("web_search", {"query": "agents ask", "max_results": 3}),
            ("web_search", {"query": "agents ask", "max_results": 3}),
            ("search", {"query": "agents look around"}),
            ("extract", {"urls": ["https://almanac.example/mcp"]}),
            ("web_search", {"query": ""}),
        ):
            result = await client.call_tool(name, arguments)
            lived.saw["mcp:failed" if result.is_error else "mcp:answered"] += 1


async def _cancelled(lived: Lived) -> None:
    """A caller in the process who leaves; the flight it has begun goes on."""
    await asyncio.sleep(0.25)
    await lived.search("tavily is well")  # on a busy machine its circuit may have opened
    lived.tavily.delay_s = 0.2
    gateway = lived.amos.gateway
    call = gateway.open(SearchRequest(query="left alone"), Caller(door="http", is_local_operator=True))
    count = lived.tavily.count
    asking = asyncio.create_task(gateway.search(call))
    await until(lambda: lived.tavily.count > count, 5.0, lambda: f"nobody was asked: {asking}")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(0.4)
    lived.tavily.delay_s = 0.01


async def _by_clients(lived: Lived) -> None:
    """Clients with keys: one reads, one is throttled, one spends too much, one may not, some are forged."""
    keys = lived.amos.gateway.keys
    assert keys is not None

    async def key(client: str, **wish: Any) -> dict[str, str]:
        made = await keys.create(KeyWish(client=client, **wish), by="test")
        return {"Authorization": f"Bearer {made.raw}"}

    scopes = ("search", "extract", "refresh", "reports")
    lived.reader = await key("auditor", scopes=scopes, limits=OwnLimits(burst=200, per_minute=1_000))
    acme = await key("acme")
    hasty = await key("hasty", limits=OwnLimits(burst=2, per_minute=3))
    lavish = await key("lavish", limits=OwnLimits(burst=200, per_minute=1_000))
    narrow = await key("narrow", scopes=("extract",))
    for n in range(4):
        await lived.search(f"harbour {n}", acme, topic="news" if n % 2 else "general")
        await lived.search(f"acme {n // 2}", acme)
    await lived.extract("a", "acme", headers=acme)
    await _by_mcp(lived, acme)
    for n in range(5):
        await lived.search(f"hasty {n}", hasty)
    await asyncio.gather(*(lived.search(f"lavish {n}", lavish, search_depth="advanced") for n in range(36)))
    await lived.search("not mine", narrow)
    await lived.search("nobody")
    assert (await lived.amos.client.get("/reports/health", headers=acme)).status_code == 403
    await lived.search("forged", {"Authorization": "Bearer amos_live_nonsense"})
    await lived.search("acme 1", {**acme, "Cache-Control": "no-cache"})


async def _old(lived: Lived) -> None:
    """Old answers: at once and refreshed, also in vain; instead of a failure and of lateness."""
    tavily, jina, reader = lived.tavily, lived.jina, lived.reader
    in_need = {**reader, "Cache-Control": "no-cache, stale-if-error=60"}
    await lived.search("old news", reader, topic="news")
    await lived.search("older news", reader, topic="news")
    await lived.extract("old", headers=reader)
    await asyncio.sleep(1.2)
    await asyncio.gather(*(lived.search("old news", reader, topic="news") for _ in range(3)))
    tavily.script(Fault.status(400))
    await lived.search("older news", reader, topic="news")
    await asyncio.sleep(0.2)  # the refreshes have come to their end, the second in vain
    tavily.script(Fault.status(500), times=2)
    jina.script(Fault.status(500), times=2)
    await lived.search("old news", in_need, topic="news")
    await lived.extract("old", headers=in_need)
    tavily.script(Fault.hang())
    jina.script(Fault.hang())
    await lived.extract("old", headers=in_need)
    _calm(tavily, jina)


async def _relays(lived: Lived) -> None:
    """A map, a crawl, a site that Tavily does not know, a fault, a research nobody can pay for."""
    await lived.relay("/map", url="https://almanac.example")
    await lived.relay("/crawl", url="https://almanac.example", limit=7, extract_depth="advanced")
    await lived.relay("/map", url="https://forbidden.example")
    lived.tavily.script(Fault.status(500))
    await lived.relay("/crawl", url="https://almanac.example")
    await lived.relay("/research", input="tides", model="mini")


async def _circuits(lived: Lived) -> None:
    """Both providers down until their circuits open, the floor, an extract nobody serves, and back."""
    tavily, jina, reader = lived.tavily, lived.jina, lived.reader
    tavily.always(Fault.status(500))
    for n in range(8):
        await lived.search(f"tavily is down {n}", reader)
    jina.always(Fault.status(503))
    for n in range(8):
        await lived.search(f"tide tables {n % 4}", reader)
    await lived.extract("nobody-reads-this", headers=reader)
    _calm(tavily, jina)
    await asyncio.sleep(0.25)
    await lived.search("back again", reader)


async def _warmed(lived: Lived) -> None:
    """What was asked twice while only the floor could answer, which is not cached, is fetched after all."""
    await lived.amos.drain()
    warming = lived.amos.gateway.warming
    assert warming is not None
    finished = await warming.run(WarmingPolicy(pause_s=0.0), cause="command")
    assert finished.warmed >= 4, finished


async def _to_whole_credits(lived: Lived) -> None:
    """Read pages until Tavily has billed every one of them."""
    missing = -lived.tavily.pages_extracted["basic"] % PAGES_A_CREDIT
    if missing:
        await lived.extract(*(f"rest/{n}" for n in range(missing)), headers=lived.reader)


async def _throttled(lived: Lived) -> None:
    """Tavily has had enough of us, and is left alone for some seconds: the last that happens."""
    lived.tavily.script(Fault.status(429))
    await lived.search("too often", lived.reader)
    await lived.search("too early", lived.reader)


def _calm(*simulators: Simulator) -> None:
    for simulator in simulators:
        simulator.recover()
        simulator.delay_s = 0.01
