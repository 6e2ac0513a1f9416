"""Every figure of every report, counted from the rows of `frames` in the simplest way there is.

Nothing of the projections and reports is used here, on purpose: plain dicts from the bare driver and json,
one loop a figure, after the definitions in docs/reports.md. Where this and AMOS differ one of them is wrong.

    facts = facts_of(server.frames())
    assert report == naive_fold.health(facts, by="hour")

A fact is one event as it is written in JSON, and with it `kind` (its type without prefix and version), `at`
and `stream`. Groups of time are those of UTC.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Fact = dict[str, Any]

CALLERS_OWN = (
    *("caller_error", "invalid_request", "unauthenticated", "permission_denied", "rate_limited"),
    *("budget_exhausted", "not_in_cache", "not_found", "cancelled"),
)
"""Failures that say nothing about the gateway, as docs/reports.md lists them."""

TIMES_S = {"minute": 60, "hour": 3_600, "day": 86_400}

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


def value_of(fact: Fact, by: str) -> Any:
    """What a fact is grouped under: the beginning of a stretch of time, or a field that may be left out."""
    if by in TIMES_S:
        return int(fact["at"] // TIMES_S[by] * TIMES_S[by])
    return fact.get(by, "")


def groups_of(facts: Iterable[Fact], by: str) -> dict[Any, list[Fact]]:
    """The facts by what they are grouped under, in its order; no groups without `by`."""
    groups: dict[Any, list[Fact]] = {}
    if by:
        for fact in facts:
            groups.setdefault(value_of(fact, by), []).append(fact)
    return dict(sorted(groups.items()))


# --- health -------------------------------------------------------------------------------------------------

ENDS = ("request.completed", "request.failed")
"""The last words of an execution."""

ABOUT_PROVIDERS = (
    *("attempt.succeeded", "attempt.failed", "provider.skipped"),
    *("circuit.opened", "circuit.half_opened", "circuit.closed"),
)


def health(facts: Sequence[Fact], by: str = "") -> dict[str, Any]:
    """The health report, counted."""
    requests = _requests(facts)
    refused: Counter[str] = Counter()
    for fact in of(facts, "caller.refused"):
        refused[fact["reason"]] += fact["count"]
    names = {fact["provider"] for fact in of(facts, *ABOUT_PROVIDERS)}
    return {
        "by": by,
        "availability": requests.pop("availability"),
        "requests": requests,
        "refused": dict(refused),
        "providers": [_health_of_provider(name, facts) for name in sorted(names)],
        "rows": [
            {by: value, **_requests(found)}
            for value, found in groups_of(of(facts, *ENDS, "caller.refused"), by).items()
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


def hit_rate(facts: Sequence[Fact], by: str = "") -> dict[str, Any]:
    """The hit rate report, counted."""
    answered = of(facts, "request.completed")
    return {
        "by": by,
        **_ways(answered),
        "rows": [{by: value, **_ways(found)} for value, found in groups_of(answered, by).items()],
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


def cost(facts: Sequence[Fact], by: str = "") -> dict[str, Any]:
    """The cost report, counted: bills, estimates whose bill never came, and savings, each on a line."""
    lines = bill_lines(facts)
    return {
        "by": by,
        **_sums(lines),
        "rows": [{by: value, **_sums(found)} for value, found in groups_of(lines, by).items()],
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
    amounts: dict[tuple[str, str], dict[str, float]] = {}
    for line in lines:
        bill = line.get("bill", {})
        if bill.get("unit") and bill.get("amount"):
            none = {"spent": 0.0, "assumed": 0.0, "saved": 0.0}
            amounts.setdefault((line["provider"], bill["unit"]), none)[line["what"]] += bill["amount"]
    return {
        "calls": sum(line["what"] == "calls" for line in lines),
        **{
            f"{what}_usd_micros": sum(micros(line, "bill") for line in lines if line["what"] == what)
            for what in ("spent", "assumed", "saved")
        },
        "units": [
            {"provider": provider, "unit": unit, **{what: round(sum_, 6) for what, sum_ in found.items()}}
            for (provider, unit), found in sorted(amounts.items())
        ],
    }


# --- latency ------------------------------------------------------------------------------------------------


def latency(facts: Sequence[Fact], by: str = "") -> list[dict[str, Any]]:
    """The lines of the latency report, each with the exact durations in `durations`, sorted.

    By client only whole stays are told apart.
    """
    timed = durations(facts)
    if by == "client":
        timed = [one for one in timed if one["stage"] in ("hit", "collapsed", "miss", "failed")]
    groups: dict[tuple[str, Any], list[float]] = {}
    for one in timed:
        value = value_of(one, by) if by else ""
        groups.setdefault((one["stage"], value), []).append(one["s"])
    return [
        {"stage": stage, **({by: value} if by else {}), "durations": sorted(found)}
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


def check_latency(line: dict[str, Any], found_s: Sequence[float]) -> None:
    """Count and mean to the digit; quantiles by nearest rank and the longest within what buckets cost."""
    found_s = sorted(min(max(one, SHORTEST_S), LONGEST_S) for one in found_s)
    assert line["calls"] == len(found_s)
    for name, quantile in QUANTILES.items():
        exact_s = found_s[max(math.ceil(quantile * len(found_s)), 1) - 1]
        assert abs(line[name] - exact_s) <= 0.011 * exact_s, (line, name, exact_s)
    assert found_s[-1] <= line["max_s"] * 1.000001 <= found_s[-1] * 1.0225


Naive = Callable[..., dict[str, Any]]

REPORTS: dict[str, Naive] = {"health": health, "hit-rate": hit_rate, "cost": cost}
"""Reports that must equal their fold to the digit."""
