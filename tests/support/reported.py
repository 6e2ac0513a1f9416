"""Reports made from a fold by hand, without SQL: what the reports over the database must equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orchestrator.events import Envelope
from orchestrator.projections.buckets import doubling_of
from orchestrator.projections.fold import Counts, Key, Rollup, by_span
from orchestrator.reports.report import LIMIT_DEFAULT, TIMES, Buckets, Fact, Facts, Need, Report, Sums
from orchestrator.reports.totals import DOUBLING


def report_of(
    report: Report,
    envelopes: Iterable[Envelope],
    by: str = "",
    *,
    limit: int = LIMIT_DEFAULT,
    texts: Mapping[str, str] | None = None,
    facts: Sequence[Fact] = (),
) -> dict[str, Any]:
    """What a report says of a history; groups of time are those of UTC.

    `texts` are the texts of queries by their keys, `facts` those of streams.
    """
    history = tuple(envelopes)
    found = [facts if isinstance(need, Facts) else sums_of(need, history, texts) for need in report.needs(by)]
    return report.render(found, by, limit)


def sums_of(need: Need, envelopes: Iterable[Envelope], texts: Mapping[str, str] | None = None) -> Sums:
    """The sums of a need over a history; of a ranking all of them."""
    if need.dimensions == ("key", "text"):
        whole = sums_of(Need(need.rollup, ("key",)), envelopes)
        return {(key, (texts or {}).get(str(key), "")): counts for (key,), counts in whole.items()}
    names = ("minute", *need.rollup.dimensions)
    parts: list[Callable[[Key], Any]] = [_part(names, name) for name in need.dimensions]
    sums: dict[Key, tuple[int, ...]] = {}
    buckets: dict[Key, Counter[Any]] = {}
    for key, counts in need.rollup.total(envelopes).items():
        if need.among and key[names.index(need.among[0])] not in need.among[1]:
            continue
        shorter = tuple(part(key) for part in parts)
        wanted = [counts[need.rollup.measures.index(name)] for name in need.measures]
        known = sums.get(shorter, (0,) * len(wanted))
        sums[shorter] = tuple(a + b for a, b in zip(known, wanted, strict=True))
        if need.has_buckets:
            calls = counts[need.rollup.measures.index("calls")]
            buckets.setdefault(shorter, Counter())[key[names.index("bucket")]] += calls
    if not need.has_buckets:
        return sums
    return {
        key: (*counts, Buckets(list(buckets[key]), list(buckets[key].values())))
        for key, counts in sums.items()
    }


def rows_by_span(rollup: Rollup, envelopes: Iterable[Envelope]) -> dict[Key, Counts]:
    """What the table of a rollup must hold: the counts of a history by span, its beginning, dimensions."""
    return spans_of_minutes(rollup, rollup.total(envelopes))


def spans_of_minutes(rollup: Rollup, minutes: Mapping[Key, Counts]) -> dict[Key, Counts]:
    """The same from counts by the minute."""
    return {
        (span_s, *key): counts
        for span_s in rollup.spans_s
        for key, counts in by_span(minutes, span_s).items()
    }


def _part(names: tuple[str, ...], name: str) -> Callable[[Key], Any]:
    if name in TIMES:
        return lambda key: int(key[0]) // TIMES[name] * TIMES[name]
    if name == DOUBLING:
        bucket = names.index("bucket")
        return lambda key: doubling_of(int(key[bucket]))
    where = names.index(name)
    return lambda key: key[where]
