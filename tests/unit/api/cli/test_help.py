"""The help of every command, and the rules that all commands keep: one table, so that none is forgotten."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.core import TyperCommand

from api.cli import main, report
from api.cli.app import HELP_COLUMNS_MAX, app
from api.cli.command_tree import Command, commands, documented
from api.cli.failure import CommandError
from api.cli.help_texts import SETTINGS, TEXTS
from api.cli.man import page
from api.settings import NOT_SETTINGS, Settings, variables

REPORTS = get_args(report.Name)

ROOT = Path(__file__).resolve().parents[4]

ROOT_COMMAND = documented(app)

ALL: dict[str, Command] = {
    command.path: command for command in commands(typer.Context(ROOT_COMMAND, info_name="amos"))
}
"""Every command and group by its path; the root is `""`."""

RUNNABLE = {path: command for path, command in ALL.items() if path and not command.subcommands}

NEEDED = {
    "search": ["tides"],
    "extract": ["https://example.org"],
    "report": ["health"],
    "events show": ["01a2219c-6f1c-7319-ad15-fc7e3eb4aa78"],
    "events prune": ["--before", "90d"],
    "keys create": ["--client", "acme"],
    "keys rotate": ["k"],
    "keys revoke": ["k"],
    "completion": ["bash"],
    "providers add": ["a", "--kind", "searxng"],
    "providers move": ["a", "1"],
    "providers enable": ["a"],
    "providers disable": ["a"],
    "providers remove": ["a"],
    "providers test": ["a"],
}
"""The least that a command wants to be told."""

WITHOUT_JSON = {"serve", "recorder", "mcp", "events export", "completion", "man"}
"""Servers, and what prints a format of its own."""


@pytest.fixture(autouse=True)
def one_tree(monkeypatch):
    """Made once: making all commands anew for each of hundreds of command lines takes a minute."""
    monkeypatch.setattr("api.cli.app.documented", lambda _: ROOT_COMMAND)


def help_of(path: str) -> str:
    """The help of a command, as wide as COLUMNS allows."""
    command = functools.reduce(lambda group, name: group.commands[name], path.split(), ROOT_COMMAND)
    context = typer.Context(command, info_name="amos", max_content_width=HELP_COLUMNS_MAX)
    return command.get_help(context)


def test_every_command_has_examples_and_further_reading():
    """A command without an entry has half a help, an entry without a command is about nothing."""
    assert RUNNABLE.keys() - TEXTS.keys() == set()
    assert TEXTS.keys() - RUNNABLE.keys() == set()


def test_every_command_and_option_says_what_it_is_for():
    """A sentence each, beginning with a capital or what is quoted, and none without a name for its value."""
    lacking = [
        f"{path} {one.term}"
        for path, command in ALL.items()
        for one in (*command.options, *command.arguments)
        if len(one.help) < 8 or (one.names and re.search(r"<(str|list\[str\]|path)>", one.term))
    ]

    assert [path for path, command in ALL.items() if not command.help.partition("\n")[0].endswith(".")] == []
    assert lacking == []


def test_lists_of_commands_are_not_cut(monkeypatch):
    """At 80 columns each command is told in a whole sentence, so its first one is short."""
    monkeypatch.setenv("COLUMNS", "80")
    groups = [path for path, command in ALL.items() if command.subcommands]
    cut = [
        line
        for path in groups
        for line in help_of(path).splitlines()
        if re.match(r"  [a-z]+ .*\.\.\.$", line)
    ]

    assert {"", "providers"} <= set(groups)
    assert cut == []


def test_every_variable_exists():
    """Help names settings that are read."""
    known = {name for field in Settings.model_fields for name in variables(field)} | NOT_SETTINGS | {"TZ"}
    named = {name for text in TEXTS.values() for name in text.environment} - {SETTINGS}

    assert named - known == set()


@pytest.mark.parametrize("path", RUNNABLE)
def test_what_help_points_to_is_there(path: str):
    """Files of the documentation exist, and so do commands."""
    for one in TEXTS[path].see:
        if one.startswith("amos "):
            path_of = one.removeprefix("amos ").removeprefix("report ")  # the reports are arguments
            assert path_of in {*ALL, "--help", *REPORTS}, one
        else:
            assert (ROOT / one).exists(), one


@pytest.mark.parametrize("path", RUNNABLE)
def test_examples_can_be_typed(path: str):
    """Each begins the command it stands at, and uses options that it has."""
    names = {name for one in ALL[path].options for name in one.names}
    for line, what in TEXTS[path].examples:
        typed = line.partition("amos ")[2].partition(" |")[0].partition(" &&")[0].partition(")")[0]
        words = shlex.split(typed)

        assert typed.startswith(path), line
        assert {word for word in words if word.startswith("-") and word != "-"} <= names, line
        assert what.endswith("."), what


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_help_fits_the_terminal(monkeypatch, columns: int):
    """Nothing is wider than the terminal or 100 columns, but examples and choices, which must not be cut."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for path in ALL:
        shown = help_of(path)
        wide = [
            line
            for line in shown.splitlines()
            if len(line) > min(columns, HELP_COLUMNS_MAX)
            and not re.search(r"\$ |<[\w-]+(\||>)|^  +\d+ ", line)
        ]

        assert wide == []
        assert "\x1b" not in shown
        assert shown.startswith("Usage: amos")


@pytest.mark.parametrize("path", RUNNABLE)
def test_help_says_how_a_command_ends(capsys, path: str):
    """Examples, every exit code, and where to read on."""
    assert main([*path.split(), "--help"]) == 0
    shown = capsys.readouterr().out

    for part in ("Examples:", "Exit codes:", "See also:", *("\n    0 ", "\n    1 ", "\n    2 ", "\n    130")):
        assert part in shown


@pytest.mark.parametrize("path", RUNNABLE)
def test_programs_are_spoken_to_in_json(path: str):
    """Every command that tells something has --json."""
    has = any("--json" in one.names for one in ALL[path].options)

    assert has is (path not in WITHOUT_JSON)


@pytest.mark.parametrize("path", [path for path in ALL if path])
def test_what_nobody_knows_is_a_usage_error(capsys, path: str):
    """An unknown option is exit code 2, a sentence and the way to the help, and nothing is done."""
    assert main([*path.split(), "--no-such-option"]) == 2
    said = capsys.readouterr()

    assert said.out == ""
    assert said.err.startswith("Error: ")
    assert f"amos {path} --help" in said.err


ENDS = [(KeyboardInterrupt(), 130), (CommandError("No."), 1), (CommandError("No.", exit_code=2), 2)]

MORE_ENDS = [(typer.Abort(), 130), (OSError(28, "No space left on device"), 1), (RuntimeError("a bug"), 1)]


@pytest.mark.parametrize(
    ("path", "end", "exit_code"),
    [(path, *end) for path in RUNNABLE for end in ENDS] + [("doctor", *end) for end in MORE_ENDS],
)
def test_every_end_has_its_exit_code(monkeypatch, capsys, path: str, end: BaseException, exit_code: int):
    """However a command ends, its exit code says how, and a person gets a sentence and no traceback."""

    def ends(*_: object) -> None:
        raise end

    monkeypatch.setattr(TyperCommand, "invoke", ends)

    assert main([*path.split(), *NEEDED.get(path, [])]) == exit_code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.startswith("Error: ") or exit_code == 130


def test_the_documentation_names_every_command():
    """docs/cli.md has a row for each."""
    rows = [
        line for line in (ROOT / "docs" / "cli.md").read_text().splitlines() if line.startswith("| `amos ")
    ]
    for path in RUNNABLE:
        group, _, name = path.rpartition(" ")

        assert any(
            row.startswith(f"| `amos {group or name}") and re.search(rf"\b{name}\b", row) for row in rows
        ), path


def test_the_manual_has_all_of_it():
    """Each command is a part of the manual, with each of its options and examples."""
    manual = page(list(ALL.values())).replace("\\-", "-").replace("\\e", "\\")

    for path, command in RUNNABLE.items():
        assert f"\n.SS amos {path}\n" in manual
        part = manual.partition(f"\n.SS amos {path}\n")[2].partition("\n.SS")[0]
        assert all(one.term in part for one in command.options if "--help" not in one.names)
        assert all(line in part for line, _ in TEXTS[path].examples)


def test_the_manual_is_read_without_a_complaint(tmp_path):
    """Groff, which man calls, warns of nothing; where it is not installed nothing can be tried."""
    (tmp_path / "amos.1").write_text(page(list(ALL.values())))
    try:
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", str(tmp_path / "amos.1")],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except FileNotFoundError:
        pytest.skip("groff is not installed")

    assert done.stderr == ""
    assert "EXIT STATUS" in re.sub(".\b", "", done.stdout)
