"""Writes the dashboards that are kept beside this: `python -m grafana.generate` after a change here.

What is in dashboards/ is made, never written: a test makes it again and compares the bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana import event_store, overview, providers, queries
from grafana.panels import Json

FOLDER = Path(__file__).resolve().parent / "dashboards"

BUILDERS = (overview.build, providers.build, queries.build, event_store.build)


def dashboards() -> list[Json]:
    """All of them."""
    return [build() for build in BUILDERS]


def text_of(dashboard: Json) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for dashboard in dashboards():
        (FOLDER / f"{dashboard['uid']}.json").write_text(text_of(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
