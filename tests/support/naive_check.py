"""Holds a report against the naive fold: naive_check.check("health", report, facts)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.naive_actors import clients, providers, queries
from tests.support.naive_fold import EVERYTHING, TIMES, Fact, Question
from tests.support.naive_reports import Figures, cost, health, hit_rate, latency

REPORTS: dict[str, Callable[[Sequence[Fact], Question], Figures]] = {
    "health": health,
    "hit-rate": hit_rate,
    "latency": latency,
    "cost": cost,
    "clients": clients,
    "providers": providers,
}
"""Every report but queries, which needs the texts."""


def check(
    name: str,
    report: Mapping[str, Any],
    facts: Sequence[Fact],
    asked: Question = EVERYTHING,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Every figure of the report is what is counted here, over the window that it names.

    `texts` are those of queries by their keys.
    """
    given = dict(report)
    asked = asked._replace(since=given.pop("since", asked.since), until=given.pop("until", asked.until))
    assert given.pop("tz", asked.zone) == asked.zone
    for row in given["rows"] if asked.by in TIMES else ():
        if "time" in row:
            assert row.pop("time") == datetime.fromtimestamp(row[asked.by], ZoneInfo(asked.zone)).isoformat()
    by_hand = queries(facts, asked, texts or {}) if name == "queries" else REPORTS[name](facts, asked)
    assert given == by_hand
