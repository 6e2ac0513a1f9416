"""The figures of one run of traffic as each of four places tells them, in one form: to be compared.

of_reports(fetch) == of_prometheus(prometheus) == of_dashboards(database) == of_spans(taken)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tests.support.database import query
from tests.support.otlp_receiver import TakenSpan
from tests.support.prometheus import Prometheus

NOT_ENDED = "unsettled"
"""What a span says of a call or an attempt whose process died; it is counted nowhere until it has ended."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What can be counted of a run. Nothing that is 0 is in it."""

    requests: Mapping[str, int]
    """Calls that have ended, by the code of their error; `""` for answered ones."""
    tiers: Mapping[str, int]
    """Answered searches and extracts, by how the cache served them."""
    attempts: Mapping[tuple[str, str, str], int]
    """Attempts that have ended, by provider, outcome and reason."""
    spent_usd_micros: Mapping[str, int]
    """What was billed, by provider."""


async def of_reports(fetch: Callable[[str, str], Awaitable[dict[str, Any]]]) -> Figures:
    """As `/reports/*` says; `fetch` has the report of a name by something."""
    health, hits, cost = [
        await fetch(name, by) for name, by in (("health", ""), ("hit-rate", "cache"), ("cost", "provider"))
    ]
    attempts: dict[tuple[str, str, str], int] = {}
    for one in health["providers"]:
        name = one["provider"]
        attempts |= {(name, outcome, ""): one[outcome] for outcome in ("success", "empty")}
        attempts |= {
            (name, failure["outcome"], failure["reason"]): failure["calls"]
            for failure in one["failures"]
            if failure["outcome"] != "skipped"
        }
    return _figures(
        {"": health["requests"]["answered"], **health["requests"]["errors"]},
        {row["cache"]: row["answered"] for row in hits["rows"]},
        attempts,
        {row["provider"]: row["spent_usd_micros"] for row in cost["rows"]},
    )


async def of_prometheus(prometheus: Prometheus) -> Figures:
    """As queries over what Prometheus has scraped of `/metrics` say."""

    async def summed(metric: str, *labels: str) -> dict[Any, float]:
        found = await prometheus.query(f"sum by ({', '.join(labels)}) ({metric})")
        keys = {values: tuple(dict(values).get(label, "") for label in labels) for values in found}
        return {key if len(key) > 1 else key[0]: found[values] for values, key in keys.items()}

    spent = await summed("amos_spent_usd_total", "provider")
    return _figures(
        await summed("amos_requests_total", "error"),
        await summed("amos_cache_requests_total", "cache"),
        await summed("amos_provider_attempts_total", "provider", "outcome", "reason"),
        {provider: usd * 1_000_000 for provider, usd in spent.items()},
    )


def of_dashboards(database: Path | str) -> Figures:
    """As the views that dashboards ask say."""

    def summed(view: str, measure: str, *columns: str, where: str = "1 = 1") -> dict[Any, int]:
        named = ", ".join(columns)
        rows = query(
            database,
            f"SELECT {named}, sum({measure}) AS sum FROM {view}"
            f" WHERE resolution_s = 60 AND {where} GROUP BY {named}",
        )
        keys = [tuple(row[column] for column in columns) for row in rows]
        return {key if len(key) > 1 else key[0]: row["sum"] for key, row in zip(keys, rows, strict=True)}

    return _figures(
        summed("dashboard_outcomes", "calls", "reason", where="outcome <> 'refused'"),
        summed("dashboard_cache", "requests", "cache"),
        summed("dashboard_providers", "calls", "provider", "outcome", "reason", where="subject = 'attempt'"),
        summed("dashboard_ledger", "spent_usd_micros", "provider"),
    )


def of_spans(taken: Iterable[TakenSpan]) -> Figures:
    """As exported spans say. One that came twice counts once."""
    requests: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    attempts: Counter[tuple[str, str, str]] = Counter()
    spent: Counter[str] = Counter()
    for span in {span.span_id: span for span in taken}.values():
        said = span.attributes
        if span.kind == "client":
            outcome = said["amos.attempt.outcome"]
            if outcome != NOT_ENDED:
                attempts[said["amos.provider"], outcome, said.get("error.type", "")] += 1
            spent[said["amos.provider"]] += said.get("amos.cost.usd_micros", 0)
        elif not span.name.startswith("refresh ") and said.get("error.type") != NOT_ENDED:
            error = said.get("amos.error", "")
            requests[error] += 1
            if not error and said["amos.cache"] != "relayed":
                tiers[said["amos.cache"]] += 1
    return _figures(requests, tiers, attempts, spent)


def _figures(*counts: Mapping[Any, float]) -> Figures:
    """Whole numbers, which all of them are but for what a float makes of millionths."""
    return Figures(
        **{
            name: {key: round(count) for key, count in found.items() if round(count)}
            for name, found in zip(Figures.__struct_fields__, counts, strict=True)
        }
    )
