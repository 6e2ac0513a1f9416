"""What Grafana does to a query before a database sees it: puts in the variables, then expands the macros.

The first happens in the browser, the second in its server (macros.go and sqleng/sql_engine.go under
pkg/tsdb/grafana-postgresql-datasource, read on 2026-11-30). Both are done here as they are there, with their
oddities: the argument of a macro ends at the first `)`, and `$__timeGroup` before a comma names its column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

Json = dict[str, Any]

VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?:\.([^:}]+))?(?::([^}]+))?\}")
"""Grafana's own pattern, without the old `[[name]]`."""

MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")

UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

GLOBALS = frozenset({"__interval", "__interval_ms", "__rate_interval", "__value", "__data"})
"""Variables that Grafana has by itself, and whose value is put in later or elsewhere."""


class UnknownMacro(ValueError):
    """A macro that PostgreSQL's data source does not have."""


class UnknownVariable(ValueError):
    """A variable that the dashboard does not have: Grafana would leave it in the query."""


class Window(NamedTuple):
    """What the reader looks at: a range of time in epoch seconds, and how much of it is one point."""

    since: int
    until: int
    interval_s: int = 60


def panels_of(dashboard: Json) -> Iterator[Json]:
    """Every panel but the headings."""
    for panel in dashboard["panels"]:
        yield from panel.get("panels", ())
        if panel["type"] != "row":
            yield panel


def values_of(dashboard: Json, chosen: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str] | str]:
    """The variables of a dashboard with what is chosen for them, or what is chosen at first."""
    return {
        variable["name"]: chosen.get(variable["name"], variable["current"]["value"])
        for variable in dashboard["templating"]["list"]
    }


def interpolated(text: str, values: Mapping[str, Sequence[str] | str]) -> str:
    """The text with its variables put in. Raises UnknownVariable."""

    def value_of(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name in GLOBALS or found[0].startswith("$__"):
            return found[0]
        if name not in values:
            raise UnknownVariable(f"There is no variable {name!r}.")
        return _written(values[name], found[4] or "")

    return VARIABLE.sub(value_of, text)


def _written(value: Sequence[str] | str, form: str) -> str:
    several = [value] if isinstance(value, str) else list(value)
    if form == "sqlstring":
        return ",".join("'" + one.replace("'", "''") + "'" for one in several)
    if form == "regex":
        escaped = [re.sub(r"([\\^$*+?.()|[\]{}/])", r"\\\1", one) for one in several]
        return escaped[0] if isinstance(value, str) else f"({'|'.join(escaped)})"
    if form or not isinstance(value, str):
        raise UnknownVariable(f"No form {form!r} for {value!r} is known.")
    return value


def expanded(query: str, window: Window) -> str:
    """The query as PostgreSQL gets it. Raises UnknownMacro, ValueError."""
    query = query.replace("$__interval_ms", str(window.interval_s * 1_000))
    query = query.replace("$__interval", f"{window.interval_s}s")
    query = query.replace("$__unixEpochFrom()", str(window.since))
    query = query.replace("$__unixEpochTo()", str(window.until))

    def macro(found: re.Match[str]) -> str:
        name, arguments = found[1], [one.strip(" ") for one in found[2].split(",")]
        if name == "__timeGroup" and query[found.end() : found.end() + 1] == ",":
            name = "__timeGroupAlias"
        return _evaluated(name, arguments, window)

    return MACRO.sub(macro, query)


def _evaluated(name: str, arguments: Sequence[str], window: Window) -> str:
    since, until = (f"'{_rfc3339(moment)}'" for moment in (window.since, window.until))
    column = arguments[0]
    match name:
        case "__time":
            return f'{column} AS "time"'
        case "__timeEpoch":
            return f'extract(epoch from {column}) as "time"'
        case "__timeFilter":
            return f"{column} BETWEEN {since} AND {until}"
        case "__timeFrom":
            return since
        case "__timeTo":
            return until
        case "__unixEpochFilter":
            return f"{column} >= {window.since} AND {column} <= {window.until}"
        case "__timeGroup":
            seconds = _seconds(name, arguments)
            return f"floor(extract(epoch from {column})/{seconds})*{seconds}"
        case "__unixEpochGroup":
            seconds = _seconds(name, arguments)
            return f"floor(({column})/{seconds})*{seconds}"
        case "__timeGroupAlias" | "__unixEpochGroupAlias":
            return _evaluated(name.removesuffix("Alias"), arguments, window) + ' AS "time"'
        case _:
            raise UnknownMacro(f"There is no macro {name!r}.")


def _rfc3339(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(name: str, arguments: Sequence[str]) -> str:
    """The second argument as Go writes a number of seconds: from a million on with an exponent."""
    if len(arguments) < 2:
        raise ValueError(f"{name} needs a column and an interval.")
    given = re.fullmatch(r"(\d+)([smhdw])", arguments[1].strip("'"))
    if given is None:
        raise ValueError(f"{arguments[1]} is no interval.")
    seconds = int(given[1]) * UNITS_S[given[2]]
    if seconds < 1_000_000:
        return str(seconds)
    digits = f"{seconds:e}".split("e")
    return f"{digits[0].rstrip('0').rstrip('.')}e+{int(digits[1]):02d}"


def prometheus_form(expression: str, window: Window) -> str:
    """An expression of PromQL with Grafana's own variables put in; a rate is taken over four scrapes."""
    return expression.replace("$__rate_interval", "1m").replace("$__interval", f"{window.interval_s}s")
