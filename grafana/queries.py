"""Queries and clients: what is asked, by whom, what fails, what is slow; and executions with their traces."""

# ruff: noqa: S608 - what is put into the SQL is a name of ours

from __future__ import annotations

from urllib.parse import quote

from grafana.model import dashboard, row
from grafana.panels import GREEN, RED, Json, colour, override, sql, table, time_series
from grafana.parts import (
    CALLERS,
    CLIENT,
    OPERATION,
    TIME,
    WINDOW,
    circuits,
    clients,
    operations,
    per_second,
    quantiles,
    sources,
)

OF_REQUESTS = f"FROM dashboard_requests\nWHERE {WINDOW} AND {CLIENT} AND {OPERATION}"

CONSOLE = "${console}/console/executions/${__value.raw}"

TRACE_ID = "${__data.fields.trace_id}"

EXPLORE = "/explore?schemaVersion=1&panes=" + quote(
    '{"amos":{"datasource":"${tempo}","queries":[{"refId":"A","datasource":{"type":"tempo","uid":"${tempo}"},'
    f'"queryType":"traceql","query":"{TRACE_ID}"' + '}],"range":{"from":"now-1h","to":"now"}}}',
    safe="$_.",
).replace("%7B__data", "{__data").replace("trace_id%7D", "trace_id}").replace("%7Btempo%7D", "{tempo}")
"""Grafana's own page of a trace; variables stay as they are, for Grafana to put in."""

SECONDS = (("unit", "s"), ("decimals", 3))
RATIO = (("unit", "percentunit"), ("decimals", 1))
DOLLARS = (("unit", "currencyUSD"), ("decimals", 3))

CLIENTS = f"""WITH ends AS (
  SELECT client, sum(requests) AS calls,
    CAST(coalesce(sum(hits), 0) AS double precision)
      / nullif(sum(requests) FILTER (WHERE outcome = 'answered'), 0) AS hit_ratio,
    coalesce(sum(requests) FILTER (WHERE outcome = 'failed' AND error NOT IN ({CALLERS})), 0) AS failed,
    coalesce(sum(requests) FILTER (WHERE outcome = 'failed' AND error IN ({CALLERS})), 0) AS callers_own,
    sum(duration_us) / 1e6 / nullif(sum(requests), 0) AS mean
  {OF_REQUESTS}
  GROUP BY client
), ranked AS (
  SELECT client, estimate_s, sum(calls) OVER (PARTITION BY client ORDER BY bucket) AS upto,
    sum(calls) OVER (PARTITION BY client) AS total
  FROM (
    SELECT client, bucket, min(estimate_s) AS estimate_s, sum(calls) AS calls
    FROM dashboard_client_latency WHERE {WINDOW} AND {CLIENT} GROUP BY client, bucket
  ) AS buckets
), stays AS (
  SELECT client, min(estimate_s) FILTER (WHERE upto >= ceil(0.95 * total)) AS p95 FROM ranked GROUP BY client
), bills AS (
  SELECT client, sum(spent_usd_micros) / 1e6 AS spent, sum(saved_usd_micros) / 1e6 AS saved
  FROM dashboard_ledger WHERE {WINDOW} AND {CLIENT} AND {OPERATION} GROUP BY client
)
SELECT ends.client, calls, hit_ratio, failed, callers_own, mean, p95, spent, saved
FROM ends
LEFT JOIN stays ON stays.client = ends.client
LEFT JOIN bills ON bills.client = ends.client
ORDER BY calls DESC, ends.client LIMIT 100"""


def _ranking(title: str, description: str, measure: str, *columns: str) -> Json:
    """Searches with most of something; every column beside the text is a sum or an expression of sums."""
    shown = ", ".join(columns)
    return table(
        title,
        f"{description} By whole hours. Where texts are not kept, or this role may not read them, the key"
        f" stands alone.",
        sql(
            f"WITH ranked AS (\n  SELECT key, sum({measure}) AS {measure}{', ' + shown if shown else ''}\n"
            f"  FROM dashboard_queries WHERE {WINDOW}\n  GROUP BY key HAVING sum({measure}) > 0\n"
            f"  ORDER BY sum({measure}) DESC, key LIMIT 20\n)\n"
            "SELECT coalesce(texts.text, '') AS query, ranked.*\nFROM ranked"
            f" LEFT JOIN dashboard_texts AS texts ON texts.key = ranked.key\nORDER BY ranked.{measure}"
            f" DESC, ranked.key"
        ),
        (
            override("query", ("custom.width", 320)),
            override("key", ("custom.width", 120)),
            override("mean", *SECONDS),
            override("hit_ratio", *RATIO),
            override("cost", *DOLLARS),
        ),
    )


MEAN = "sum(duration_us) / 1e6 / nullif(sum(calls), 0) AS mean"
OF_HITS = "CAST(sum(hits) AS double precision) / nullif(sum(calls), 0) AS hit_ratio"
COST = "sum(cost_usd_micros) / 1e6 AS cost"


def _rankings() -> tuple[Json, ...]:
    return (
        _ranking("Asked most", "Searches by how often they were asked.", "calls", OF_HITS, MEAN, COST),
        _ranking(
            "Fetched again and again",
            "Searches by how often a provider was asked for them: a longer freshness or warming would"
            " save this.",
            "fetched",
            OF_HITS,
            COST,
        ),
        _ranking("Slow", "Searches by how often they took longer than two seconds.", "slow", MEAN),
        _ranking(
            "Failing",
            "Searches by how often they had no answer for reasons of ours or of providers.",
            "failed",
            "sum(calls) AS calls",
        ),
        _ranking("Empty", "Searches by how often nothing was found.", "empty", "sum(calls) AS calls"),
    )


def _clients() -> Json:
    return table(
        "Clients",
        "The busiest first. `failed` had no answer for reasons of AMOS or its providers, `callers_own`"
        " for what only the caller can mend; `hit_ratio` is of answered calls, passed-on ones among them.",
        sql(CLIENTS),
        (
            override("hit_ratio", *RATIO),
            *(override(name, *SECONDS) for name in ("mean", "p95")),
            *(override(name, *DOLLARS) for name in ("spent", "saved")),
        ),
    )


def _by(title: str, description: str, name: str) -> Json:
    return time_series(
        title,
        description,
        sql(
            f"SELECT {TIME}, {name} AS metric, {per_second('sum(requests)')} AS value\n{OF_REQUESTS}\n"
            "GROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="reqps",
        is_stacked=True,
    )


def _failures() -> Json:
    return time_series(
        "Failures by client",
        "Calls a second that failed for reasons of AMOS or its providers.",
        sql(
            f"SELECT {TIME}, client AS metric, {per_second('sum(requests)')} AS value\n{OF_REQUESTS}"
            f" AND outcome = 'failed' AND error NOT IN ({CALLERS})\nGROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="reqps",
        is_stacked=True,
    )


def _durations() -> Json:
    return time_series(
        "p95 by client",
        "The duration that 95 % of the calls of each client did not exceed, without what was passed on.",
        sql(
            quantiles("dashboard_client_latency", f"{CLIENT} AND stage <> 'relayed'", "client", (0.95,)),
            is_series=True,
        ),
        unit="s",
    )


def _executions(title: str, description: str, where: str, order: str) -> Json:
    console = {"title": "In the console", "url": CONSOLE, "targetBlank": True}
    trace = {"title": "Its trace in Tempo", "url": EXPLORE}
    return table(
        title,
        f"{description} The id leads to the execution in the console, the trace to Tempo.",
        sql(
            "SELECT time, execution_id, trace_id, client, operation, door, topic, provider, cache,"
            " outcome, error,"
            " duration_s\nFROM dashboard_executions\n"
            f"WHERE $__unixEpochFilter(recorded_at) AND {CLIENT} AND {OPERATION}{where}\nORDER BY {order}"
            f" LIMIT 100"
        ),
        (
            override("execution_id", ("links", [console])),
            override("trace_id", ("links", [trace])),
            override("duration_s", *SECONDS),
        ),
    )


def build() -> Json:
    """The whole dashboard."""
    most, again, slow, failing, empty = _rankings()
    answers = time_series(
        "Calls of the chosen clients",
        "Calls a second by outcome.",
        sql(
            f"SELECT {TIME}, outcome AS metric, {per_second('sum(requests)')} AS value\n{OF_REQUESTS}\n"
            "GROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="reqps",
        is_stacked=True,
        overrides=(colour("answered", GREEN), colour("failed", RED)),
    )
    newest = _executions("Newest executions", "The last hundred.", "", "recorded_at DESC")
    failed = _executions(
        "Failed executions",
        "The last hundred without an answer.",
        " AND outcome = 'failed'",
        "recorded_at DESC",
    )
    return dashboard(
        "amos-queries",
        "AMOS · Queries and clients",
        "What is asked and by whom, what fails, what is slow, and the executions themselves.",
        variables=(*sources(), clients(), operations()),
        annotations=(circuits(),),
        rows=(
            row(
                "Clients",
                (8, [(24, _clients())]),
                (
                    8,
                    [
                        (8, answers),
                        (8, _by("Calls by client", "Calls a second by who made them.", "client")),
                        (8, _by("Calls by door", "Calls a second by how they came in.", "door")),
                    ],
                ),
                (8, [(12, _durations()), (12, _failures())]),
            ),
            row("Queries", (9, [(12, most), (12, again)]), (9, [(8, slow), (8, failing), (8, empty)])),
            row("Executions", (10, [(24, newest)]), (10, [(24, failed)])),
        ),
        since="now-24h",
    )
