"""The completion of shells, in the shells themselves: what is offered where, and how fast."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine

BASH = """
source {script}
COMP_WORDS=({words})
COMP_CWORD={last}
_amos
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# The parts of zsh that only work while somebody types are replaced by what they are asked to show.
ZSH = """
compdef() {{ : }}
compset() {{ : }}
_files() {{ print -l -- ./* }}
_describe() {{ print -l -- "${{(@P)2}}" }}
source {script}
words=({words})
CURRENT={last}
(( CURRENT += 1 ))
_amos
"""

CASES = {
    "commands": ([""], {"search", "serve", "events", "completion"}, {"tail", "--json", "--help"}),
    "beginning": (["re"], {"report", "recorder"}, {"search"}),
    "subcommands": (["events", ""], {"tail", "show", "export"}, {"search"}),
    "choices": (["report", ""], {"health", "hit-rate", "cost"}, {"tail"}),
    "options": (["search", "--"], {"--depth", "--url", "--json"}, {"--follow"}),
    "values": (["search", "tides", "--depth", ""], {"basic", "advanced"}, {"--json", "search"}),
    "after a value": (["events", "-n", "5", ""], {"tail", "show"}, {"basic"}),
    "scopes": (["keys", "create", "--scope", ""], {"search", "admin"}, {"basic"}),
    "groups": (["report", "cost", "--by", ""], {"client", "hour"}, {"health"}),
    "files": (["index", ""], {"notes.md"}, {"search"}),
    "a file": (["search", "--key-file", ""], {"notes.md"}, {"search"}),
    "a flag takes nothing": (["report", "--json", ""], {"health"}, {"--json"}),
    "nothing known": (["search", ""], set(), {"search", "report", "tail"}),
    "kinds": (["providers", "add", "--kind", ""], {"searxng", "mcp", "tavily"}, {"list"}),
    "shells": (["completion", ""], {"bash", "zsh", "fish"}, {"search"}),
}


@pytest.fixture
def script(amos: CommandLine) -> Path:
    """A folder with the script of each shell, and a file to be completed."""
    for shell in ("bash", "zsh", "fish"):
        (amos.folder / f"amos.{shell}").write_text(amos.run("completion", shell).stdout)
    (amos.folder / "notes.md").write_text("")
    return amos.folder


def offered(shell: str, folder: Path, words: list[str]) -> set[str]:
    """The words that the shell offers after `./amos` and these words, of which the last is being typed."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    typed = " ".join(f"'{word}'" for word in ("./amos", *words))
    if shell == "fish":
        source = f"source amos.fish; complete -C './amos {' '.join(words)}'"
    else:
        source = {"bash": BASH, "zsh": ZSH}[shell].format(
            script=folder / f"amos.{shell}", words=typed, last=len(words)
        )
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *options, "-c", source], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    separator = {"bash": "\n", "zsh": ":", "fish": "\t"}[shell]
    found = {line.split(separator)[0].removeprefix("./") for line in done.stdout.splitlines()} - {""}
    # zsh drops by itself what does not begin with what is typed.
    return {word for word in found if word.startswith(words[-1])} if shell == "zsh" else found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_offers_what_may_come(script: Path, shell: str):
    """At each place the words that may stand there, none that may not, and files where files are meant."""
    for name, (words, wanted, unwanted) in CASES.items():
        found = offered(shell, script, words)

        assert wanted <= found, name
        assert not unwanted & found, name


@pytest.mark.parametrize(
    "words", [["events", "export", "--format", "="], ["events", "export", "--format", "=", "c"]]
)
def test_bash_splits_at_an_equals_sign(script: Path, words: list[str]):
    """`--format=c` reaches a function of bash as three words, and is completed all the same."""
    assert "csv" in offered("bash", script, words)


def test_bash_finds_the_function_for_the_launcher(script: Path):
    """The completion of `amos` is used for `./amos` and for a path as well: bash looks at the last part."""
    listed = subprocess.run(
        ["bash", "--norc", "-c", f"source {script}/amos.bash; complete -p amos"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert listed.stdout == "complete -F _amos amos\n"


def test_a_completion_takes_no_time(script: Path):
    """Nothing is started but the shell: fifty completions take less than 300 ms each."""
    source = BASH.format(script=script / "amos.bash", words="./amos search --d", last=2)
    begun = time.perf_counter()
    subprocess.run(
        ["bash", "--norc", "-c", source + "_amos\n" * 50], check=True, capture_output=True, timeout=60
    )

    assert (time.perf_counter() - begun) / 51 < 0.3


def test_a_shell_that_is_none_is_a_usage_error(amos: CommandLine):
    """The three that there are, are named."""
    done = amos.run("completion", "csh")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "fish" in done.stderr
