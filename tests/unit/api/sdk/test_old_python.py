"""The client runs in other people's environments: what it is written in, and what it says that it needs."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

SDK = Path(__file__).resolve().parents[4] / "api" / "sdk"

OLDEST = (3, 10)

NEWER = {
    "typing": {"Self", "Unpack", "TypeVarTuple", "LiteralString", "Never", "assert_never", "override"},
    "asyncio": {"timeout", "timeout_at", "TaskGroup", "Runner", "Barrier"},
    "datetime": {"UTC"},
    "enum": {"StrEnum", "verify", "member"},
    "tomllib": set(),
    "builtins": {"ExceptionGroup", "BaseExceptionGroup"},
}
"""Names and modules that came with Python 3.11 and 3.12; an empty set means the whole module."""


def newer_names(source: str) -> list[str]:
    """What a source uses at run time that the oldest Python does not have."""
    tree = ast.parse(source, feature_version=OLDEST)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if NEWER.get(name.name) == set()]
        if isinstance(node, ast.ImportFrom) and node.module in NEWER:
            names = NEWER[node.module]
            found += [name.name for name in node.names if not names or name.name in names]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [node.attr] if node.attr in NEWER.get(node.value.id, set()) else []
        if isinstance(node, ast.Name) and node.id in NEWER["builtins"]:
            found.append(node.id)
    return found


@pytest.mark.parametrize(
    "source",
    ["from typing import Self", "import tomllib", "asyncio.timeout(1)", "raise ExceptionGroup('', [])"],
)
def test_what_is_too_new_is_seen(source):
    """The check finds each kind of it, and not what only a type checker reads."""
    assert newer_names(source)
    if source.startswith(("from", "import")):
        assert not newer_names(f"if TYPE_CHECKING:\n    {source}")


def test_newer_syntax_is_seen():
    """What the oldest Python cannot even read is an error of the check."""
    with pytest.raises(SyntaxError):
        newer_names("try:\n    pass\nexcept* ValueError:\n    pass\n")


def test_the_client_runs_on_the_python_it_names():
    """No module uses at run time what that Python lacks; annotations are never evaluated."""
    files = sorted((SDK / "amos_sdk").glob("*.py"))
    sources = {file.name: file.read_text(encoding="utf-8") for file in files}

    assert {name: newer_names(source) for name, source in sources.items() if newer_names(source)} == {}
    assert [
        name
        for name, source in sources.items()
        if "from __future__ import annotations" not in source and name != "__init__.py"
    ] == []


def test_the_client_says_what_it_needs():
    """It needs httpx and nothing else; the Python of the check above; types that a checker may use."""
    project = tomllib.loads((SDK / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["requires-python"] == f">={OLDEST[0]}.{OLDEST[1]}"
    assert [one.partition(">=")[0] for one in project["dependencies"]] == ["httpx"]
    assert (SDK / "amos_sdk" / "py.typed").exists()
    assert (SDK / project["readme"]).exists()
