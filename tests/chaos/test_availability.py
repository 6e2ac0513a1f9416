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
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.chaos.conftest import Install
from tests.support import availability
from tests.support.availability import Ended, is_useful
from tests.support.bill_by_call import Bill, bill
from tests.support.fault_player import FaultPlayer, Played
from tests.support.fault_schedule import draw
from tests.support.installation import Installation
from tests.support.processes import UpstreamProcess
from tests.support.steady_load import Asked, SteadyLoad
from tests.support.valkey import Valkey

FACTOR = 30.0
"""chosen: a nominal minute takes two seconds, so that the longest outage, ten seconds, is longer than the
deadline of a call, and an hour takes two minutes."""

USEFUL_RATIO_MIN = 0.999
"""Of a thousand calls one may have no useful answer."""

TTL_S = 3_600.0
"""Nominal: the default of AMOS_CACHE_TTL_S."""


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


def scaled(redis: Valkey) -> dict[str, str]:
    """The settings of an installation in compressed time: two processes, one Valkey."""
    return {
        "AMOS_REDIS_URL": redis.url,
        "AMOS_WORKERS": "2",
        "AMOS_CACHE_TTL_S": str(TTL_S / FACTOR),
    }


async def live(
    installation: Installation,
    upstreams: tuple[UpstreamProcess, UpstreamProcess],
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
    faults = await installation.settled(load)
    facts = availability.facts(installation.amos.database)
    calls = {"tavily": tavily.calls(), "jina": jina.calls()}
    return Day(
        asked=load.asked,
        ends=availability.executions(facts),
        bills=[bill(provider, facts, own) for provider, own in calls.items()],
        played=player.played,
        calls=calls,
        faults=faults,
        stale_age_s_max=TTL_S / FACTOR,
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
async def test_a_day_of_outages(
    install: Install, upstreams: tuple[UpstreamProcess, UpstreamProcess], redis: Valkey, seed: int
) -> None:
    """With one provider down at a time 99.9 % of the calls have a useful answer, by the log as by the callers."""
    installation = install(**scaled(redis))

    day = await live(installation, upstreams, redis, seed=seed, total_s=960.0, rate_per_s=20.0)
    show(day, seed)

    assert day.faults == []
    assert availability.differences(day.asked, day.ends) == []
    assert [difference for bill in day.bills for difference in bill.differences] == []
    assert len(day.useful) >= USEFUL_RATIO_MIN * len(day.asked)
