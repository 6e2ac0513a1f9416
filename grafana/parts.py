"""What the SQL and the variables of all dashboards have in common.

History is asked of PostgreSQL's views `dashboard_…`, which begin with the first call ever and lose nothing to
a restart; what is so at this moment is asked of Prometheus. Macros (`$__…`) are Grafana's; it ends the
argument of one at the first `)`, so none has another in it.
"""

# ruff: noqa: S608 - what is put into the SQL is a name of ours

from __future__ import annotations

from collections.abc import Iterable

from grafana.model import annotation, choice, source, text_box
from grafana.panels import Json
from orchestrator.history import CALLERS_OWN
from orchestrator.projections.latency import WHOLE_STAYS
from orchestrator.relays import RELAYED

RESOLUTION = (
    "resolution_s = CASE WHEN $__interval_ms < 3600000 THEN 60 WHEN $__interval_ms < 86400000 THEN 3600"
    " ELSE 86400 END"
)
"""The coarsest rows that are no coarser than a point of the panel: a month is then read by the hour."""

WINDOW = f"{RESOLUTION} AND epoch_s > $__unixEpochFrom() - span_s AND epoch_s <= $__unixEpochTo()"
"""The rows of the window, which is widened to whole rows."""

TIME = "$__unixEpochGroupAlias(epoch_s,'$__interval')"

OPERATION = "operation IN (${operation:sqlstring})"
PROVIDER = "provider IN (${provider:sqlstring})"
CLIENT = "client IN (${client:sqlstring})"


def listed(values: Iterable[str]) -> str:
    """Words of ours as a list in SQL."""
    return ", ".join(f"'{value}'" for value in values)


CALLERS = listed(sorted(CALLERS_OWN))
"""Failures that are the callers' doing: `callers_own` of the reports."""

STAYS = f"stage IN ({listed(stage for stage in WHOLE_STAYS if stage != RELAYED)})"
"""Whole calls, without those that were passed on: a crawl takes minutes."""

USEFUL = "coalesce(sum(calls) FILTER (WHERE outcome = 'answered'), 0) - sum(degraded)"
OF_THEM = (
    f"sum(calls) FILTER (WHERE outcome = 'answered' OR outcome = 'failed' AND reason NOT IN ({CALLERS}))"
)
AVAILABILITY = f"CAST({USEFUL} AS double precision) / nullif({OF_THEM}, 0)"
"""The one of the health report, over dashboard_outcomes."""

HITS = "coalesce(sum(requests) FILTER (WHERE cache IN ('l1', 'l2')), 0)"
HIT_RATIO = f"CAST({HITS} AS double precision) / nullif(sum(requests), 0)"
"""The one of the hit-rate report, over dashboard_cache."""


def per_second(expression: str) -> str:
    """A rate: over a point, or over a row where the row is longer."""
    return f"{expression} / greatest(max(span_s), $__interval_ms / 1000.0)"


def quantiles(view: str, where: str, names: str = "", shares: tuple[float, ...] = (0.5, 0.95, 0.99)) -> str:
    """Quantiles over time, by the nearest rank as in the reports: one column for each of `shares`.

    With `names`, a column, there is one share, and a series for each value of that column.
    """
    group = "time" + (f", {names}" if names else "")
    key = f", {names} AS metric" if names else ""
    columns = ",\n  ".join(
        f"min(estimate_s) FILTER (WHERE upto >= ceil({share} * total)) AS"
        f' "{"value" if names else f"p{share * 100:g}"}"'
        for share in shares
    )
    return f"""WITH buckets AS (
  SELECT {TIME}{", " + names if names else ""}, bucket, min(estimate_s) AS estimate_s, sum(calls) AS calls
  FROM {view}
  WHERE {WINDOW} AND {where}
  GROUP BY {"1, 2, 3" if names else "1, 2"}
), ranked AS (
  SELECT {group}, estimate_s, sum(calls) OVER (PARTITION BY {group} ORDER BY bucket) AS upto,
    sum(calls) OVER (PARTITION BY {group}) AS total
  FROM buckets
)
SELECT time{key},
  {columns}
FROM ranked
GROUP BY {group}
ORDER BY time"""


def sources() -> tuple[Json, ...]:
    """The data sources of a dashboard, as provisioning/datasources names them, and where the console is."""
    return (
        source("sql", "grafana-postgresql-datasource", "AMOS PostgreSQL", "amos-postgresql"),
        source("prometheus", "prometheus", "AMOS Prometheus", "amos-prometheus"),
        source("tempo", "tempo", "AMOS Tempo", "amos-tempo"),
        text_box("console", "Console", "http://localhost:8000", "Where your browser finds AMOS."),
    )


def operations() -> Json:
    """A choice of operations."""
    return choice(
        "operation",
        "Operation",
        "SELECT DISTINCT operation FROM dashboard_outcomes WHERE resolution_s = 86400 AND operation <> ''",
    )


def providers() -> Json:
    """A choice of providers."""
    return choice(
        "provider",
        "Provider",
        "SELECT DISTINCT provider FROM dashboard_providers WHERE resolution_s = 86400 AND provider <> ''",
    )


def clients() -> Json:
    """A choice of clients."""
    return choice(
        "client",
        "Client",
        "SELECT DISTINCT client FROM dashboard_requests WHERE resolution_s = 86400 AND client <> ''",
    )


def circuits(where: str = "true") -> Json:
    """A mark at each change of a circuit."""
    return annotation(
        "Circuits",
        "SELECT recorded_at AS time, provider || ': circuit ' || state || coalesce(' (' || nullif(reason, '')"
        " || ')', '') AS text, 'circuit,' || state AS tags FROM dashboard_circuits"
        f" WHERE $__unixEpochFilter(recorded_at) AND {where} ORDER BY 1",
        "#F2495C",
    )
