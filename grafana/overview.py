"""The overview: is AMOS up to its promise, how much is asked, how long it takes, and what it costs."""

from __future__ import annotations

from grafana.model import dashboard, row
from grafana.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Json,
    colour,
    promql,
    sql,
    stat,
    thresholds,
    time_series,
    words,
)
from grafana.parts import (
    AVAILABILITY,
    CALLERS,
    HIT_RATIO,
    OPERATION,
    STAYS,
    TIME,
    WINDOW,
    circuits,
    operations,
    per_second,
    quantiles,
    sources,
)

OF_OUTCOMES = f"FROM dashboard_outcomes\nWHERE {WINDOW} AND {OPERATION}"
OF_CACHE = f"FROM dashboard_cache\nWHERE {WINDOW} AND {OPERATION}"
OF_LEDGER = f"FROM dashboard_ledger\nWHERE {WINDOW} AND {OPERATION}"

PROMISE = thresholds((None, RED), (0.99, ORANGE), (0.999, GREEN))
"""99.9 % is promised: docs/operations/availability.md."""

ABOUT = """
**What this is.** History comes from AMOS's event log in PostgreSQL and agrees with `amos report`; *Live*
comes from Prometheus. What each panel means: `docs/operations/dashboard-panels.md`. **When something is
wrong:** alerts link to their runbooks (`docs/operations/runbooks.md`); `amos doctor` says what is wrong
and what to do.
"""


def _figures() -> tuple[tuple[int, Json], ...]:
    return (
        (
            3,
            stat(
                "Calls",
                "Searches, extracts and the like that have ended, answered or failed; those turned away"
                " at the door are no calls.",
                sql(f"SELECT coalesce(sum(calls), 0) AS calls\n{OF_OUTCOMES}"),
                unit="short",
            ),
        ),
        (
            4,
            stat(
                "Availability",
                "The share of calls that had a useful answer. What only the caller can mend is not"
                " counted; an answer of local documents in place of the web is not useful. 99.9 % is"
                " promised.",
                sql(f"SELECT {AVAILABILITY} AS availability\n{OF_OUTCOMES}"),
                unit="percentunit",
                decimals=3,
                thresholds=PROMISE,
            ),
        ),
        (
            4,
            stat(
                "Error budget left",
                "How much of the one call in a thousand that may fail is left in this window; below zero"
                " the promise is broken.",
                sql(f"SELECT 1 - (1 - {AVAILABILITY}) / 0.001 AS left_\n{OF_OUTCOMES}"),
                unit="percentunit",
                decimals=1,
                thresholds=thresholds((None, RED), (0, ORANGE), (0.25, GREEN)),
            ),
        ),
        (
            3,
            stat(
                "Hit rate",
                "The share of answered searches and extracts that came from the cache.",
                sql(f"SELECT {HIT_RATIO} AS hit_ratio\n{OF_CACHE}"),
                unit="percentunit",
                decimals=1,
            ),
        ),
    )


def _bills() -> tuple[tuple[int, Json], ...]:
    money = "coalesce(sum({}_usd_micros), 0) / 1e6"
    return (
        (
            4,
            stat(
                "Spent",
                "What providers have billed, in US dollars at the prices in the settings.",
                sql(f"SELECT {money.format('spent')} AS spent\n{OF_LEDGER}"),
                unit="currencyUSD",
                decimals=2,
            ),
        ),
        (
            3,
            stat(
                "Assumed",
                "What may have been billed: attempts whose outcome nobody knows.",
                sql(f"SELECT {money.format('assumed')} AS assumed\n{OF_LEDGER}"),
                unit="currencyUSD",
                decimals=2,
            ),
        ),
        (
            3,
            stat(
                "Saved",
                "What the answers from the cache had cost when they were fetched.",
                sql(f"SELECT {money.format('saved')} AS saved\n{OF_LEDGER}"),
                unit="currencyUSD",
                decimals=2,
                thresholds=thresholds((None, GREEN)),
            ),
        ),
    )


def _rate() -> Json:
    return time_series(
        "Calls by outcome",
        "Calls a second. `failed` are failures of AMOS or its providers, `callers' own` those that only"
        " the caller can mend, `refused` were turned away at the door and are no executions.",
        sql(
            f"SELECT {TIME},\n  CASE WHEN outcome = 'failed' AND reason IN ({CALLERS}) THEN 'callers'' own'"
            f" ELSE outcome END AS metric,\n  {per_second('sum(calls)')} AS value\n"
            f"FROM dashboard_outcomes\nWHERE {WINDOW} AND ({OPERATION} OR operation = '')\n"
            "GROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="reqps",
        is_stacked=True,
        overrides=(
            colour("answered", GREEN),
            colour("failed", RED),
            colour("callers' own", YELLOW),
            colour("refused", GREY),
        ),
    )


def _errors() -> Json:
    return time_series(
        "Failures by code",
        "Failed calls a second by the code of the error, the callers' own among them.",
        sql(
            f"SELECT {TIME}, reason AS metric, {per_second('sum(calls)')} AS value\n{OF_OUTCOMES}"
            " AND outcome = 'failed'\nGROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="reqps",
        is_stacked=True,
    )


def _durations() -> Json:
    return time_series(
        "Duration of calls",
        "Whole stays, failed ones too, without crawls and researches: half of the calls are faster than"
        " p50. At most 1.1 % off.",
        sql(quantiles("dashboard_latency", f"{STAYS} AND {OPERATION}"), is_series=True),
        unit="s",
        overrides=(colour("p50", GREEN), colour("p95", ORANGE), colour("p99", RED)),
    )


def _availability() -> Json:
    return time_series(
        "Availability over time",
        "The share of calls with a useful answer; the line is what is promised.",
        sql(
            f"SELECT {TIME}, {AVAILABILITY} AS availability\n{OF_OUTCOMES}\nGROUP BY 1 ORDER BY 1",
            is_series=True,
        ),
        unit="percentunit",
        min=None,
        max=1,
        thresholds=thresholds((None, "transparent"), (0.999, GREEN)),
        overrides=(colour("availability", BLUE),),
    )


def _marks() -> Json:
    columns = ", ".join(
        f"{per_second(f'sum({mark})')} AS {mark}" for mark in ("degraded", "stale", "fallback", "empty")
    )
    return time_series(
        "Answers that are less than best",
        "Answered calls a second that were `degraded` (local documents stood in for the web), `stale`"
        " (past their freshness), of a `fallback` provider, or `empty`. One may be of several kinds.",
        sql(f"SELECT {TIME}, {columns}\n{OF_OUTCOMES}\nGROUP BY 1 ORDER BY 1", is_series=True),
        unit="reqps",
        overrides=(
            colour("degraded", RED),
            colour("stale", YELLOW),
            colour("fallback", PURPLE),
            colour("empty", GREY),
        ),
    )


def _cache() -> tuple[Json, Json]:
    by_tier = time_series(
        "Answers by cache",
        "Answered searches and extracts a second: `l1` from the memory of the process, `l2` from Redis,"
        " `collapsed` by waiting for an identical call, `miss` by asking a provider, `mixed` are"
        " extracts of both.",
        sql(
            f"SELECT {TIME}, cache AS metric, {per_second('sum(requests)')} AS value\n{OF_CACHE}\n"
            "GROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="reqps",
        is_stacked=True,
        overrides=(
            colour("l1", GREEN),
            colour("l2", BLUE),
            colour("collapsed", PURPLE),
            colour("miss", ORANGE),
        ),
    )
    ratio = time_series(
        "Hit rate over time",
        "The share of answered searches and extracts that came from the cache.",
        sql(f"SELECT {TIME}, {HIT_RATIO} AS hit_ratio\n{OF_CACHE}\nGROUP BY 1 ORDER BY 1", is_series=True),
        unit="percentunit",
        max=1,
        overrides=(colour("hit_ratio", GREEN),),
    )
    return by_tier, ratio


def _stages() -> Json:
    return time_series(
        "p95 by stage",
        "`hit`, `stale`, `collapsed` and `miss` are whole calls by how they were answered; `upstream` is"
        " the part of a miss in which providers worked and `added` the rest, which is AMOS's. Of all"
        " operations together.",
        sql(
            quantiles("dashboard_stage_latency", "stage NOT IN ('attempt', 'relayed')", "stage", (0.95,)),
            is_series=True,
        ),
        unit="s",
    )


def _money() -> tuple[Json, Json]:
    dollars = time_series(
        "Spent and saved",
        "US dollars in each point: `spent` was billed, `saved` is what the answers from the cache had cost.",
        sql(
            f"SELECT {TIME}, sum(spent_usd_micros) / 1e6 AS spent, sum(saved_usd_micros) / 1e6 AS saved\n"
            f"{OF_LEDGER}\nGROUP BY 1 ORDER BY 1",
            is_series=True,
        ),
        unit="currencyUSD",
        is_stacked=True,
        overrides=(colour("spent", ORANGE), colour("saved", GREEN)),
    )
    units = time_series(
        "Credits and tokens spent",
        "What providers have billed in each point in their own units.",
        sql(
            f"SELECT {TIME}, provider || ' ' || unit AS metric, sum(spent) / 1e6 AS value\n{OF_LEDGER}"
            " AND unit <> ''\nGROUP BY 1, 2 ORDER BY 1",
            is_series=True,
        ),
        unit="short",
        is_stacked=True,
    )
    return dollars, units


def _live() -> tuple[tuple[int, Json], ...]:
    by_outcome = time_series(
        "Calls, live",
        "Calls a second by outcome, as Prometheus has scraped them.",
        promql("sum by (outcome) (rate(amos_requests_total[$__rate_interval]))", "{{outcome}}"),
        unit="reqps",
        overrides=(colour("answered", GREEN), colour("failed", RED)),
    )
    burn = time_series(
        "Error budget burn",
        "How many times as fast as 99.9 % allow the error budget is being spent; at 1 it lasts for"
        " exactly 30 days. Alerts page at 14.4 over an hour and at 6 over six hours. Needs the recording"
        " rules of deploy/prometheus.",
        promql("max(job:amos_requests_useless:ratio_increase1h) / 0.001", "1 h"),
        promql("max(job:amos_requests_useless:ratio_increase6h) / 0.001", "6 h"),
        unit="none",
        thresholds=thresholds((None, "transparent"), (14.4, RED)),
    )
    under_way = time_series(
        "Calls under way",
        "Searches and extracts that the processes are working on, and how many they take before they"
        " answer 503. Each scrape reaches one worker of an instance.",
        promql("sum(amos_calls_under_way)", "under way"),
        promql("sum(amos_calls_max)", "room"),
        unit="short",
    )
    lag = time_series(
        "Event loop lag, p99",
        "How late the event loop of each instance was; more than 0.1 s is a process with too much to do.",
        promql(
            "histogram_quantile(0.99, sum by (le, instance)"
            " (rate(amos_event_loop_lag_seconds_bucket[$__rate_interval])))",
            "{{instance}}",
        ),
        unit="s",
    )
    return (6, by_outcome), (6, burn), (6, under_way), (6, lag)


def build() -> Json:
    """The whole dashboard."""
    by_tier, hit_ratio = _cache()
    dollars, units = _money()
    return dashboard(
        "amos-overview",
        "AMOS · Overview",
        "Traffic, errors, durations, availability against 99.9 %, cache and money.",
        variables=(*sources(), operations()),
        annotations=(circuits(),),
        rows=(
            row("In this window", (3, [(24, words("About", ABOUT))]), (4, (*_figures(), *_bills()))),
            row(
                "Rate, errors, duration",
                (8, [(12, _rate()), (12, _errors())]),
                (8, [(12, _durations()), (12, _availability())]),
            ),
            row("Cache", (8, [(8, by_tier), (8, hit_ratio), (8, _stages())]), (7, [(24, _marks())])),
            row("Money", (7, [(12, dollars), (12, units)])),
            row("Live", (7, _live())),
        ),
    )
