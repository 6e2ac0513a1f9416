"""Writes the dashboards and the page about their panels: `python -m grafana.generate` after a change here.

What is in dashboards/ is made, never written: a test makes it again and compares the bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana import event_store, overview, providers, queries
from grafana.panels import Json

FOLDER = Path(__file__).resolve().parent / "dashboards"

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations" / "dashboard-panels.md"

BUILDERS = (overview.build, providers.build, queries.build, event_store.build)

INTRODUCTION = """# What each panel means

The words are those that Grafana shows behind the *i* of a panel. *History* is asked of PostgreSQL, *live* of
Prometheus; [another page](dashboards.md) tells how to get the dashboards. This one is made by
`.venv/bin/python -m grafana.generate`.
"""


def dashboards() -> list[Json]:
    """All of them."""
    return [build() for build in BUILDERS]


def files() -> dict[Path, str]:
    """What is made of them: every file with its text."""
    made = dashboards()
    texts = {
        FOLDER / f"{one['uid']}.json": json.dumps(one, indent=1, ensure_ascii=False) + "\n" for one in made
    }
    return {**texts, PAGE: "\n".join([INTRODUCTION, *map(_section, made)])}


def _section(dashboard: Json) -> str:
    lines = [f"## {dashboard['title']}", dashboard["description"]]
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            lines += ["", f"### {panel['title']}", "", "| panel | from | says |", "|---|---|---|"]
        elif panel["type"] != "text":
            source = "live" if "expr" in panel["targets"][0] else "history"
            lines.append(f"| {panel['title']} | {source} | {panel['description']} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
