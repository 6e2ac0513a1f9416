"""Providers go down in every way, Redis too: the callers hardly notice, and the log knows all of it.

    ./amos chaos tests/chaos/test_availability.py     # long days from several seeds, with a table of each
    ./amos test tests/chaos/test_availability.py      # short ones

What is compressed, and what is not, says tests/support/compressed_day.py.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from orchestrator.cache_policy import CachePolicy
from tests.chaos.conftest import DAY, Install
from tests.support import availability
from tests.support.compressed_day import FACTOR, CompressedDay, Day, scaled
from tests.support.fault_schedule import PROVIDERS, Outage, draw
from tests.support.processes import UpstreamProcess
from tests.support.steady_load import Asked, SteadyLoad
from tests.support.valkey import Valkey

Upstreams = tuple[UpstreamProcess, UpstreamProcess]
Tell = Callable[[str, Day], None]

USEFUL_RATIO_MIN = 0.999
"""Of a thousand calls one may have no useful answer."""

RATE_PER_S = 20.0
"""chosen: as many calls as two busy cores answer with eight other programs beside them."""

LONG_SEEDS = (101, 102, 103, 104)

LONG_S = 9_000.0
"""Nominal: two and a half hours, in which each provider is down some twenty times. Five minutes."""


@pytest.fixture
async def redis() -> AsyncIterator[Valkey]:
    """A Valkey that may be killed."""
    async with Valkey() as valkey:
        yield valkey


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Writes out what a day was like, now and at the end of the run."""

    def tell(title: str, day: Day) -> None:
        sys.stdout.write(f"{title}\n{day}\n")
        record_property(DAY, (title, str(day)))

    return tell


@pytest.mark.parametrize(
    ("seed", "total_s"),
    [
        pytest.param(34, 960.0, id="seed34", marks=pytest.mark.slow),
        *(
            pytest.param(seed, LONG_S, id=f"seed{seed}", marks=[pytest.mark.slow, pytest.mark.timeout(900)])
            for seed in LONG_SEEDS
        ),
    ],
)
async def test_a_day_of_outages(
    install: Install, upstreams: Upstreams, redis: Valkey, tell: Tell, seed: int, total_s: float
) -> None:
    """With one provider down at a time 99.9 % of the calls have a useful answer, whoever counts them."""
    days = CompressedDay(install(**scaled(redis)), upstreams, redis)
    load = await days.begin(seed)

    await days.live(load, draw(seed, total_s), RATE_PER_S)
    day = await days.end(load)
    tell(f"{total_s / 60:.0f} minutes of outages, seed {seed}", day)

    assert day.differences == []
    assert len(day.useful) >= USEFUL_RATIO_MIN * len(day.asked)


# --- both down ----------------------------------------------------------------------------------------------

FIVE_MINUTES_S = 300.0

WINDOW_S = 1.5 * FIVE_MINUTES_S
"""Nominal: how long an answer may be old here. The others have been asked before that, or never."""

TTL_S = 30.0
"""Nominal: what was asked is stale when the providers go down."""

REFUSED_S_MAX = 0.1
"""A call that nobody can answer is refused so soon, once the circuits are open. Real seconds."""

NEWS_S = 1.0
"""So long after a circuit has opened every instance knows. They ask each other twice a second."""

PROBES_MAX = 100
"""chosen: calls that may reach a provider in vain: at each one ten from each process (provider_room.py) are
under way when its circuit opens, each of these has a last resort, and probes become fewer by the minute. It
would be a thousand without circuits."""


@pytest.mark.parametrize(
    ("tavily_kind", "jina_kind"),
    [
        pytest.param("503 page", "reset", marks=pytest.mark.slow),
        pytest.param("hang", "slow drip", marks=pytest.mark.slow),
        pytest.param("quota", "key refused", marks=pytest.mark.slow),
        pytest.param("truncated", "wrong schema", marks=pytest.mark.slow),
    ],
)
async def test_both_are_down(
    install: Install, upstreams: Upstreams, redis: Valkey, tell: Tell, tavily_kind: str, jina_kind: str
) -> None:
    """With both down what was asked within the stale window is answered, and the rest is refused at once."""
    stale = {"AMOS_STALE_IF_ERROR_S": WINDOW_S, "AMOS_STALE_IF_QUOTA_S": WINDOW_S}
    settings = scaled(redis, AMOS_CACHE_TTL_S=TTL_S, AMOS_STALE_WHILE_REVALIDATE_S=0.0, **stale)
    days = CompressedDay(install(**settings), upstreams, redis)
    load = await days.begin(1)
    forgotten, known = load.new(40), load.new(80)
    await load.ask(*forgotten)
    await asyncio.sleep(1.1 * WINDOW_S / FACTOR)
    await load.ask(*known)
    await asyncio.sleep(1.2 * TTL_S / FACTOR)

    for target, kind in zip(PROVIDERS, (tavily_kind, jina_kind), strict=True):
        await days.player.break_(Outage(target, kind, 0.0, FIVE_MINUTES_S))
    asked = [*load.new(80), *forgotten, *known, *known]
    random.Random(1).shuffle(asked)
    later = await load.ask_steadily(asked, FIVE_MINUTES_S / FACTOR)
    for target in PROVIDERS:
        await days.player.mend(target)
    day = await days.end(load)
    tell(f"five minutes without both: {tavily_kind}, {jina_kind}", day)

    assert day.differences == []
    must, others = sorted_by_age(load, later, settings)
    helped = {id(one) for one in day.useful}
    lost = [one for one in must if id(one) not in helped or not one.is_stale]
    assert availability.explained(lost, day.ends) == []
    assert {one.outcome for one in others} == {"503"}
    at_once = [day.ends[one.execution_id] for one in later]
    at_once = [end for end in at_once if end.begun_at > day.open_since + NEWS_S and not end.has_asked]
    refused_s = [end.duration_s for end in at_once if end.outcome == "503"]
    stale_s = [end.duration_s for end in at_once if end.outcome == "stale"]
    assert len(refused_s) > len(others) / 2
    # A machine that takes longer for an answer at rest says nothing about refusals.
    assert max(refused_s) <= max(REFUSED_S_MAX, *stale_s)
    in_vain = [call for calls in day.calls.values() for call in calls if call["fault"] != "none"]
    assert len(in_vain) <= PROBES_MAX


def sorted_by_age(
    load: SteadyLoad, later: list[Asked], settings: Mapping[str, str]
) -> tuple[list[Asked], list[Asked]]:
    """The calls whose old answer was certainly young enough, and those who certainly had none."""
    ttl_s, window_s = float(settings["AMOS_CACHE_TTL_S"]), float(settings["AMOS_STALE_IF_ERROR_S"])
    jitter_s = ttl_s * CachePolicy().jitter_ratio
    first = {one.query: one for one in reversed(load.asked) if one not in later}
    must, none = [], []
    for one in later:
        known = first.get(one.query)
        if known is None or one.at - (known.at + known.duration_s) > ttl_s + jitter_s + window_s:
            none.append(one)
        elif one.at + one.duration_s - known.at < ttl_s - jitter_s + window_s:
            must.append(one)
    return must, none
