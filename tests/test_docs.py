"""The documentation tells the truth about the settings: each is in `.env.example`, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

from api.settings import NOT_SETTINGS, Settings, load, variables

EXAMPLE = Path(__file__).resolve().parent.parent / ".env.example"
LINE = re.compile(r"^#? ?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$", re.MULTILINE)


def documented() -> dict[str, str]:
    """Name and value of every variable in the example, those commented out included."""
    return {found["name"]: found["value"] for found in LINE.finditer(EXAMPLE.read_text(encoding="utf-8"))}


def existing() -> set[str]:
    """Every variable that somebody reads."""
    return {name for field in Settings.model_fields for name in variables(field)} | NOT_SETTINGS


def test_every_setting_is_documented():
    """A setting that is not in .env.example does not exist for anybody."""
    assert existing() - documented().keys() == set()


def test_nothing_else_is_documented():
    """A variable in .env.example that nobody reads would be believed in."""
    assert documented().keys() - existing() == set()


def test_the_example_shows_the_defaults():
    """Taking away every # in .env.example changes nothing."""
    assert load({name: value for name, value in documented().items() if name not in NOT_SETTINGS}) == load({})


def test_the_example_sets_nothing():
    """Copying .env.example to .env changes nothing, and puts no secret into it."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []
