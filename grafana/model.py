"""Dashboards as plain dictionaries in Grafana's Classic format: panels, targets, variables, and their places.

Classic ends at schema version 42 for good; Grafana 10 to 13 load it from files, and turn it into what they
use themselves. `id` is null and every `uid` is fixed: a file is the same dashboard on every instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

SCHEMA_VERSION = 42
"""The last of the Classic format (Grafana 13)."""

COLUMNS = 24
"""How many there are in Grafana's grid, as its model of dashboards says."""

POSTGRESQL = {"type": "grafana-postgresql-datasource", "uid": "${sql}"}
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
"""Data sources as panels name them: by the variable, so that whoever reads chooses."""

POINTS_MAX = 300
"""chosen: so many points are as many as a panel can show apart, and a day of minutes is five at a time."""

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
        "datasource": targets[0]["datasource"] if targets else None,
        "targets": lettered(targets),
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
    """Lines, or stacked bars for what adds up. `defaults` are `min`, `max`, `thresholds` and the like."""
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
            "min": 0,
            "unit": unit,
            **defaults,
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
        defaults={"custom": {"align": "auto", "filterable": True, "inspect": False}},
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


def source(name: str, label: str, kind: str, uid: str) -> Json:
    """A variable that chooses among the data sources of a kind; ours is chosen at first."""
    return {
        "type": "datasource",
        "name": name,
        "label": label,
        "query": kind,
        "current": {"text": uid, "value": uid},
        "refresh": 1,
        "regex": "",
        "multi": False,
        "includeAll": False,
        "options": [],
    }


def choice(name: str, label: str, query: str) -> Json:
    """A variable with several values of PostgreSQL's, all of them at first."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": POSTGRESQL,
        "query": query,
        "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 1,
        "regex": "",
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "options": [],
    }


def text_box(name: str, label: str, value: str, description: str) -> Json:
    """A variable that the reader writes."""
    chosen = {"text": value, "value": value, "selected": True}
    return {
        "type": "textbox",
        "name": name,
        "label": label,
        "description": description,
        "query": value,
        "current": chosen,
        "options": [chosen],
    }


def annotation(name: str, query: str, hue: str) -> Json:
    """What PostgreSQL says has happened, drawn over every panel: columns time, text, tags."""
    return {
        "name": name,
        "datasource": POSTGRESQL,
        "enable": True,
        "hide": False,
        "iconColor": hue,
        "target": {"refId": "Anno", **sql(query)},
    }


def row(title: str, *lines: tuple[int, Sequence[tuple[int, Json]]]) -> tuple[str, Sequence[Any]]:
    """A heading and the lines under it: of each its height, and the width of each panel."""
    return title, lines


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    variables: Sequence[Json],
    annotations: Sequence[Json],
    rows: Sequence[tuple[str, Sequence[Any]]],
    since: str = "now-6h",
) -> Json:
    """A whole dashboard; its panels are numbered and laid out here."""
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["amos"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "refresh": "1m",
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "templating": {"list": list(variables)},
        "annotations": {"list": list(annotations)},
        "links": [_others(), _console()],
        "panels": laid_out(rows),
    }


def _others() -> Json:
    return _link(
        "AMOS", type="dashboards", tags=["amos"], icon="external link", keepTime=True, includeVars=True
    )


def _console() -> Json:
    return _link(
        "Console", type="link", url="${console}/console/overview", icon="dashboard", targetBlank=True
    )


def _link(title: str, **what: Any) -> Json:
    return {
        "title": title,
        "tags": [],
        "tooltip": "",
        "asDropdown": False,
        "keepTime": False,
        "includeVars": False,
        "targetBlank": False,
        **what,
    }


def laid_out(rows: Sequence[tuple[str, Sequence[Any]]]) -> list[Json]:
    """All panels with numbers and places, headings among them. Raises ValueError for a line too wide."""
    panels: list[Json] = []
    y = 0
    for title, lines in rows:
        heading = {"type": "row", "title": title, "collapsed": False, "panels": []}
        panels.append(_placed(heading, len(panels), {"x": 0, "y": y, "w": COLUMNS, "h": 1}))
        y += 1
        for height, line in lines:
            x = 0
            for width, one in line:
                panels.append(_placed(one, len(panels), {"x": x, "y": y, "w": width, "h": height}))
                x += width
            if x > COLUMNS:
                raise ValueError(f"A line of the row {title!r} has {x} columns.")
            y += height
    return panels


def _placed(one: Json, number: int, place: Json) -> Json:
    return {"id": number + 1, **one, "gridPos": place}
