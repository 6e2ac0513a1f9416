"""Providers go down in every way, Redis too: the callers hardly notice, and the log knows all of it.

    ./amos chaos tests/chaos/test_availability.py     # long days from several seeds, and a table of each
    ./amos test tests/chaos/test_availability.py      # a short one

Time is compressed: an hour of outages takes minutes. What is scaled is the plan of the outages and what
the operator's policy says in minutes and hours (cooldowns, how long answers are kept). What a caller feels is
not: the deadline, the time of an attempt, the waits between attempts and what Redis may take are as they are.
An outage thus lasts fewer attempts than in life, and what is found out in seconds costs a larger share of it.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.cache_policy import CachePolicy
from tests.chaos.conftest import Install
from tests.support import availability
from tests.support.availability import Ended, is_useful
from tests.support.bill_by_call import Bill, bill
from tests.support.fault_player import FaultPlayer, Played
from tests.support.fault_schedule import PROVIDERS, Outage, draw
from tests.support.installation import Installation
from tests.support.processes import UpstreamProcess
from tests.support.steady_load import Asked, SteadyLoad
from tests.support.valkey import Valkey

Upstreams = tuple[UpstreamProcess, UpstreamProcess]

FACTOR = 30.0
"""chosen: a nominal minute takes two seconds, so that the longest outage, ten seconds, is longer than the
deadline of a call, and an hour takes two minutes."""

USEFUL_RATIO_MIN = 0.999
"""Of a thousand calls one may have no useful answer."""


@dataclass
class Day:
    """What has been lived through: as callers saw it, as the log has it, as the providers counted."""

    asked: list[Asked]
    ends: Mapping[str, Ended]
    bills: list[Bill]
    played: list[Played]
    calls: Mapping[str, list[dict[str, Any]]]
    faults: list[str]
    stale_age_s_max: float

    @property
    def useful(self) -> list[Asked]:
        """The calls that helped."""
        return [one for one in self.asked if is_useful(one, self.stale_age_s_max)]

    @property
    def useless(self) -> list[Asked]:
        """The calls that did not."""
        helped = {id(one) for one in self.useful}
        return [one for one in self.asked if id(one) not in helped]


@pytest.fixture
async def redis() -> AsyncIterator[Valkey]:
    """A Valkey that may be killed."""
    async with Valkey() as valkey:
        yield valkey


def scaled(redis: Valkey, **nominal_s: float) -> dict[str, str]:
    """The settings of an installation in compressed time: two processes, one Valkey.

    Every default that is a time of minutes or more is named here, as it is in life; `nominal_s` has others.
    """
    policy = {
        "AMOS_CACHE_TTL_S": 3_600.0,
        "AMOS_STALE_WHILE_REVALIDATE_S": 300.0,
        "AMOS_STALE_IF_ERROR_S": 86_400.0,
        "AMOS_STALE_IF_QUOTA_S": 259_200.0,
        **nominal_s,
    }
    return {
        "AMOS_REDIS_URL": redis.url,
        "AMOS_WORKERS": "2",
        **{name: str(seconds / FACTOR) for name, seconds in policy.items()},
    }


def stale_age_s_max(settings: Mapping[str, str]) -> float:
    """How old an answer may be at most, jitter included."""
    windows = ("AMOS_STALE_IF_ERROR_S", "AMOS_STALE_IF_QUOTA_S", "AMOS_STALE_WHILE_REVALIDATE_S")
    ttl_s = float(settings["AMOS_CACHE_TTL_S"]) * (1 + CachePolicy().jitter_ratio)
    return ttl_s + max(float(settings[name]) for name in windows)


async def live(
    installation: Installation,
    upstreams: Upstreams,
    redis: Valkey,
    *,
    seed: int,
    total_s: float,
    rate_per_s: float,
) -> Day:
    """A day of `total_s` nominal seconds under a steady load."""
    tavily, jina = upstreams
    player = FaultPlayer({"tavily": tavily, "jina": jina}, redis, FACTOR)
    await installation.amos.start()
    load = SteadyLoad(installation.amos.base_url, seed, player)
    is_over = asyncio.Event()
    asking = asyncio.create_task(load.run(rate_per_s, is_over))
    try:
        await player.play(draw(seed, total_s))
    finally:
        is_over.set()
        await asking
    return await the_end(installation, upstreams, player, load)


async def the_end(
    installation: Installation, upstreams: Upstreams, player: FaultPlayer, load: SteadyLoad
) -> Day:
    """End AMOS in good order and collect what everybody knows."""
    faults = await installation.settled(load)
    facts = availability.facts(installation.amos.database)
    calls = {name: process.calls() for name, process in zip(PROVIDERS, upstreams, strict=True)}
    return Day(
        asked=load.asked,
        ends=availability.executions(facts),
        bills=[bill(provider, facts, own) for provider, own in calls.items()],
        played=player.played,
        calls=calls,
        faults=faults,
        stale_age_s_max=stale_age_s_max(installation.amos.settings),
    )


def show(day: Day, seed: int) -> None:
    """Write out all that somebody who looks at the day wants to know."""
    lines = [
        f"--- seed {seed}",
        *availability.table(day.asked, day.useful),
        "",
        *availability.calls_while_down(day.played, day.calls),
        "",
        *map(str, day.bills),
        "",
        f"{len(day.useless)} calls had no useful answer",
        *availability.explained(day.useless, day.ends),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


@pytest.mark.parametrize("seed", [1])
async def test_a_day_of_outages(install: Install, upstreams: Upstreams, redis: Valkey, seed: int) -> None:
    """With one provider down at a time 99.9 % of the calls have a useful answer, by the log as by the callers."""
    installation = install(**scaled(redis))

    day = await live(installation, upstreams, redis, seed=seed, total_s=960.0, rate_per_s=20.0)
    show(day, seed)

    assert day.faults == []
    assert availability.differences(day.asked, day.ends) == []
    assert [difference for bill in day.bills for difference in bill.differences] == []
    assert len(day.useful) >= USEFUL_RATIO_MIN * len(day.asked)


# --- both down ----------------------------------------------------------------------------------------------

FIVE_MINUTES_S = 300.0

REFUSED_S_MAX = 0.1
"""A call that nobody can answer is refused so soon, once the circuits are open. Real seconds."""

PROBES_MAX = 40
"""chosen: calls of the five minutes that may reach a provider: those that open the circuits, retries included,
and the probes of both, which become fewer by the minute."""


@pytest.mark.parametrize(("tavily_kind", "jina_kind"), [("503 page", "reset")])
async def test_both_are_down(
    install: Install, upstreams: Upstreams, redis: Valkey, tavily_kind: str, jina_kind: str
) -> None:
    """With both down for five minutes what was asked within the stale window is answered; others are refused at once."""
    window_s = 2.2 * FIVE_MINUTES_S
    stale = {"AMOS_STALE_IF_ERROR_S": window_s, "AMOS_STALE_IF_QUOTA_S": window_s}
    settings = scaled(redis, AMOS_CACHE_TTL_S=30.0, AMOS_STALE_WHILE_REVALIDATE_S=0.0, **stale)
    installation = install(**settings)
    player = FaultPlayer(dict(zip(PROVIDERS, upstreams, strict=True)), redis, FACTOR)
    await installation.amos.start()
    load = SteadyLoad(installation.amos.base_url, 1, player)
    forgotten, known = load.new(40), load.new(80)
    await load.ask(*forgotten)
    await asyncio.sleep(1.1 * window_s / FACTOR)
    await load.ask(*known)
    await asyncio.sleep(1.2 * 30.0 / FACTOR)

    for target, kind in zip(PROVIDERS, (tavily_kind, jina_kind), strict=True):
        await player.break_(Outage(target, kind, 0.0, FIVE_MINUTES_S))
    asked = load.new(80) + forgotten + known + known
    random.Random(1).shuffle(asked)
    later = await load.ask_steadily(asked, FIVE_MINUTES_S / FACTOR)
    for target in PROVIDERS:
        await player.mend(target)
    day = await the_end(installation, upstreams, player, load)
    show(day, 1)

    assert day.faults == []
    assert availability.differences(day.asked, day.ends) == []
    useful = {id(one) for one in day.useful}
    lost = [one for one in later if one.query in known and (one.outcome != "stale" or id(one) not in useful)]
    assert availability.explained(lost, day.ends) == []
    others = [one for one in later if one.query not in known]
    assert {one.outcome for one in others} == {"503"}
    refused_s = [
        day.ends[one.execution_id].duration_s for one in others if not day.ends[one.execution_id].has_asked
    ]
    assert len(refused_s) > len(others) / 2
    assert max(refused_s) <= REFUSED_S_MAX
    down = [call for calls in day.calls.values() for call in calls if call["fault"] != "none"]
    assert len(down) <= PROBES_MAX
