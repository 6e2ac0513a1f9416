"""What each report looks like; docs/reports.md says what each figure means.

Reports are made in the core as plain objects, because their groups have the name that was asked for. These
types describe them, and a test holds every figure of real reports against them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from api.openapi.operation import Schema, Shape
from orchestrator.reports.catalogue import REPORTS
from orchestrator.reports.report import TIMES


class CallFigures(msgspec.Struct, frozen=True):
    """How calls ended."""

    total: int
    answered: int
    useful: int
    failed: int
    callers_own: int
    degraded: int
    fallback: int
    stale: int
    empty: int
    errors: dict[str, int]


class FailureCount(msgspec.Struct, frozen=True):
    """How often a provider failed in one way."""

    outcome: str
    reason: str
    calls: int


class ProviderHealth(msgspec.Struct, frozen=True):
    """How a provider did."""

    provider: str
    calls: int
    success: int
    empty: int
    failed: int
    skipped: int
    success_ratio: float | None
    failures: tuple[FailureCount, ...]
    circuit: dict[str, int]


class HealthFigures(msgspec.Struct, frozen=True):
    """Availability, how calls ended, what was refused, and how each provider did."""

    availability: float | None
    requests: CallFigures
    refused: dict[str, int]
    providers: tuple[ProviderHealth, ...]


class HitRateFigures(msgspec.Struct, frozen=True):
    """How many answers came from where."""

    answered: int
    hits: int
    hit_ratio: float | None
    fresh_hit_ratio: float | None
    collapsed_ratio: float | None
    l1: int
    l2: int
    collapsed: int
    mixed: int
    miss: int
    stale: int
    results: int


class StageFigures(msgspec.Struct, frozen=True):
    """How long one stage took, in seconds."""

    stage: str
    calls: int
    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None


class LatencyFigures(msgspec.Struct, frozen=True):
    """How long calls stayed, stage by stage."""

    stages: tuple[StageFigures, ...]


class QueryFigures(msgspec.Struct, frozen=True, omit_defaults=True):
    """One search; `text` is null where it is not kept. `avoidable_usd_micros` is of repeated ones only."""

    text: str | None
    key: str
    calls: int
    hits: int
    fetched: int
    empty: int
    failed: int
    slow: int
    mean_s: float | None
    cost_usd_micros: int
    avoidable_usd_micros: int = 0


class QueriesFigures(msgspec.Struct, frozen=True):
    """Five rankings of the same searches."""

    top: tuple[QueryFigures, ...]
    failing: tuple[QueryFigures, ...]
    slow: tuple[QueryFigures, ...]
    empty: tuple[QueryFigures, ...]
    repeated: tuple[QueryFigures, ...]


class UnitFigures(msgspec.Struct, frozen=True):
    """A provider's bill in its own unit."""

    provider: str
    unit: str
    spent: float
    assumed: float
    saved: float


class CostFigures(msgspec.Struct, frozen=True):
    """What was spent, perhaps spent, and saved."""

    spent_usd_micros: int
    assumed_usd_micros: int
    saved_usd_micros: int
    calls: int
    units: tuple[UnitFigures, ...]


class ClientFigures(msgspec.Struct, frozen=True):
    """Who asks for how much, and what becomes of it."""

    requests: int
    answered: int
    failed: int
    errors: dict[str, int]
    hits: int
    hit_ratio: float | None
    collapsed: int
    collapsed_ratio: float | None
    degraded: int
    stale: int
    results: int
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    spent_usd_micros: int
    assumed_usd_micros: int
    saved_usd_micros: int
    doors: dict[str, int]


class ProviderFigures(msgspec.Struct, frozen=True):
    """Who answers how often, how fast and for how much."""

    provider: str
    calls: int
    success: int
    empty: int
    failed: int
    skipped: int
    success_ratio: float | None
    failures: dict[str, int]
    retries: int
    hedged: int
    keys_rested: dict[str, int]
    rejected: int
    tried: int
    won: int
    win_ratio: float | None
    fallbacks: int
    fallback_ratio: float | None
    mean_s: float | None
    spent_usd_micros: int
    assumed_usd_micros: int
    circuit: dict[str, int]


class CircuitChange(msgspec.Struct, frozen=True):
    """What a circuit did."""

    changed_at: float
    provider: str
    change: str
    reason: str
    cooldown_s: float | None
    openings: int | None
    instance: str


class ProvidersFigures(msgspec.Struct, frozen=True):
    """The newest changes of circuits."""

    circuits: tuple[CircuitChange, ...]


_P95: dict[str, Schema] = {
    "p95_s": {"type": ["number", "null"], "description": "Only for the whole window, not by time."}
}


class _Parts(msgspec.Struct, frozen=True):
    """The types of a report: its figures, those of a row (`None` without rows), and what else is there."""

    whole: Any
    row: Any
    more_of_row: dict[str, Any] = {}
    more: dict[str, Schema] = {}


_PARTS = {
    "health": _Parts(HealthFigures, CallFigures, {"availability": {"type": ["number", "null"]}}),
    "hit-rate": _Parts(HitRateFigures, HitRateFigures),
    "latency": _Parts(LatencyFigures, StageFigures),
    "queries": _Parts(QueriesFigures, None),
    "cost": _Parts(CostFigures, CostFigures),
    "clients": _Parts(
        ClientFigures,
        ClientFigures,
        more={"clients": {"type": "integer", "description": "How many there are; not by time."}},
    ),
    "providers": _Parts(ProvidersFigures, ProviderFigures, _P95),
}

_WINDOW: dict[str, Schema] = {
    "since": {"type": "number", "description": "Where the window begins, epoch seconds."},
    "until": {"type": "number", "description": "Where it ends."},
    "tz": {"type": "string", "description": "The time zone of days and hours."},
    "by": {"type": "string", "description": "How it is grouped; empty for no groups."},
}


def shape_of(name: str) -> Shape:
    """How the report of this name looks."""
    parts = _PARTS[name]
    title = "".join(word.capitalize() for word in name.split("-"))
    rows: dict[str, Schema] = {}
    if parts.row is not None:
        row = Shape(
            name=f"{title}Row",
            kind=parts.row,
            description="One group, under the name of what it is grouped by.",
            more={**_columns(name, parts.row), **parts.more_of_row},
        )
        rows = {"rows": {"type": "array", "items": row, "description": "One for each group, if any."}}
    more = {**_WINDOW, **rows, **parts.more}
    return Shape(name=f"{title}Report", kind=parts.whole, more=more, required=(*_WINDOW, *rows))


def _columns(name: str, row: Any) -> dict[str, Schema]:
    """What a row may stand under: times in epoch seconds and again as ISO 8601, names as they are."""
    own = row.__struct_fields__
    groups = [group for group in REPORTS[name].by if group not in own]
    columns: dict[str, Schema] = {
        group: {"type": "number", "description": f"Where the {group} begins, epoch seconds."}
        if group in TIMES
        else {"type": "string"}
        for group in groups
    }
    return {**columns, "time": {"type": "string", "format": "date-time"}}
