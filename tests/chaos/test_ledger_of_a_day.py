"""What a mixed day has cost, in AMOS's ledger and in the books of the providers: the same, call by call.

Searches and extracts, hits, joins, refreshes, retries, timeouts, cut, broken and useless answers, refusals,
a key that is used up beside one that is not, second calls to the next provider, warming, deadlines that end
calls in the middle, and workers that are killed in them, on two processes with one Valkey.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter

import msgspec
import pytest

from tests.chaos.conftest import Install
from tests.support import availability
from tests.support.bill_by_call import Bill, bill
from tests.support.fault_rain import FaultRain
from tests.support.faults import Fault
from tests.support.installation import Installation
from tests.support.load import Load
from tests.support.naive_fold import Fact, of
from tests.support.processes import UpstreamProcess
from tests.support.seeds import MORE_SEEDS, SEEDS
from tests.support.valkey import Valkey

Upstreams = tuple[UpstreamProcess, UpstreamProcess]

DRAINED = "tvly-drained"
"""A key whose quota is used up."""

BILLED = "pilot boats"
"""A search that Tavily answers and bills, with results that are of no use."""

SETTINGS = {
    "AMOS_WORKERS": "2",
    "AMOS_DEADLINE_S": "2",
    "AMOS_SEARCH_TIMEOUT_S": "0.8",
    "AMOS_EXTRACT_TIMEOUT_S": "0.8",
    "AMOS_CACHE_TTL_S": "1",
    "AMOS_STALE_WHILE_REVALIDATE_S": "1",
    "AMOS_STALE_IF_ERROR_S": "5",
    "AMOS_CIRCUIT_COOLDOWNS_S": "0.2,0.4",
    "AMOS_HEDGE_RATIO": "0.5",
    "TAVILY_API_KEY": f"{DRAINED},tvly-simulated",
}
"""Everything short, so that a day of seconds has some of everything."""

LIVED = frozenset(
    {"attempt.failed", "cache.refresh_started", "cache.stale", "provider.key_rested", "warming.finished"}
)
"""What must have happened for a day to have been mixed. Second calls depend on the machine as well."""

DAY_S = 8.0
"""chosen: some hundred calls, of which some dozen go wrong."""


async def live(installation: Installation, upstreams: Upstreams, seed: int, kills: int) -> Load:
    """A day under load and in the rain; a worker is killed so many times, and the cache is warmed."""
    chance = random.Random(seed)
    is_over = asyncio.Event()
    async with Load(installation.amos, seed) as load:
        rain = asyncio.create_task(FaultRain(*upstreams, seed).fall(is_over))
        for _ in range(kills + 1):
            await asyncio.sleep(DAY_S / (kills + 1))
            if kills:
                pids = [pid for pid, role in installation.amos.alive().items() if role == "worker"]
                os.kill(chance.choice(pids), signal.SIGKILL)
        await installation.amos.command("cache", "warm", "--yes", "--top", "5")
        is_over.set()
        await rain
        await load.answer_more(20)
    return load


async def reported(installation: Installation, measure: str) -> dict[str, float]:
    """What the report of costs says of each provider, in the provider's own unit."""
    status, output = await installation.amos.command("report", "cost", "--json")
    assert status == 0, output
    # Saved is what both had cost together, too: under both names.
    units = json.loads(output)["units"]
    return {line["provider"]: line[measure] for line in units if "+" not in line["provider"]}


def show(bills: list[Bill], facts: list[Fact]) -> None:
    """Write out the sums, what happened, and why attempts failed."""
    kinds = Counter(fact["kind"] for fact in facts)
    reasons = Counter(fact["reason"] for fact in of(facts, "attempt.failed"))
    sys.stdout.write("\n".join([*map(str, bills), f"{dict(kinds)}", f"{dict(reasons)}"]) + "\n")


@pytest.mark.parametrize("seed", SEEDS[:1] + MORE_SEEDS)
async def test_the_ledger_is_what_the_providers_counted(
    install: Install, upstreams: Upstreams, valkey: Valkey, seed: int
) -> None:
    """Every call that reached a provider has its intent, and what it was billed is recorded or assumed."""
    spent, useless = (
        msgspec.to_builtins(fault) for fault in (Fault.status(432), Fault.variant("unusable_urls"))
    )
    upstreams[0].obey({"keys": {DRAINED: spent}, "when": {BILLED: useless}})
    installation = install(**SETTINGS, AMOS_REDIS_URL=valkey.url)
    await installation.amos.start()

    load = await live(installation, upstreams, seed, kills=2)
    faults = await installation.settled(load)
    facts = availability.facts(installation.amos.database)
    bills = [
        bill(name, facts, upstream.calls())
        for name, upstream in zip(("tavily", "jina"), upstreams, strict=True)
    ]
    show(bills, facts)

    assert faults == []
    assert [difference for one in bills for difference in one.differences] == []
    assert all(one.billed == pytest.approx(one.told + one.untold, abs=1e-6) for one in bills)
    assert await reported(installation, "spent") == {one.provider: one.told for one in bills}
    assert await reported(installation, "assumed") == {one.provider: one.assumed for one in bills}
    assert all(one.attempts and one.calls for one in bills)
    assert {fact["kind"] for fact in facts} >= LIVED
