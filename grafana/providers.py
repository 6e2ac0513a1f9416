"""The providers: how they did, whose circuit is open, how long they take, and what they cost."""

# ruff: noqa: S608 - what is put into the SQL is a name of ours

from __future__ import annotations

from grafana.model import dashboard, row
from grafana.panels import (
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Json,
    colour,
    heatmap,
    override,
    promql,
    sql,
    states,
    table,
    thresholds,
    time_series,
)
from grafana.parts import (
    OPERATION,
    PROVIDER,
    TIME,
    WINDOW,
    circuits,
    listed,
    operations,
    per_second,
    providers,
    quantiles,
    sources,
)
from orchestrator.reports.providers import NOBODYS_FAULT

FACTS = f"FROM dashboard_providers\nWHERE {WINDOW} AND {PROVIDER}"

GOOD = "outcome IN ('success', 'empty')"
JUDGED = f"outcome NOT IN ({listed(sorted(NOBODYS_FAULT))})"
SUCCESS_RATIO = (
    f"CAST(coalesce(sum(calls) FILTER (WHERE {GOOD}), 0) AS double precision)"
    f" / nullif(sum(calls) FILTER (WHERE {JUDGED}), 0)"
)
"""The one of the providers report, over attempts."""

BOUNDS_S = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Rows of the heatmap: powers of two, which no bucket straddles; the last one has what is longer, too."""

CLOSED, HALF_OPEN, OPEN = 0, 1, 2
"""What the states of a circuit are on the timeline."""

SUMMARY = f"""WITH facts AS (
  SELECT provider,
    sum(calls) FILTER (WHERE subject = 'attempt') AS attempts,
    CAST(coalesce(sum(calls) FILTER (WHERE subject = 'attempt' AND {GOOD}), 0) AS double precision)
      / nullif(sum(calls) FILTER (WHERE subject = 'attempt' AND {JUDGED}), 0) AS success,
    sum(duration_us) FILTER (WHERE subject = 'attempt') / 1e6
      / nullif(sum(calls) FILTER (WHERE subject = 'attempt'), 0) AS mean,
    sum(calls) FILTER (WHERE subject = 'answer') AS answers,
    sum(calls) FILTER (WHERE subject = 'answer' AND outcome = 'fallback') AS fallbacks,
    sum(calls) FILTER (WHERE subject = 'skip') AS skips,
    sum(calls) FILTER (WHERE subject = 'retry') AS retries,
    sum(calls) FILTER (WHERE subject = 'hedge') AS hedges,
    sum(calls) FILTER (WHERE subject = 'circuit' AND outcome = 'opened') AS openings
  {FACTS}
  GROUP BY provider
), ranked AS (
  SELECT provider, estimate_s, sum(calls) OVER (PARTITION BY provider ORDER BY bucket) AS upto,
    sum(calls) OVER (PARTITION BY provider) AS total
  FROM (
    SELECT provider, bucket, min(estimate_s) AS estimate_s, sum(calls) AS calls
    FROM dashboard_latency WHERE {WINDOW} AND {PROVIDER} AND stage = 'attempt' GROUP BY provider, bucket
  ) AS buckets
), stays AS (
  SELECT provider, min(estimate_s) FILTER (WHERE upto >= ceil(0.95 * total)) AS p95
  FROM ranked GROUP BY provider
), bills AS (
  SELECT provider, sum(spent_usd_micros) / 1e6 AS spent, sum(assumed_usd_micros) / 1e6 AS assumed
  FROM dashboard_ledger WHERE {WINDOW} AND {PROVIDER} GROUP BY provider
)
SELECT facts.provider, attempts, success, mean, p95, answers, fallbacks, skips, retries, hedges, openings,
  spent, assumed
FROM facts
LEFT JOIN stays ON stays.provider = facts.provider
LEFT JOIN bills ON bills.provider = facts.provider
ORDER BY attempts DESC NULLS LAST, facts.provider"""


def _summary() -> Json:
    return table(
        "Providers",
        "One row for each. `success` is the share of attempts that were answered, empty answers too; a"
        " cancelled attempt is not held against a provider. `mean` and `p95` are durations of single"
        " attempts; `answers` are searches it answered, `fallbacks` those of them in place of a provider"
        " before it; `skips` are times it was passed by.",
        sql(SUMMARY),
        (
            override(
                "success",
                ("unit", "percentunit"),
                ("decimals", 1),
                ("thresholds", thresholds((None, RED), (0.9, ORANGE), (0.98, GREEN))),
                ("custom.cellOptions", {"type": "color-text"}),
            ),
            *(override(name, ("unit", "s"), ("decimals", 2)) for name in ("mean", "p95")),
            *(override(name, ("unit", "currencyUSD"), ("decimals", 2)) for name in ("spent", "assumed")),
        ),
    )


def _facts(title: str, description: str, subject: str, metric: str, *overrides: Json) -> Json:
    """How often something happened, by something."""
    return time_series(
        title,
        description,
        sql(
            f"SELECT {TIME}, {metric} AS metric, {per_second('sum(calls)')} AS value\n{FACTS} AND {subject}\n"
            "GROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="ops",
        is_stacked=True,
        overrides=overrides,
    )


def _attempts() -> Json:
    return _facts(
        "Attempts by outcome",
        "Calls to providers a second: `success`, `empty` (it found nothing), or how the failure was"
        " judged: `retryable`, `final` (not to be repeated there), `invalid` (no provider would take"
        " it), `ignorable` (cancelled).",
        f"subject = 'attempt' AND {OPERATION}",
        "outcome",
        colour("success", GREEN),
        colour("empty", GREY),
        colour("retryable", ORANGE),
        colour("final", RED),
        colour("invalid", YELLOW),
        colour("ignorable", PURPLE),
    )


def _success() -> Json:
    return time_series(
        "Success",
        "The share of attempts that were answered, by provider; cancelled and invalid ones are not counted.",
        sql(
            f"SELECT {TIME}, provider AS metric, {SUCCESS_RATIO} AS value\n{FACTS} AND subject = 'attempt'"
            f" AND {OPERATION}\nGROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="percentunit",
        max=1,
    )


def _heatmap() -> Json:
    lows = (0.0, *BOUNDS_S[:-1])
    columns = ",\n  ".join(
        f"coalesce(sum(calls) FILTER (WHERE upper_s > {low}"
        + (f" AND upper_s <= {high}" if high != BOUNDS_S[-1] else "")
        + f'), 0) AS "{high:g}"'
        for low, high in zip(lows, BOUNDS_S, strict=True)
    )
    return heatmap(
        "Duration of attempts",
        "Calls to providers by their duration: each row is named by its upper bound in seconds, the last"
        " one has what is longer, too.",
        sql(
            f"SELECT {TIME},\n  {columns}\nFROM dashboard_latency\n"
            f"WHERE {WINDOW} AND {PROVIDER} AND {OPERATION} AND stage = 'attempt'\nGROUP BY 1 ORDER BY 1",
            is_series=True,
        ),
        unit="s",
    )


def _p95() -> Json:
    return time_series(
        "p95 of attempts",
        "The duration that 95 % of the calls to each provider did not exceed, failures and timeouts"
        " among them.",
        sql(
            quantiles(
                "dashboard_latency", f"{PROVIDER} AND {OPERATION} AND stage = 'attempt'", "provider", (0.95,)
            ),
            is_series=True,
        ),
        unit="s",
    )


def _failures() -> Json:
    return table(
        "Failures",
        "Why attempts failed and why providers were passed by, the most frequent first.",
        sql(
            f"SELECT provider, subject, outcome, reason, sum(calls) AS calls\n{FACTS} AND (subject ="
            f" 'skip' OR"
            f" subject = 'attempt' AND NOT ({GOOD}))\nGROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4"
            f" LIMIT 50"
        ),
    )


def _circuits() -> tuple[Json, Json]:
    live = states(
        "Circuits",
        "The worst state of each provider's circuit in any process, as scraped: open means that it is"
        " not called.",
        promql(
            f'max by (provider) ({OPEN} * amos_circuit_state{{state="open",provider=~"${{provider:regex}}"}}'
            f' or {HALF_OPEN} * amos_circuit_state{{state="half-open",provider=~"${{provider:regex}}"}}'
            f' or {CLOSED} * amos_circuit_state{{state="closed",provider=~"${{provider:regex}}"}})',
            "{{provider}}",
        ),
        {CLOSED: ("closed", GREEN), HALF_OPEN: ("half open", YELLOW), OPEN: ("open", RED)},
    )
    changes = table(
        "Changes of circuits",
        "The newest first. `reason` is that of the failure that opened it.",
        sql(
            "SELECT time, provider, state, reason, instance\nFROM dashboard_circuits\n"
            f"WHERE $__unixEpochFilter(recorded_at) AND {PROVIDER}\nORDER BY recorded_at DESC LIMIT 100"
        ),
    )
    return live, changes


def _money() -> tuple[tuple[int, Json], ...]:
    spent = time_series(
        "Spent",
        "US dollars billed in each point, by provider.",
        sql(
            f"SELECT {TIME}, provider AS metric, sum(spent_usd_micros) / 1e6 AS value\nFROM"
            f" dashboard_ledger\n"
            f"WHERE {WINDOW} AND {PROVIDER}\nGROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="currencyUSD",
        is_stacked=True,
    )
    budget = time_series(
        "Budget used",
        "The share of each limit that is spent or reserved; warnings come at 75 and 90 %, and at 100 %"
        " the provider is passed by. Only where limits are set.",
        promql("max by (account, per) (amos_budget_spent_ratio)", "{{account}} a {{per}}"),
        unit="percentunit",
        thresholds=thresholds((None, "transparent"), (0.75, YELLOW), (0.9, RED)),
    )
    room = time_series(
        "Calls under way",
        "Calls to each provider, and how many wait for their turn because it has no more room.",
        promql(
            'sum by (provider) (amos_provider_calls_under_way{provider=~"${provider:regex}"})', "{{provider}}"
        ),
        promql(
            'sum by (provider) (amos_provider_calls_waiting{provider=~"${provider:regex}"})',
            "{{provider}} waiting",
        ),
        unit="short",
    )
    live = time_series(
        "p95 of attempts, live",
        "From Prometheus' histogram, whose bounds are powers of two: the true value is up to half of it"
        " lower.",
        promql(
            "histogram_quantile(0.95, sum by (le, provider) (rate("
            'amos_provider_attempt_duration_seconds_bucket{provider=~"${provider:regex}"}[$__rate_interval])))',
            "{{provider}}",
        ),
        unit="s",
    )
    return (6, spent), (6, budget), (6, room), (6, live)


def build() -> Json:
    """The whole dashboard."""
    live, changes = _circuits()
    answers = _facts(
        "Answers by place",
        "Searches a second by who answered them: as the first of the chain or as a fallback for one"
        " before it.",
        f"subject = 'answer' AND {OPERATION}",
        "provider || ' ' || outcome",
    )
    skips = _facts(
        "Skips",
        "Times a second that a provider was passed by, and why: circuit open, no budget, no time, no room.",
        "subject = 'skip'",
        "provider || ' ' || reason",
    )
    again = _facts(
        "Retries, hedges, resting keys",
        "Times a second that a provider was asked again, that the next one was asked too because it was"
        " slow, and that one of its keys was drained, refused or throttled.",
        "subject IN ('retry', 'hedge', 'key')",
        "provider || ' ' || subject",
    )
    return dashboard(
        "amos-providers",
        "AMOS · Providers",
        "Attempts, failures, fallbacks, circuits, durations and money of each provider.",
        variables=(*sources(), providers(), operations()),
        annotations=(circuits(PROVIDER),),
        rows=(
            row("In this window", (7, [(24, _summary())])),
            row(
                "Attempts",
                (8, [(12, _attempts()), (12, _success())]),
                (8, [(8, answers), (8, skips), (8, again)]),
            ),
            row("Durations", (9, [(12, _heatmap()), (12, _p95())])),
            row("Circuits and failures", (8, [(8, live), (8, changes), (8, _failures())])),
            row("Money and room", (7, _money())),
        ),
    )
