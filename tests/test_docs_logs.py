"""docs/operations/logs.md has every field of a line, by its type, and the settings of the log."""

from __future__ import annotations

import re
from pathlib import Path

from api.settings import variables
from api.settings_logs import LogSettings
from tests.support import ecs

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations" / "logs.md"


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    part = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()[2:]]


def test_every_field_is_documented_by_its_type():
    """A field that is not there is found by nobody; one that is only there is waited for."""
    known = {name: kind.removesuffix("[]") for name, kind in {**ecs.FIELDS, **ecs.OURS}.items()}
    documented: list[str] = []
    for cells in rows("Fields"):
        names = re.findall(r"`([\w.@]+)`", cells[0])
        assert set(cells[1].split(", ")) == {known[name] for name in names}, names
        documented += names

    assert sorted(documented) == sorted(known)


def test_every_setting_of_the_log_is_documented():
    """By its variable."""
    named = [re.findall(r"`(\w+)`", cells[0])[0] for cells in rows("Settings")]

    assert named == [variables(field)[0] for field in LogSettings.model_fields]
