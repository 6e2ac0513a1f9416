"""Metrics: what the whole event log adds up to, as families of samples that any exposition format can show.

Names and units are those of Prometheus' conventions. There is no label with a client, key or query: what one
client did is in the reports. Label values are few, because every one is a word of ours or of the settings;
one that is not, as an upstream's strange status, is made one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from orchestrator.events import MILLION
from orchestrator.projections.health import HealthRollup
from orchestrator.projections.hit_rate import HitRateRollup
from orchestrator.projections.latency import WHOLE_STAYS, WITHIN_S, LatencyRollup
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.projections.providers import ProvidersRollup
from orchestrator.reports.report import Need, Row, Sums, rows_of
from orchestrator.reports.totals import DOUBLING, Standing

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

NEEDS = (
    Need(HealthRollup(), ("operation", "outcome", "reason")),
    Need(HitRateRollup(), ("operation", "cache")),
    Need(ProvidersRollup(), ("provider", "subject", "operation", "outcome", "reason")),
    Need(LedgerRollup(), ("provider", "operation", "unit")),
    Need(LatencyRollup(), ("stage", "operation", "provider", DOUBLING)),
)
"""The sums from which the metrics are made."""

EXPONENTS = range(-12, 6)
"""chosen: bounds of histograms are 2**-12 (0.2 ms, what a cached answer takes) to 2**5 seconds (32 s, longer
than any search or extract lives). The latency rollup tells all of them exactly."""

PARTS = ("upstream", "added")
"""Stages that are parts of a stay."""

_WORD = re.compile(r"[A-Za-z0-9_.:+-]{0,64}")
_STATUS = re.compile(r"http_([0-9])[0-9]{2}")
_OTHER = "other"
_USUAL_STATUSES = frozenset(
    f"http_{status}" for status in (400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504)
)
"""chosen: statuses that providers document or proxies make; others are told by their class, so that an
upstream cannot make five hundred series."""


class Histogram(NamedTuple):
    """Durations counted up to each bound (seconds, ascending, the last infinite), and their sum."""

    buckets: tuple[tuple[float, int], ...]
    sum_s: float


Sample: TypeAlias = tuple[tuple[str, ...], int | float | Histogram]
"""The values of the labels, and the value."""


class Family(NamedTuple):
    """One metric: `name` with its unit and, of a counter, `_total`; what it means, its kind and labels."""

    name: str
    help: str
    kind: str
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]


def gauge(name: str, help_: str, value: float) -> Family:
    """A metric of one value that may fall."""
    return Family(name, help_, GAUGE, (), (((), value),))


def families(sums: Sequence[Sums], standing: Standing, now: float) -> tuple[Family, ...]:
    """All metrics, from the sums of `NEEDS` at a moment of epoch seconds."""
    ends, tiers, facts, money, durations = (
        rows_of(need, found) for need, found in zip(NEEDS, sums, strict=True)
    )
    return (
        *_requests(ends, tiers),
        *_providers(facts),
        *_ledger(money),
        *_durations(durations),
        gauge("amos_log_position", "Newest frame of the event log; gaps mean nothing.", standing.position),
        gauge(
            "amos_log_counted_position",
            "Newest frame that all figures contain.",
            standing.counted_position,
        ),
        gauge(
            "amos_projection_lag_seconds",
            "Age of the oldest frame in the database that is not in these figures; 0 if all are.",
            standing.lag_s(now),
        ),
        gauge(
            "amos_parked_frames",
            "Frames with something that cannot be counted; `amos events verify` names them.",
            standing.parked,
        ),
    )


def _requests(ends: Sequence[Row], tiers: Sequence[Row]) -> tuple[Family, ...]:
    calls = [row for row in ends if row["outcome"] != "refused"]
    refused = [row for row in ends if row["outcome"] == "refused"]
    answered = [row for row in ends if row["outcome"] == "answered"]
    operation = {"operation": "operation"}
    marks = {
        "degraded": "Answered calls that the floor of the chain answered in place of the web.",
        "fallback": "Answered calls that another than the first provider answered.",
        "stale": "Calls answered from the cache after the entry's time.",
        "empty": "Answered calls without a result.",
    }
    return (
        _counter(
            "amos_requests_total",
            "Calls that have ended, answered or failed (`error` is the error's code).",
            calls,
            {**operation, "outcome": "outcome", "error": "reason"},
            "calls",
        ),
        _counter(
            "amos_refusals_total", "Calls turned away at the door.", refused, {"reason": "reason"}, "calls"
        ),
        *(
            _counter(f"amos_{mark}_answers_total", text, answered, operation, mark)
            for mark, text in marks.items()
        ),
        _counter(
            "amos_cache_requests_total",
            "Answered calls by how the cache served them: l1, l2, collapsed, miss, mixed.",
            tiers,
            {**operation, "cache": "cache"},
            "requests",
        ),
    )


def _providers(facts: Sequence[Row]) -> tuple[Family, ...]:
    def about(subject: str) -> list[Row]:
        return [row for row in facts if row["subject"] == subject]

    provider = {"provider": "provider"}
    of_operation = {**provider, "operation": "operation"}
    why = {**provider, "reason": "reason"}
    return (
        _counter(
            "amos_provider_attempts_total",
            "Calls to a provider that have ended.",
            about("attempt"),
            {**of_operation, "outcome": "outcome", "reason": "reason"},
            "calls",
        ),
        _counter(
            "amos_provider_answers_total",
            "Searches that a provider answered, as the first of the chain or as a fallback.",
            about("answer"),
            {**of_operation, "place": "outcome"},
            "calls",
        ),
        _counter(
            "amos_provider_skips_total",
            "Times a provider was passed by uncalled.",
            about("skip"),
            why,
            "calls",
        ),
        _counter(
            "amos_provider_retries_total",
            "Further attempts that were scheduled at a provider.",
            about("retry"),
            why,
            "calls",
        ),
        _counter(
            "amos_provider_hedges_total",
            "Times a provider was slow and the next one was asked too.",
            about("hedge"),
            provider,
            "calls",
        ),
        _counter(
            "amos_provider_key_rests_total",
            "Times one of several keys was drained, refused or throttled and began to rest.",
            about("key"),
            why,
            "calls",
        ),
        _counter(
            "amos_provider_rejected_results_total",
            "Results of a provider that were dropped before anybody saw them.",
            about("rejection"),
            why,
            "results",
        ),
        _counter(
            "amos_circuit_changes_total",
            "Changes of a provider's circuit: opened, half_opened, closed.",
            about("circuit"),
            {**provider, "state": "outcome"},
            "calls",
        ),
    )


def _ledger(money: Sequence[Row]) -> tuple[Family, ...]:
    dollars = {"provider": "provider", "operation": "operation"}
    units = {**dollars, "unit": "unit"}
    billed = [row for row in money if row["unit"]]
    spent, assumed, saved = (
        "What providers billed",
        "What providers may have billed without saying so, also for calls under way (it falls with the bill)",
        "What cached answers had cost when they were fetched",
    )
    in_units = "in the provider's own unit."
    return (
        _counter("amos_spent_usd_total", f"{spent}.", money, dollars, "spent_usd_micros", per=MILLION),
        _counter("amos_saved_usd_total", f"{saved}.", money, dollars, "saved_usd_micros", per=MILLION),
        _gauge("amos_assumed_usd", f"{assumed}.", money, dollars, "assumed_usd_micros"),
        _counter("amos_spent_units_total", f"{spent}, {in_units}", billed, units, "spent", per=MILLION),
        _counter("amos_saved_units_total", f"{saved}, {in_units}", billed, units, "saved", per=MILLION),
        _gauge("amos_assumed_units", f"{assumed}, {in_units}", billed, units, "assumed"),
    )


def _durations(rows: Sequence[Row]) -> tuple[Family, ...]:
    return (
        _histogram(
            "amos_request_duration_seconds",
            "Whole stay of a call: hit, stale, collapsed (it waited for another), miss, relayed or failed.",
            [row for row in rows if row["stage"] in WHOLE_STAYS],
            {"operation": "operation", "stage": "stage"},
        ),
        _histogram(
            "amos_request_part_duration_seconds",
            "Parts of a miss: upstream is the wait for providers, added the rest, which is ours.",
            [row for row in rows if row["stage"] in PARTS],
            {"operation": "operation", "part": "stage"},
        ),
        _histogram(
            "amos_provider_attempt_duration_seconds",
            "One call to a provider, however it ended.",
            [row for row in rows if row["stage"] == "attempt"],
            {"provider": "provider", "operation": "operation"},
        ),
    )


def _counter(
    name: str, help_: str, rows: Iterable[Row], labels: Mapping[str, str], measure: str, *, per: int = 1
) -> Family:
    return Family(name, help_, COUNTER, tuple(labels), _summed(rows, labels, measure, per))


def _gauge(name: str, help_: str, rows: Iterable[Row], labels: Mapping[str, str], measure: str) -> Family:
    """A sum in millionths that may fall."""
    return Family(name, help_, GAUGE, tuple(labels), _summed(rows, labels, measure, MILLION))


def _summed(
    rows: Iterable[Row], labels: Mapping[str, str], measure: str, per: int
) -> tuple[tuple[tuple[str, ...], int | float], ...]:
    """The sums by the labels; whole numbers until the last step, so that they stay exact."""
    sums = {key: sum(row[measure] for row in found) for key, found in _grouped(rows, labels).items()}
    return tuple((key, value if per == 1 else value / per) for key, value in sums.items())


def _histogram(name: str, help_: str, rows: Iterable[Row], labels: Mapping[str, str]) -> Family:
    groups = _grouped(rows, labels)
    return Family(
        name, help_, HISTOGRAM, tuple(labels), tuple((key, _counted(found)) for key, found in groups.items())
    )


def _counted(rows: Sequence[Row]) -> Histogram:
    """The rows of one histogram: bounds at powers of two, exact ones at what is promised."""
    by_doubling = dict.fromkeys(EXPONENTS, 0)
    for row in rows:
        exponent = max(row[DOUBLING] + 1, EXPONENTS.start)
        if exponent in by_doubling:
            by_doubling[exponent] += row["calls"]
    powers = zip(map(math.exp2, EXPONENTS), accumulate(by_doubling.values()), strict=True)
    promised = ((bound_s, sum(row[measure] for row in rows)) for measure, bound_s in WITHIN_S.items())
    everything = (math.inf, sum(row["calls"] for row in rows))
    return Histogram(
        buckets=tuple(sorted((*powers, *promised, everything))),
        sum_s=sum(row["total_us"] for row in rows) / MILLION,
    )


def _grouped(rows: Iterable[Row], labels: Mapping[str, str]) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_word(row[column]) for column in labels.values()), []).append(row)
    return groups


def _word(value: Any) -> str:
    """A label's value as one of few."""
    word = str(value)
    if status := _STATUS.fullmatch(word):
        return word if word in _USUAL_STATUSES else f"http_{status[1]}xx"
    return word if _WORD.fullmatch(word) else _OTHER
