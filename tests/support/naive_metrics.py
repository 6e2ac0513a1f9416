"""What `/metrics` must show of given facts, counted in the simplest way there is, as naive_fold.py does.

A sample is its name with the values of its labels; samples of 0 are left out, here and in what is compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families

from tests.support.naive_fold import Fact, bill_lines, durations, micros, of

Sample = tuple[str, frozenset[tuple[str, str]]]

BOUNDS_S = (*(2.0**exponent for exponent in range(-12, 6)), 0.02, 9.0, math.inf)
"""Of every histogram: what docs/metrics.md promises."""

STANDING = (
    *("amos_log_position", "amos_log_counted_position", "amos_projection_lag_seconds", "amos_parked_frames"),
)
"""What `/metrics` says of itself and not of the facts."""

COUNTED_BY_REASON = {
    "provider.skipped": "amos_provider_skips_total",
    "retry.scheduled": "amos_provider_retries_total",
    "provider.key_rested": "amos_provider_key_rests_total",
}
"""Facts that are one each, by provider and reason."""


def shown(text: str) -> dict[Sample, float]:
    """The samples of a scrape in Prometheus' text format, without those of `STANDING`."""
    return {
        _sample(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.value and family.name not in STANDING
    }


def counted(facts: Sequence[Fact]) -> dict[Sample, float]:
    """The samples of these facts."""
    sums: Counter[Sample] = Counter()
    for counts in (_requests(facts), _providers(facts), _histograms(facts)):
        sums.update(counts)
    parts = {sample: value / 1_000_000 for sample, value in _millionths(facts).items()}
    return {sample: value for sample, value in {**sums, **parts}.items() if value}


def _sample(name: str, **labels: object) -> Sample:
    given = {
        label: str(float(str(value))) if label == "le" else str(value) for label, value in labels.items()
    }
    return name, frozenset(given.items())


def _requests(facts: Sequence[Fact]) -> Counter[Sample]:
    sums: Counter[Sample] = Counter()
    for fact in of(facts, "request.failed"):
        failed = {"operation": fact["operation"], "outcome": "failed", "error": fact["error"]}
        sums[_sample("amos_requests_total", **failed)] += 1
    for fact in of(facts, "request.completed"):
        whose = {"operation": fact["operation"]}
        sums[_sample("amos_requests_total", **whose, outcome="answered", error="")] += 1
        if fact["cache"] != "relayed":
            sums[_sample("amos_cache_requests_total", **whose, cache=fact["cache"])] += 1
        for mark in ("degraded", "fallback", "stale"):
            sums[_sample(f"amos_{mark}_answers_total", **whose)] += fact.get(mark, False)
        sums[_sample("amos_empty_answers_total", **whose)] += not fact["results"]
    for fact in of(facts, "caller.refused"):
        sums[_sample("amos_refusals_total", reason=fact["reason"])] += fact["count"]
    return sums


def _providers(facts: Sequence[Fact]) -> Counter[Sample]:
    sums: Counter[Sample] = Counter()
    for fact in facts:
        whose = {"provider": fact.get("provider", "")}
        why = {**whose, "reason": fact.get("reason", "")}
        operation = {"operation": fact.get("operation", "")}
        match fact["kind"]:
            case "attempt.succeeded":
                ended = {"outcome": "success" if fact["results"] else "empty", "reason": ""}
                sums[_sample("amos_provider_attempts_total", **whose, **operation, **ended)] += 1
            case "attempt.failed":
                ended = {"outcome": fact["outcome"]}
                sums[_sample("amos_provider_attempts_total", **why, **operation, **ended)] += 1
            case "request.completed" if (fact["operation"], fact["cache"]) == ("search", "miss"):
                place = "fallback" if fact.get("fallback") else "first"
                sums[_sample("amos_provider_answers_total", **whose, **operation, place=place)] += 1
            case "attempt.hedged":
                sums[_sample("amos_provider_hedges_total", **whose)] += 1
            case "provider.skipped" | "retry.scheduled" | "provider.key_rested" as kind:
                sums[_sample(COUNTED_BY_REASON[kind], **why)] += 1
            case "result.rejected":
                sums[_sample("amos_provider_rejected_results_total", **why)] += fact["dropped"]
            case "circuit.opened" | "circuit.half_opened" | "circuit.closed":
                state = fact["kind"].partition(".")[2]
                sums[_sample("amos_circuit_changes_total", **whose, state=state)] += 1
            case _:
                pass
    return sums


def _millionths(facts: Sequence[Fact]) -> Counter[Sample]:
    """What is a sum of fractions: money, units and seconds."""
    sums: Counter[Sample] = Counter()
    for one in durations(facts):
        name, labels = _histogram_of(one)
        sums[_sample(f"{name}_sum", **labels)] += round(one["s"] * 1_000_000)
    for line in bill_lines(facts):
        if "bill" not in line:
            continue
        what = line["what"]
        whose = {"provider": line["provider"], "operation": line["operation"]}
        total = "" if what == "assumed" else "_total"
        sums[_sample(f"amos_{what}_usd{total}", **whose)] += micros(line, "bill")
        unit = line["bill"].get("unit", "")
        amount = round(line["bill"].get("amount", 0) * 1_000_000)
        sums[_sample(f"amos_{what}_units{total}", **whose, unit=unit)] += amount
    return sums


def _histograms(facts: Sequence[Fact]) -> Counter[Sample]:
    sums: Counter[Sample] = Counter()
    for one in durations(facts):
        name, labels = _histogram_of(one)
        for bound_s in BOUNDS_S:
            sums[_sample(f"{name}_bucket", **labels, le=bound_s)] += one["s"] <= bound_s
        sums[_sample(f"{name}_count", **labels)] += 1
    return sums


def _histogram_of(one: Fact) -> tuple[str, dict[str, str]]:
    operation = {"operation": one["operation"]}
    if one["stage"] == "attempt":
        return "amos_provider_attempt_duration_seconds", {**operation, "provider": one["provider"]}
    if one["stage"] in ("upstream", "added"):
        return "amos_request_part_duration_seconds", {**operation, "part": one["stage"]}
    return "amos_request_duration_seconds", {**operation, "stage": one["stage"]}
