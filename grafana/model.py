"""Dashboards as plain dictionaries in Grafana's Classic format: variables, rows, and the places of panels.

Classic ends at schema version 42 for good; Grafana 10 to 13 load it from files, and turn it into what they
use themselves. `id` is null and every `uid` is fixed: a file is the same dashboard on every instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana.panels import POSTGRESQL, Json, sql

SCHEMA_VERSION = 42
"""The last of the Classic format (Grafana 13)."""

COLUMNS = 24
"""How many there are in Grafana's grid, as its model of dashboards says."""


def source(name: str, kind: str, chosen: str, uid: str) -> Json:
    """A variable that chooses among the data sources of a kind; `chosen` and its uid are so at first."""
    return {
        "type": "datasource",
        "name": name,
        "label": chosen.removeprefix("AMOS "),
        "query": kind,
        "current": {"text": chosen, "value": uid},
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
