"""The three reports equal a fold by hand over the raw frames, done here in the simplest way there is.

Nothing of the projections is used: the rows of `frames` are read with the bare driver and json, and counted.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from orchestrator.filters.circuit_breaker import CircuitPolicy
from orchestrator.pipeline import Policies
from tests.support.gateway_server import GatewayServer, serving
from tests.support.jina_simulator import JinaSimulator
from tests.support.postgres import shared_postgres
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

Event = dict[str, Any]

CALLERS_OWN = ("invalid_request", "not_in_cache", "cancelled", "rate_limited", "unauthenticated")
"""Failures that say nothing about the gateway, as docs/events.md lists them; those that can occur here."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def amos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayServer]:
    """A gateway that has lived through some of everything, all of it in SQL; the tests only read."""
    tmp_path = tmp_path_factory.mktemp("amos")
    handbook = tmp_path / "handbook"
    handbook.mkdir()
    (handbook / "tides.md").write_text("# Tide tables\n\nHigh water at the harbour museum is at 06:40.\n")
    is_server = request.param == "postgresql"
    fields = {"database_url": shared_postgres().new_database(), "key_pepper": "p" * 32} if is_server else {}
    async with (
        TavilySimulator() as tavily,
        JinaSimulator() as jina,
        serving(
            tmp_path / "var",
            **fields,
            tavily=tavily,
            jina=jina,
            local_paths=(handbook,),
            policies=Policies(deadline_s=2.0, circuit=CircuitPolicy(cooldown_s=0.2)),
        ) as running,
    ):
        await live_through_it(running, tavily, jina)
        await running.drain()
        yield running


async def live_through_it(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator) -> None:
    """Misses, hits, joins, fallbacks, empties, the floor, failures, strangers, circuits and pages."""
    tavily.delay_s = 0.5  # longer than seven calls need to arrive on the busiest machine
    await asyncio.gather(*(amos.search("everybody at once", search_depth="advanced") for _ in range(7)))
    tavily.delay_s = jina.delay_s = 0.02
    for n in range(6):
        await amos.search(f"harbour {n}", topic="news" if n % 2 else "general")
    for n in range(9):
        await amos.search(f"Harbour  {n % 6}", topic="news" if n % 2 else "general")
    tavily.script(Fault.empty())
    await amos.search("jina finds more")
    tavily.script(Fault.empty())
    jina.script(Fault.empty())
    await amos.search("nobody finds it")
    tavily.script(Fault.hang())
    await amos.search("tavily is silent")
    pages = [f"https://almanac.example/{name}" for name in ("a", "b", "gone")]
    await amos.extract(pages)
    await amos.extract(pages[:2])
    await amos.extract([pages[0], "https://almanac.example/c"])
    await amos.search("x")
    await amos.search("y" * 401)
    await amos.search("not cached", {"Cache-Control": "only-if-cached"})
    for _ in range(5):
        await amos.search("a stranger", {"Via": "1.1 proxy.example"})
    tavily.always(Fault.status(500))
    for n in range(8):
        await amos.search(f"tavily is down {n}")
    jina.always(Fault.status(503))
    for n in range(8):
        await amos.search(f"tide tables {n}")
    await amos.extract(["https://almanac.example/nobody-reads-this"])
    tavily.recover()
    jina.recover()
    await asyncio.sleep(0.25)
    await amos.search("back again")
    await asyncio.sleep(1.1)  # strangers are counted by the second


async def report(amos: GatewayServer, name: str, **parameters: str) -> dict[str, Any]:
    """A report over HTTP, without the window it names."""
    response = await amos.client.get(f"/reports/{name}", params={"since": "1h", **parameters})
    assert response.status_code == 200, response.text
    return {key: value for key, value in response.json().items() if key not in ("since", "until")}


def raw_events(amos: GatewayServer) -> list[Event]:
    """All events of all frames, oldest frame first."""
    return [envelope["event"] for frame in amos.frames() for envelope in frame["events"]]


def executions(amos: GatewayServer) -> list[list[Event]]:
    """The events of each execution."""
    streams: dict[str, list[Event]] = {}
    for frame in amos.frames():
        events = (envelope["event"] for envelope in frame["events"])
        streams.setdefault(frame["stream"], []).extend(events)
    return [events for events in streams.values() if kind(events[0]) == "request.received"]


def kind(event: Event) -> str:
    """The type of an event without prefix and version."""
    return str(event["type"]).removeprefix("amos.").rpartition(".")[0]


def of(events: Iterable[Event], *kinds: str) -> list[Event]:
    """The events of these types."""
    return [event for event in events if kind(event) in kinds]


def micros(event: Event, field: str) -> int:
    """The money in a cost field; a free cost is not written at all."""
    return int(event.get(field, {}).get("usd_micros", 0))


def share(part: int, whole: int) -> float | None:
    """A ratio; `None` of nothing."""
    return part / whole if whole else None


# --- health -------------------------------------------------------------------------------------------------


def health_by_hand(events: Sequence[Event]) -> dict[str, Any]:
    """The health report, counted."""
    answered, failed = of(events, "request.completed"), of(events, "request.failed")
    degraded = sum(event.get("degraded", False) for event in answered)
    errors = Counter(event["error"] for event in failed)
    callers_own = sum(errors[code] for code in CALLERS_OWN)
    refused: Counter[str] = Counter()
    for event in of(events, "caller.refused"):
        refused[event["reason"]] += event["count"]
    names = {event["provider"] for event in of(events, *PROVIDER_KINDS)}
    return {
        "availability": share(len(answered) - degraded, len(answered) + len(failed) - callers_own),
        "requests": {
            "total": len(answered) + len(failed),
            "answered": len(answered),
            "useful": len(answered) - degraded,
            "failed": len(failed),
            "callers_own": callers_own,
            "degraded": degraded,
            "fallback": sum(event.get("fallback", False) for event in answered),
            "stale": sum(event.get("stale", False) for event in answered),
            "empty": sum(event["results"] == 0 for event in answered),
            "errors": dict(errors),
        },
        "refused": dict(refused),
        "providers": [provider_by_hand(name, events) for name in sorted(names)],
    }


PROVIDER_KINDS = (
    "attempt.succeeded",
    "attempt.failed",
    "provider.skipped",
    "circuit.opened",
    "circuit.half_opened",
    "circuit.closed",
)


def provider_by_hand(name: str, events: Sequence[Event]) -> dict[str, Any]:
    """One provider's part of the health report, counted."""
    own = [event for event in events if event.get("provider") == name]
    succeeded, failed = of(own, "attempt.succeeded"), of(own, "attempt.failed")
    skipped = of(own, "provider.skipped")
    empty = sum(event["results"] == 0 for event in succeeded)
    excused = sum(event["outcome"] in ("ignorable", "invalid") for event in failed)
    calls = len(succeeded) + len(failed)
    failures = Counter((event["outcome"], event["reason"]) for event in failed)
    failures.update(("skipped", event["reason"]) for event in skipped)
    circuit = Counter(kind(event).partition(".")[2] for event in own if kind(event).startswith("circuit."))
    return {
        "provider": name,
        "calls": calls,
        "success": len(succeeded) - empty,
        "empty": empty,
        "failed": len(failed) - excused,
        "skipped": len(skipped),
        "success_ratio": share(len(succeeded), calls - excused),
        "failures": [
            {"outcome": outcome, "reason": reason, "calls": count}
            for (outcome, reason), count in sorted(failures.items())
        ],
        "circuit": dict(circuit),
    }


async def test_health_equals_the_fold_by_hand(amos: GatewayServer):
    """The health report says exactly what the frames say, and the frames have some of everything."""
    by_hand = health_by_hand(raw_events(amos))

    assert await report(amos, "health") == by_hand
    assert by_hand["requests"]["degraded"] >= 8
    assert by_hand["requests"]["empty"] >= 1
    assert by_hand["refused"] == {"proxied": 5}
    assert set(by_hand["requests"]["errors"]) == {
        "invalid_request",
        "not_in_cache",
        "all_providers_failed",
    }
    tavily = next(one for one in by_hand["providers"] if one["provider"] == "tavily")
    assert set(tavily["circuit"]) == {"opened", "half_opened", "closed"}
    assert all(tavily[name] for name in ("success", "empty", "failed", "skipped"))


# --- hit rate -----------------------------------------------------------------------------------------------


def hit_rate_by_hand(calls: Sequence[Sequence[Event]], attempts: Sequence[Event]) -> dict[str, Any]:
    """The figures of the hit rate report for these answered calls and these attempts, counted."""
    events = [event for call in calls for event in call]
    answered = of(events, "request.completed")
    ways = Counter(event["cache"] for event in answered)
    hits = ways["l1"] + ways["l2"]
    return {
        "answered": len(answered),
        "hits": hits,
        "hit_ratio": share(hits, len(answered)),
        "collapsed_ratio": share(ways["collapsed"], len(answered)),
        **{way: ways[way] for way in ("l1", "l2", "collapsed", "mixed", "miss")},
        "stale": sum(event.get("stale", False) for event in answered),
        "results": sum(event["results"] for event in answered),
        "saved_usd_micros": sum(micros(event, "saved") for event in of(events, "cache.hit")),
        "cost_usd_micros": sum(micros(event, "cost") for event in attempts),
        "assumed_usd_micros": sum(micros(event, "assumed") for event in attempts),
    }


BILLED = ("attempt.succeeded", "attempt.failed")
"""The events that cost."""


def bills(amos: GatewayServer, by: str) -> list[tuple[str, Event]]:
    """Every attempt that cost or may have cost something, with what it is grouped under.

    That is its own provider, `miss` (no cache ever spent anything), or what its execution's last word says.
    """
    found = []
    for events in executions(amos):
        (end,) = of(events, "request.completed", "request.failed")
        for attempt in of(events, *BILLED):
            own = {"provider": attempt["provider"], "cache": "miss"}
            if "cost" in attempt or "assumed" in attempt:
                found.append((own.get(by, end.get(by, "")), attempt))
    return found


def answered_only(amos: GatewayServer) -> list[list[Event]]:
    """The executions that were answered."""
    return [events for events in executions(amos) if of(events, "request.completed")]


async def test_hit_rate_equals_the_fold_by_hand(amos: GatewayServer):
    """Hits, joins, results, and the money saved and spent are exactly what the frames say."""
    by_hand = hit_rate_by_hand(answered_only(amos), of(raw_events(amos), *BILLED))
    whole = await report(amos, "hit-rate")

    assert whole == {"by": "", **by_hand, "rows": []}
    assert by_hand["l1"] >= 10
    assert by_hand["collapsed"] == 6
    assert by_hand["mixed"] == 1
    assert by_hand["saved_usd_micros"] > 0
    assert by_hand["cost_usd_micros"] > 0
    assert by_hand["assumed_usd_micros"] > 0


@pytest.mark.parametrize("by", ["operation", "client", "topic", "provider", "cache"])
async def test_hit_rate_by_any_dimension_equals_the_fold_by_hand(amos: GatewayServer, by: str):
    """Grouped, the report has one row for each value found in the frames, and each row is right."""
    groups: dict[str, tuple[list[Sequence[Event]], list[Event]]] = {}
    for events in answered_only(amos):
        groups.setdefault(of(events, "request.completed")[0].get(by, ""), ([], []))[0].append(events)
    for value, attempt in bills(amos, by):
        groups.setdefault(value, ([], []))[1].append(attempt)

    rows = (await report(amos, "hit-rate", by=by))["rows"]

    assert rows == [{by: value, **hit_rate_by_hand(*groups[value])} for value in sorted(groups)]


# --- latency ------------------------------------------------------------------------------------------------


def durations(events: Sequence[Event]) -> dict[str, list[float]]:
    """The durations of every stage, as docs/events.md defines them."""
    stages: dict[str, list[float]] = {
        name: [] for name in ("hit", "collapsed", "miss", "upstream", "added", "failed", "attempt")
    }
    for event in of(events, "request.completed"):
        stay_s, upstream_s = event["duration_s"], event.get("upstream_s", 0.0)
        if event["cache"] in ("l1", "l2"):
            stages["hit"].append(stay_s)
        elif event["cache"] == "collapsed":
            stages["collapsed"].append(stay_s)
        else:
            stages["miss"].append(stay_s)
            stages["upstream"].append(upstream_s)
            stages["added"].append(max(stay_s - upstream_s, 0.0))
    stages["failed"] = [event["duration_s"] for event in of(events, "request.failed")]
    stages["attempt"] = [event["duration_s"] for event in of(events, "attempt.succeeded", "attempt.failed")]
    return {name: found for name, found in stages.items() if found}


def check_latency(row: dict[str, Any], found_s: Sequence[float]) -> None:
    """Count and mean to the digit, quantiles by nearest rank within the 1.1 % that buckets cost."""
    found_s = sorted(min(max(one, 1e-6), 86_400.0) for one in found_s)
    assert row["calls"] == len(found_s)
    for name, quantile in (("p50_s", 0.5), ("p90_s", 0.9), ("p95_s", 0.95), ("p99_s", 0.99)):
        exact_s = found_s[max(math.ceil(quantile * len(found_s)), 1) - 1]
        assert row[name] == pytest.approx(exact_s, rel=0.011)
    assert found_s[-1] <= row["max_s"] * 1.000001 <= found_s[-1] * 1.0225


async def test_latency_equals_the_fold_by_hand(amos: GatewayServer):
    """Every stage has the calls, the mean and the quantiles of the durations in the frames."""
    by_hand = durations(raw_events(amos))
    stages = {row["stage"]: row for row in (await report(amos, "latency"))["stages"]}

    assert set(stages) == set(by_hand)
    assert len(by_hand) == 7
    for stage, found_s in by_hand.items():
        mean_s = sum(round(one * 1_000_000) for one in found_s) / len(found_s) / 1_000_000
        assert stages[stage]["mean_s"] == mean_s
        check_latency(stages[stage], found_s)


@pytest.mark.parametrize("by", ["operation", "client"])
async def test_latency_by_any_dimension_equals_the_fold_by_hand(amos: GatewayServer, by: str):
    """Grouped, calls are counted under the values found in the frames."""
    rows = (await report(amos, "latency", by=by))["rows"]

    ends = of(raw_events(amos), "request.completed", "request.failed")
    values = {event.get(by, "") for event in ends}
    for value in values:
        own = durations([event for event in ends if event.get(by, "") == value])
        for stage, found_s in own.items():
            check_latency(next(r for r in rows if (r[by], r["stage"]) == (value, stage)), found_s)


# --- the window ---------------------------------------------------------------------------------------------


def numbers(value: Any) -> list[float]:
    """All numbers anywhere in a report."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for one in inner for number in numbers(one)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("name", ["health", "hit-rate", "latency"])
async def test_an_empty_window_is_a_report_of_nothing(amos: GatewayServer, name: str):
    """Yesterday nothing happened, and the report says so without dividing by it."""
    empty = await report(amos, name, since="3h", until="2h")

    assert set(numbers(empty)) <= {0}


async def test_bad_parameters_of_a_report_are_refused(amos: GatewayServer):
    """An unknown report is 404; a wrong window or grouping 400 as problem details that name it."""
    unknown = await amos.client.get("/reports/weather")
    wrong = [
        await amos.client.get(f"/reports/{query}")
        for query in (
            "hit-rate?by=weather",
            "latency?since=yesterdayish",
            "health?since=1h&until=2h",
            "health?by=client",
        )
    ]

    assert unknown.status_code == 404
    for response in wrong:
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["detail"]
