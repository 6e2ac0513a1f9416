"""Every report, counted from facts in the simplest way there is (see naive_fold.py).

naive_reports.check("health", report, facts)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.support.naive_fold import (
    CALLERS_OWN,
    OUTCOMES,
    Fact,
    Question,
    bill_lines,
    durations,
    micros,
    of,
    share,
)

ENDS = ("request.completed", "request.failed")
"""The last words of an execution."""

CIRCUIT = ("circuit.opened", "circuit.half_opened", "circuit.closed")

WAYS = ("l1", "l2", "collapsed", "mixed", "miss")

QUANTILES = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95, "p99_s": 0.99}

SHORTEST_S, LONGEST_S = 1e-6, 86_400.0
"""Durations beyond these count as these where buckets are told."""

STAYS = ("hit", "stale", "collapsed", "miss", "relayed", "failed")
"""Stages that are the whole stay of a call."""

Figures = dict[str, Any]


class Between:
    """Equal to every number from `low` to `high`: what buckets can tell of an exact figure."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and self._low <= other <= self._high

    def __hash__(self) -> int:
        return hash((self._low, self._high))

    def __repr__(self) -> str:
        return f"{self._low}..{self._high}"


# --- health -------------------------------------------------------------------------------------------------


def health(facts: Sequence[Fact], asked: Question) -> Figures:
    """The health report."""
    facts = asked.within(facts)
    requests = _requests(facts)
    return {
        "by": asked.by,
        "availability": requests.pop("availability"),
        "requests": requests,
        "refused": tally(of(facts, "caller.refused"), "reason", "count"),
        "providers": [
            {
                "provider": name,
                **calls(own),
                "failures": [
                    {"outcome": outcome, "reason": reason, "calls": count}
                    for (outcome, reason), count in sorted(_failures(own).items())
                ],
                "circuit": circuit(own),
            }
            for name, own in by_provider(facts).items()
            if of(own, *OUTCOMES, "provider.skipped", *CIRCUIT)
        ],
        "rows": [
            {asked.by: value, **_requests(found)}
            for value, found in asked.groups(of(facts, *ENDS, "caller.refused")).items()
        ],
    }


def _requests(facts: Sequence[Fact]) -> Figures:
    answered, failed = of(facts, "request.completed"), of(facts, "request.failed")
    degraded = marked(answered, "degraded")
    callers_own = sum(fact["error"] in CALLERS_OWN for fact in failed)
    return {
        "availability": share(len(answered) - degraded, len(answered) + len(failed) - callers_own),
        "total": len(answered) + len(failed),
        "answered": len(answered),
        "useful": len(answered) - degraded,
        "failed": len(failed),
        "callers_own": callers_own,
        "degraded": degraded,
        "fallback": marked(answered, "fallback"),
        "stale": marked(answered, "stale"),
        "empty": sum(fact["results"] == 0 for fact in answered),
        "errors": tally(failed, "error"),
    }


def marked(facts: Iterable[Fact], mark: str) -> int:
    """How many have the mark."""
    return sum(fact.get(mark, False) for fact in facts)


def tally(facts: Iterable[Fact], field: str, count: str = "") -> dict[str, int]:
    """The sums of `count`, or the number of facts, by the values of a field."""
    sums: Counter[str] = Counter()
    for fact in facts:
        sums[fact[field]] += fact[count] if count else 1
    return dict(sums)


def by_provider(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    """The facts that name a provider, by it."""
    return Question("provider").groups(fact for fact in facts if "provider" in fact)


def calls(own: Sequence[Fact]) -> Figures:
    """How the attempts at a provider ended."""
    succeeded, failed = of(own, "attempt.succeeded"), of(own, "attempt.failed")
    empty = sum(fact["results"] == 0 for fact in succeeded)
    excused = sum(fact["outcome"] in ("ignorable", "invalid") for fact in failed)
    calls = len(succeeded) + len(failed)
    return {
        "calls": calls,
        "success": len(succeeded) - empty,
        "empty": empty,
        "failed": len(failed) - excused,
        "skipped": len(of(own, "provider.skipped")),
        "success_ratio": share(len(succeeded), calls - excused),
    }


def _failures(own: Sequence[Fact]) -> Counter[tuple[str, str]]:
    failures = Counter((fact["outcome"], fact["reason"]) for fact in of(own, "attempt.failed"))
    failures.update(("skipped", fact["reason"]) for fact in of(own, "provider.skipped"))
    return failures


def circuit(own: Sequence[Fact]) -> dict[str, int]:
    """How often a circuit changed, by what it became."""
    return dict(Counter(fact["kind"].partition(".")[2] for fact in of(own, *CIRCUIT)))


# --- hit rate -----------------------------------------------------------------------------------------------


def hit_rate(facts: Sequence[Fact], asked: Question) -> Figures:
    """The hit rate report."""
    answered = [fact for fact in of(asked.within(facts), "request.completed") if fact["cache"] != "relayed"]
    return {
        "by": asked.by,
        **ways(answered),
        "rows": [{asked.by: value, **ways(found)} for value, found in asked.groups(answered).items()],
    }


def ways(answered: Sequence[Fact]) -> Figures:
    """How the cache has served the answers."""
    count = Counter(fact["cache"] for fact in answered)
    hits = count["l1"] + count["l2"]
    fresh = [fact for fact in answered if fact["cache"] in ("l1", "l2") and not fact.get("stale")]
    return {
        "answered": len(answered),
        "hits": hits,
        "hit_ratio": share(hits, len(answered)),
        "fresh_hit_ratio": share(len(fresh), len(answered)),
        "collapsed_ratio": share(count["collapsed"], len(answered)),
        **{way: count[way] for way in WAYS},
        "stale": marked(answered, "stale"),
        "results": sum(fact["results"] for fact in answered),
    }


# --- cost ---------------------------------------------------------------------------------------------------


def cost(facts: Sequence[Fact], asked: Question) -> Figures:
    """The cost report: bills, estimates whose bill never came, and savings."""
    lines = asked.within(bill_lines(facts))
    return {
        "by": asked.by,
        **_bill(lines),
        "rows": [{asked.by: value, **_bill(found)} for value, found in asked.groups(lines).items()],
    }


def _bill(lines: Sequence[Fact]) -> Figures:
    amounts: dict[tuple[str, str], dict[str, int]] = {}
    for line in lines:
        bill = line.get("bill", {})
        if bill.get("unit") and bill.get("amount"):
            none = {"spent": 0, "assumed": 0, "saved": 0}
            millionths = round(bill["amount"] * 1_000_000)
            amounts.setdefault((line["provider"], bill["unit"]), none)[line["what"]] += millionths
    return {
        "calls": sum(line["what"] == "calls" for line in lines),
        **money(lines),
        "units": [
            {"provider": provider, "unit": unit, **{what: sum_ / 1_000_000 for what, sum_ in found.items()}}
            for (provider, unit), found in sorted(amounts.items())
        ],
    }


def money(lines: Iterable[Fact], *what: str) -> Figures:
    """The sums of lines of these kinds, in millionths of a US dollar."""
    sums = Counter({f"{one}_usd_micros": 0 for one in what or ("spent", "assumed", "saved")})
    for line in lines:
        if f"{line['what']}_usd_micros" in sums:
            sums[f"{line['what']}_usd_micros"] += micros(line, "bill")
    return dict(sums)


# --- latency ------------------------------------------------------------------------------------------------


def latency(facts: Sequence[Fact], asked: Question) -> Figures:
    """The latency report. By client only whole stays are told apart."""
    timed = durations(asked.within(facts))
    stages = sorted({one["stage"] for one in timed})
    of_stage = {stage: [one for one in timed if one["stage"] == stage] for stage in stages}
    return {
        "by": asked.by,
        "stages": [{"stage": stage, **_times(found)} for stage, found in of_stage.items()],
        "rows": [
            {asked.by: value, "stage": stage, **_times(found)}
            for stage in stages
            if asked.by != "client" or stage in STAYS
            for value, found in asked.groups(of_stage[stage]).items()
        ],
    }


def _times(timed: Sequence[Fact]) -> Figures:
    longest_s = max(_clamped(timed))
    return {
        "calls": len(timed),
        "mean_s": mean_s(timed),
        **{name: quantile(timed, part) for name, part in QUANTILES.items()},
        "max_s": Between(longest_s / 1.000001, longest_s * 1.0225),
    }


def mean_s(timed: Sequence[Fact]) -> float | None:
    """Exact to the microsecond of each."""
    return sum(round(one["s"] * 1_000_000) for one in timed) / len(timed) / 1_000_000 if timed else None


def quantile(timed: Sequence[Fact], part: float) -> Between | None:
    """By nearest rank, and as near as buckets tell it: 1.1 %."""
    if not timed:
        return None
    exact_s = sorted(_clamped(timed))[max(math.ceil(part * len(timed)), 1) - 1]
    return Between(exact_s * 0.989, exact_s * 1.011)


def _clamped(timed: Sequence[Fact]) -> list[float]:
    return [min(max(one["s"], SHORTEST_S), LONGEST_S) for one in timed]
