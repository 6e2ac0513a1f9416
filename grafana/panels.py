"""Panels as plain dictionaries, as Grafana keeps them: what is asked, and how the answer is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

POSTGRESQL = {"type": "grafana-postgresql-datasource", "uid": "${sql}"}
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
"""Data sources as panels name them: by the variable, so that whoever reads chooses."""

POINTS_MAX = 200
"""chosen: as many as a small panel shows apart; a week is then read by the hour, a year by the day."""

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = (
    *("#73BF69", "#F2CC0C", "#FF9830", "#F2495C", "#5794F2", "#B877D9"),
    "#8E8E8E",
)
"""Of Grafana's classic palette; what is good is green wherever it is shown."""


def panel(
    kind: str,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    defaults: Mapping[str, Any],
    options: Mapping[str, Any],
    overrides: Sequence[Json] = (),
) -> Json:
    """A panel of any kind; `description` says what is shown, in which unit, and what to make of it."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        **({"datasource": targets[0]["datasource"], "targets": lettered(targets)} if targets else {}),
        # A minute is the finest that is kept.
        **({"interval": "1m", "maxDataPoints": POINTS_MAX} if _is_sql(targets) else {}),
        "fieldConfig": {"defaults": dict(defaults), "overrides": list(overrides)},
        "options": dict(options),
    }


def _is_sql(targets: Sequence[Json]) -> bool:
    return any("rawSql" in target for target in targets)


def lettered(targets: Iterable[Json]) -> list[Json]:
    """The targets with their letters, by which everything else refers to them."""
    return [{"refId": chr(ord("A") + number), **target} for number, target in enumerate(targets)]


def sql(query: str, *, is_series: bool = False) -> Json:
    """What PostgreSQL is asked: a table, or series with a column `time` and perhaps one `metric`."""
    return {
        "datasource": POSTGRESQL,
        "editorMode": "code",
        "format": "time_series" if is_series else "table",
        "rawQuery": True,
        "rawSql": query,
    }


def promql(expression: str, legend: str, *, is_instant: bool = False) -> Json:
    """What Prometheus is asked; `legend` names the series by its labels."""
    return {
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": expression,
        "instant": is_instant,
        "legendFormat": legend,
        "range": not is_instant,
    }


def colour(name: str, value: str) -> Json:
    """The series of this name has this colour."""
    return override(name, ("color", {"mode": "fixed", "fixedColor": value}))


def override(name: str, *properties: tuple[str, Any]) -> Json:
    """What is different about the field of this name."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties],
    }


def thresholds(*steps: tuple[float | None, str]) -> Json:
    """Colours by value; the first step is for everything below the second, and has no value."""
    return {"mode": "absolute", "steps": [{"value": value, "color": named} for value, named in steps]}


def time_series(
    title: str,
    description: str,
    *targets: Json,
    unit: str,
    is_stacked: bool = False,
    overrides: Sequence[Json] = (),
    **defaults: Any,
) -> Json:
    """Lines, or stacked bars for what adds up. `defaults` are `min` (0 if not `None`), `max` and the like."""
    custom: Json = {
        "drawStyle": "bars" if is_stacked else "line",
        "fillOpacity": 70 if is_stacked else 8,
        "lineWidth": 0 if is_stacked else 2,
        "showPoints": "never",
        # Where nothing happened there is no row; a gap of more than an hour stays one.
        "spanNulls": 3_600_000,
        "stacking": {"mode": "normal" if is_stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if "thresholds" in defaults else "off"},
    }
    return panel(
        "timeseries",
        title,
        description,
        targets,
        defaults={
            "color": {"mode": "palette-classic-by-name"},
            "custom": custom,
            "unit": unit,
            **{key: value for key, value in {"min": 0, **defaults}.items() if value is not None},
        },
        options={
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        overrides=overrides,
    )


def stat(title: str, description: str, target: Json, *, unit: str, **defaults: Any) -> Json:
    """One figure."""
    return panel(
        "stat",
        title,
        description,
        [target],
        defaults={
            "color": {"mode": "thresholds"},
            "noValue": "-",
            "thresholds": thresholds((None, BLUE)),
            "unit": unit,
            **defaults,
        },
        options={
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showPercentChange": False,
            "textMode": "auto",
            "wideLayout": True,
        },
    )


def table(title: str, description: str, target: Json, overrides: Sequence[Json] = ()) -> Json:
    """Rows as they come; `overrides` give the columns their units and links."""
    return panel(
        "table",
        title,
        description,
        [target],
        defaults={
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False}
        },
        options={"cellHeight": "sm", "frameIndex": 0, "showHeader": True},
        overrides=overrides,
    )


def heatmap(title: str, description: str, target: Json, *, unit: str) -> Json:
    """One row for each column of the target, in their order; a column is named by its upper bound."""
    return panel(
        "heatmap",
        title,
        description,
        [target],
        defaults={"custom": {"scaleDistribution": {"type": "linear"}}},
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {
                "exponent": 0.5,
                "fill": "dark-orange",
                "mode": "scheme",
                "reverse": False,
                "scale": "exponential",
                "scheme": "Oranges",
                "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "le", "value": "calls"},
            "showValue": "never",
            "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        },
    )


def states(title: str, description: str, target: Json, words: Mapping[int, tuple[str, str]]) -> Json:
    """A line for each series, coloured by state; `words` are the name and the colour of each value."""
    named = {
        str(value): {"text": word, "color": hue, "index": place}
        for place, (value, (word, hue)) in enumerate(words.items())
    }
    return panel(
        "state-timeline",
        title,
        description,
        [target],
        defaults={
            "color": {"mode": "thresholds"},
            "custom": {"fillOpacity": 80, "lineWidth": 0},
            "mappings": [{"type": "value", "options": named}],
            "thresholds": thresholds((None, GREY)),
        },
        options={
            "alignValue": "left",
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
            "mergeValues": True,
            "rowHeight": 0.8,
            "showValue": "auto",
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def words(title: str, markdown: str) -> Json:
    """A text."""
    return panel(
        "text", title, "", [], defaults={}, options={"mode": "markdown", "content": markdown, "code": _CODE}
    )


_CODE = {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False}
