"""A day of outages in minutes: an installation in compressed time, lived through, and all accounts of it.

By FACTOR are scaled: the plan of the outages, and what the operator's policy says in minutes and hours:
cooldowns, and how long answers are kept. By ATTEMPT_FACTOR, a sixth of that: the time of an attempt. As they
are: the deadline of a call, the waits between attempts, what Redis may take, how often instances ask each
other for news. So whatever takes seconds in life takes a larger part of each outage here, and one call may
live to see two of them. That is harder than life, never easier.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.cache_policy import CachePolicy
from orchestrator.cooldown import CircuitPolicy
from orchestrator.ports import ProviderTiming
from tests.support import availability
from tests.support.availability import Ended, is_useful
from tests.support.bill_by_call import Bill, bill
from tests.support.fault_player import FaultPlayer, Played
from tests.support.fault_schedule import PROVIDERS, Plan
from tests.support.installation import Installation
from tests.support.processes import UpstreamProcess
from tests.support.steady_load import Asked, SteadyLoad
from tests.support.valkey import Valkey

FACTOR = 30.0
"""chosen: a nominal minute takes two seconds, so that the longest outage, ten seconds, is longer than the
deadline of a call, and an hour takes two minutes."""

ATTEMPT_FACTOR = 5.0
"""chosen: an attempt of five seconds may take one. By the whole factor it would be 0.17 s, which a simulated
provider on a busy machine needs for a good answer; as it is it would last for half of the longest outage."""

STALE_WINDOWS = ("AMOS_STALE_WHILE_REVALIDATE_S", "AMOS_STALE_IF_ERROR_S", "AMOS_STALE_IF_QUOTA_S")


@dataclass(kw_only=True)
class Day:
    """What has been lived through: as callers saw it, as the log has it, as providers counted it.

    `faults` are those of the record itself (see `Installation.settled`), `open_since` the moment by which
    every circuit had opened.
    """

    asked: list[Asked]
    ends: Mapping[str, Ended]
    report: Mapping[str, Any]
    bills: list[Bill]
    played: list[Played]
    calls: Mapping[str, list[dict[str, Any]]]
    faults: list[str]
    stale_age_s_max: float
    open_since: float

    @property
    def useful(self) -> list[Asked]:
        """The calls that helped."""
        return [one for one in self.asked if is_useful(one, self.stale_age_s_max)]

    @property
    def useless(self) -> list[Asked]:
        """The calls that did not."""
        helped = {id(one) for one in self.useful}
        return [one for one in self.asked if id(one) not in helped]

    @property
    def differences(self) -> list[str]:
        """Where callers, log, its report, and providers do not say the same."""
        by_the_log = sum(end.is_useful for end in self.ends.values())
        told = [("log", by_the_log), ("report", self.report["useful"])]
        return [
            *self.faults,
            *availability.differences(self.asked, self.ends),
            *(difference for one in self.bills for difference in one.differences),
            *(
                f"{len(self.useful)} calls were useful to their callers, {count} by the {who}"
                for who, count in told
                if count != len(self.useful)
            ),
        ]

    def __str__(self) -> str:
        """All that somebody who looks at the day wants to know."""
        lines = [
            *availability.table(self.asked, self.useful),
            "",
            *availability.calls_while_down(self.played, self.calls),
            "",
            *map(str, self.bills),
            "",
            f"{len(self.useless)} calls had no useful answer",
            *availability.explained(self.useless, self.ends),
        ]
        return "\n".join(lines)


class CompressedDay:
    """An installation of two processes and one Valkey, and what can be done with it in compressed time."""

    def __init__(
        self, installation: Installation, upstreams: tuple[UpstreamProcess, UpstreamProcess], redis: Valkey
    ) -> None:
        self._installation = installation
        self._upstreams = dict(zip(PROVIDERS, upstreams, strict=True))
        self.player = FaultPlayer(self._upstreams, redis, FACTOR)

    async def begin(self, seed: int) -> SteadyLoad:
        """Start it; the load that is to be put on it follows from the seed."""
        await self._installation.amos.start()
        return SteadyLoad(self._installation.amos.base_url, seed, self.player)

    async def live(self, load: SteadyLoad, plan: Plan, rate_per_s: float) -> None:
        """A whole plan under a steady load."""
        is_over = asyncio.Event()
        asking = asyncio.create_task(load.run(rate_per_s, is_over))
        try:
            await self.player.play(plan)
        finally:
            is_over.set()
            await asking

    async def end(self, load: SteadyLoad) -> Day:
        """End AMOS in good order and collect what everybody knows."""
        amos = self._installation.amos
        faults = await self._installation.settled(load)
        status, report = await amos.command("report", "health", "--json")
        assert status == 0, report
        facts = availability.facts(amos.database)
        calls = {name: process.calls() for name, process in self._upstreams.items()}
        return Day(
            asked=load.asked,
            ends=availability.executions(facts),
            report=json.loads(report)["requests"],
            bills=[bill(provider, facts, own) for provider, own in calls.items()],
            played=self.player.played,
            calls=calls,
            faults=faults,
            stale_age_s_max=stale_age_s_max(amos.settings),
            open_since=availability.open_since(facts),
        )


def scaled(redis: Valkey, **nominal_s: float) -> dict[str, str]:
    """The settings of an installation in compressed time.

    Every default that is a time of minutes or more is named here, as it is in life; `nominal_s` has others.
    """
    cache = CachePolicy()
    policy = {
        "AMOS_CACHE_TTL_S": cache.ttl_s,
        "AMOS_STALE_WHILE_REVALIDATE_S": cache.stale_while_revalidate_s,
        "AMOS_STALE_IF_ERROR_S": cache.stale_if_error_s,
        "AMOS_STALE_IF_QUOTA_S": cache.stale_if_quota_s,
        **nominal_s,
    }
    return {
        "AMOS_REDIS_URL": redis.url,
        "AMOS_WORKERS": "2",
        "AMOS_CIRCUIT_COOLDOWNS_S": _comma(seconds / FACTOR for seconds in CircuitPolicy().cooldowns_s),
        "AMOS_SEARCH_TIMEOUT_S": str(ProviderTiming().search_s / ATTEMPT_FACTOR),
        **{name: str(seconds / FACTOR) for name, seconds in policy.items()},
    }


def stale_age_s_max(settings: Mapping[str, str]) -> float:
    """How old an answer may be at most, jitter included."""
    ttl_s = float(settings["AMOS_CACHE_TTL_S"]) * (1 + CachePolicy().jitter_ratio)
    return ttl_s + max(float(settings[name]) for name in STALE_WINDOWS)


def _comma(numbers: Iterable[float]) -> str:
    return ",".join(map(str, numbers))
