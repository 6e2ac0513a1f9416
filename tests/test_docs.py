"""The documentation tells the truth: of settings, of what tutorials show, of where files are."""

from __future__ import annotations

import re
from pathlib import Path

from api.settings import NOT_SETTINGS, Settings, load, variables

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / ".env.example"
PLUGIN = ROOT / "examples" / "amos-provider-wikipedia"
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


def test_every_file_of_the_core_has_its_place_on_the_map():
    """docs/architecture.md names each file beside the folders of the core once, and none there is not."""
    files = {file.stem for file in (ROOT / "orchestrator").glob("*.py")} - {"__init__"}
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("| about | files |")[2]
    named = re.findall(r"`(\w+)`", table.partition("\n\n")[0])

    assert sorted(named) == sorted(files)


def test_the_tutorial_shows_the_example_as_it_is():
    """What docs/plugins.md makes from nothing is the package that the tests install, to the letter."""
    tutorial = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")

    for file in ("pyproject.toml", "amos_provider_wikipedia.py"):
        assert (PLUGIN / file).read_text(encoding="utf-8") in tutorial, file


def test_the_example_is_short():
    """A provider takes sixty lines of Python at most, blank ones included."""
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in PLUGIN.rglob("*.py")) <= 60
