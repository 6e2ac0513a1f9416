"""Every figure of every report, counted from the rows of `frames` in the simplest way there is.

Nothing of the projections and reports is used here, on purpose: plain dicts from the bare driver and json,
one loop a figure, after the definitions in docs/reports.md. Where this and AMOS differ one of them is wrong.

    facts = facts_of(server.frames())
    naive_fold.check("health", report, facts, naive_fold.Question(by="hour"))

A fact is one event as it is written in JSON, and with it `kind` (its type without prefix and version), `at`
and `stream`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Fact = dict[str, Any]

CALLERS_OWN = (
    *("caller_error", "invalid_request", "unauthenticated", "permission_denied", "rate_limited"),
    *("budget_exhausted", "not_in_cache", "not_found", "cancelled"),
)
"""Failures that say nothing about the gateway, as docs/reports.md lists them."""

TIMES = ("minute", "hour", "day")

QUANTILES = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95, "p99_s": 0.99}

SHORTEST_S, LONGEST_S = 1e-6, 86_400.0
"""Durations beyond these count as these."""


def facts_of(rows: Iterable[dict[str, Any]]) -> list[Fact]:
    """The facts of rows of `frames` whose `events` are decoded, in their order."""
    return [
        {
            **envelope["event"],
            "kind": kind_of(envelope["event"]["type"]),
            "at": envelope["at"],
            "stream": row["stream"],
        }
        for row in rows
        for envelope in row["events"]
    ]


def kind_of(type_name: str) -> str:
    """The type of an event without prefix and version."""
    return type_name.removeprefix("amos.").rpartition(".")[0]


def of(facts: Iterable[Fact], *kinds: str) -> list[Fact]:
    """The facts of these kinds."""
    return [fact for fact in facts if fact["kind"] in kinds]


def streams(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    """The facts of each execution by its id, in their order."""
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        found.setdefault(fact["stream"], []).append(fact)
    return {stream: own for stream, own in found.items() if own[0]["kind"] == "request.received"}


def micros(fact: Fact, field: str) -> int:
    """The money in a cost field; what is free is not written at all."""
    return int(fact.get(field, {}).get("usd_micros", 0))


def share(part: int, whole: int) -> float | None:
    """A ratio; `None` of nothing."""
    return part / whole if whole else None


class Question(NamedTuple):
    """What is asked: a window of epoch seconds, how to group, and the zone whose days and hours these are."""

    by: str = ""
    since: float = 0.0
    until: float = math.inf
    zone: str = "UTC"

    def within(self, facts: Iterable[Fact]) -> list[Fact]:
        """What happened in the window."""
        return [fact for fact in facts if self.since <= fact["at"] < self.until]

    def value_of(self, fact: Fact) -> Any:
        """What a fact is grouped under: the beginning of a stretch of time, or a field that may be absent."""
        if self.by not in TIMES:
            return fact.get(self.by, "")
        local = datetime.fromtimestamp(math.floor(fact["at"]), ZoneInfo(self.zone))
        since_midnight = {"hour": 0} if self.by == "day" else {}
        since_hour = {"minute": 0} if self.by != "minute" else {}
        return int(local.replace(second=0, **since_hour, **since_midnight).timestamp())

    def groups(self, facts: Iterable[Fact]) -> dict[Any, list[Fact]]:
        """The facts by what they are grouped under, in its order; no groups without `by`."""
        groups: dict[Any, list[Fact]] = {}
        if self.by:
            for fact in facts:
                groups.setdefault(self.value_of(fact), []).append(fact)
        return dict(sorted(groups.items()))


EVERYTHING = Question()


# --- health -------------------------------------------------------------------------------------------------

ENDS = ("request.completed", "request.failed")
"""The last words of an execution."""

ABOUT_PROVIDERS = (
    *("attempt.succeeded", "attempt.failed", "provider.skipped"),
    *("circuit.opened", "circuit.half_opened", "circuit.closed"),
)


def health(facts: Sequence[Fact], asked: Question) -> dict[str, Any]:
    """The health report, counted."""
    facts = asked.within(facts)
    requests = _requests(facts)
    refused: Counter[str] = Counter()
    for fact in of(facts, "caller.refused"):
        refused[fact["reason"]] += fact["count"]
    names = {fact["provider"] for fact in of(facts, *ABOUT_PROVIDERS)}
    return {
        "by": asked.by,
        "availability": requests.pop("availability"),
        "requests": requests,
        "refused": dict(refused),
        "providers": [_health_of_provider(name, facts) for name in sorted(names)],
        "rows": [
            {asked.by: value, **_requests(found)}
            for value, found in asked.groups(of(facts, *ENDS, "caller.refused")).items()
        ],
    }


def _requests(facts: Sequence[Fact]) -> dict[str, Any]:
    answered, failed = of(facts, "request.completed"), of(facts, "request.failed")
    degraded = sum(fact.get("degraded", False) for fact in answered)
    errors = Counter(fact["error"] for fact in failed)
    callers_own = sum(errors[code] for code in CALLERS_OWN)
    return {
        "availability": share(len(answered) - degraded, len(answered) + len(failed) - callers_own),
        "total": len(answered) + len(failed),
        "answered": len(answered),
        "useful": len(answered) - degraded,
        "failed": len(failed),
        "callers_own": callers_own,
        "degraded": degraded,
        "fallback": sum(fact.get("fallback", False) for fact in answered),
        "stale": sum(fact.get("stale", False) for fact in answered),
        "empty": sum(fact["results"] == 0 for fact in answered),
        "errors": {code: count for code, count in errors.items() if count},
    }


def _health_of_provider(name: str, facts: Sequence[Fact]) -> dict[str, Any]:
    own = [fact for fact in facts if fact.get("provider") == name]
    succeeded, failed = of(own, "attempt.succeeded"), of(own, "attempt.failed")
    skipped = of(own, "provider.skipped")
    empty = sum(fact["results"] == 0 for fact in succeeded)
    excused = sum(fact["outcome"] in ("ignorable", "invalid") for fact in failed)
    calls = len(succeeded) + len(failed)
    failures = Counter((fact["outcome"], fact["reason"]) for fact in failed)
    failures.update(("skipped", fact["reason"]) for fact in skipped)
    circuit = Counter(fact["kind"].partition(".")[2] for fact in own if fact["kind"].startswith("circuit."))
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


# --- hit rate -----------------------------------------------------------------------------------------------

WAYS = ("l1", "l2", "collapsed", "mixed", "miss")


def hit_rate(facts: Sequence[Fact], asked: Question) -> dict[str, Any]:
    """The hit rate report, counted."""
    answered = of(asked.within(facts), "request.completed")
    return {
        "by": asked.by,
        **_ways(answered),
        "rows": [{asked.by: value, **_ways(found)} for value, found in asked.groups(answered).items()],
    }


def _ways(answered: Sequence[Fact]) -> dict[str, Any]:
    ways = Counter(fact["cache"] for fact in answered)
    hits = ways["l1"] + ways["l2"]
    return {
        "answered": len(answered),
        "hits": hits,
        "hit_ratio": share(hits, len(answered)),
        "collapsed_ratio": share(ways["collapsed"], len(answered)),
        **{way: ways[way] for way in WAYS},
        "stale": sum(fact.get("stale", False) for fact in answered),
        "results": sum(fact["results"] for fact in answered),
    }


# --- cost ---------------------------------------------------------------------------------------------------

OUTCOMES = ("attempt.succeeded", "attempt.failed")


def cost(facts: Sequence[Fact], asked: Question) -> dict[str, Any]:
    """The cost report, counted: bills, estimates whose bill never came, and savings, each on a line."""
    lines = asked.within(bill_lines(facts))
    return {
        "by": asked.by,
        **_sums(lines),
        "rows": [{asked.by: value, **_sums(found)} for value, found in asked.groups(lines).items()],
    }


def bill_lines(facts: Sequence[Fact]) -> list[Fact]:
    """One line for each amount: `what` it is (`spent`, `assumed`, `saved` or `calls`, which has none).

    An intent is settled by the outcome of the same attempt; one without is assumed, when it was recorded.
    """
    lines = []
    settled = {_attempt(fact) for fact in of(facts, *OUTCOMES)}
    for fact in facts:
        if fact["kind"] in OUTCOMES:
            lines.append({**fact, "what": "calls"})
            lines += [{**fact, "what": "spent", "bill": fact["cost"]}] if "cost" in fact else []
            lines += [{**fact, "what": "assumed", "bill": fact["assumed"]}] if "assumed" in fact else []
        elif fact["kind"] == "attempt.started" and "estimate" in fact and _attempt(fact) not in settled:
            lines.append({**fact, "what": "assumed", "bill": fact["estimate"]})
        elif fact["kind"] == "request.completed" and "saved" in fact:
            lines.append({**fact, "what": "saved", "bill": fact["saved"]})
    return lines


def _attempt(fact: Fact) -> tuple[str, str, int]:
    return fact["stream"], fact["provider"], fact["number"]


def _sums(lines: Sequence[Fact]) -> dict[str, Any]:
    amounts: dict[tuple[str, str], dict[str, int]] = {}
    for line in lines:
        bill = line.get("bill", {})
        if bill.get("unit") and bill.get("amount"):
            none = {"spent": 0, "assumed": 0, "saved": 0}
            millionths = round(bill["amount"] * 1_000_000)
            amounts.setdefault((line["provider"], bill["unit"]), none)[line["what"]] += millionths
    return {
        "calls": sum(line["what"] == "calls" for line in lines),
        **{
            f"{what}_usd_micros": sum(micros(line, "bill") for line in lines if line["what"] == what)
            for what in ("spent", "assumed", "saved")
        },
        "units": [
            {"provider": provider, "unit": unit, **{what: sum_ / 1_000_000 for what, sum_ in found.items()}}
            for (provider, unit), found in sorted(amounts.items())
        ],
    }


# --- latency ------------------------------------------------------------------------------------------------


def latency(facts: Sequence[Fact], asked: Question) -> list[dict[str, Any]]:
    """The lines of the latency report, each with the exact durations in `durations`, sorted.

    By client only whole stays are told apart.
    """
    timed = durations(asked.within(facts))
    if asked.by == "client":
        timed = [one for one in timed if one["stage"] in ("hit", "collapsed", "miss", "failed")]
    groups: dict[tuple[str, Any], list[float]] = {}
    for one in timed:
        value = asked.value_of(one) if asked.by else ""
        groups.setdefault((one["stage"], value), []).append(one["s"])
    return [
        {"stage": stage, **({asked.by: value} if asked.by else {}), "durations": sorted(found)}
        for (stage, value), found in sorted(groups.items())
    ]


def durations(facts: Iterable[Fact]) -> list[Fact]:
    """Every duration `s` of every `stage`, with the fact it is of, as docs/reports.md defines them."""
    timed = []
    for fact in facts:
        stages: dict[str, float] = {}
        if fact["kind"] == "request.completed":
            stay_s, upstream_s = fact["duration_s"], fact.get("upstream_s", 0.0)
            stage = "hit" if fact["cache"] in ("l1", "l2") else fact["cache"]
            if stage in ("hit", "collapsed"):
                stages = {stage: stay_s}
            else:
                stages = {"miss": stay_s, "upstream": upstream_s, "added": max(stay_s - upstream_s, 0.0)}
        elif fact["kind"] == "request.failed":
            stages = {"failed": fact["duration_s"]}
        elif fact["kind"] in OUTCOMES:
            stages = {"attempt": fact["duration_s"]}
        timed += [{**fact, "stage": stage, "s": s} for stage, s in stages.items()]
    return timed


def mean_s(found_s: Sequence[float]) -> float:
    """The mean of durations in whole microseconds."""
    return sum(round(one * 1_000_000) for one in found_s) / len(found_s) / 1_000_000


def check_latencies(report: dict[str, Any], facts: Sequence[Fact], asked: Question) -> None:
    """The latency report has exactly the lines of the facts, and each says what its durations are."""
    by_hand = latency(facts, asked)
    lines = report["rows" if asked.by else "stages"]
    places = [(line["stage"], line.get(asked.by, "")) for line in lines]
    assert places == [(line["stage"], line.get(asked.by, "")) for line in by_hand]
    for naive, line in zip(by_hand, lines, strict=True):
        check_latency(line, naive["durations"])


def check_latency(line: dict[str, Any], found_s: Sequence[float]) -> None:
    """Calls and mean to the digit; quantiles by nearest rank and the longest within what buckets cost."""
    assert line["mean_s"] == mean_s(found_s)
    found_s = sorted(min(max(one, SHORTEST_S), LONGEST_S) for one in found_s)
    assert line["calls"] == len(found_s)
    for name, quantile in QUANTILES.items():
        exact_s = found_s[max(math.ceil(quantile * len(found_s)), 1) - 1]
        assert abs(line[name] - exact_s) <= 0.011 * exact_s, (line, name, exact_s)
    assert found_s[-1] <= line["max_s"] * 1.000001 <= found_s[-1] * 1.0225


REPORTS: dict[str, Callable[..., Any]] = {
    "health": health,
    "hit-rate": hit_rate,
    "cost": cost,
    "latency": latency,
}
"""Every report, and how it is counted."""


def check(name: str, report: dict[str, Any], facts: Sequence[Fact], asked: Question = EVERYTHING) -> None:
    """Every figure of the report is what is counted here; the window it names is left to the caller."""
    if name == "latency":
        check_latencies(report, facts, asked)
    else:
        figures = {key: value for key, value in report.items() if key not in ("since", "until")}
        assert figures == REPORTS[name](facts, asked)
