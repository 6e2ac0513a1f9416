"""`amos completion`: lets a shell complete the commands, options and choices of `amos`.

The script holds all of them as a table. Asking the program on each press of the tab key, as typer's own
scripts do, costs the start of Python each time, over a quarter of a second on a quick machine; the table
costs nothing, needs no environment yet, and works for `./amos` as for `amos`. Its price: a new version wants
a new script.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli import command_tree, output
from api.cli.completion_scripts import BASH, FISH, ZSH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from api.cli.command_tree import Command, Parameter

Words = dict[str, list[tuple[str, str]]]
"""What may come at a place: words, each with what it is for."""


def completion(
    context: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell to write it for.")],
) -> None:
    """Print a script for completion in the shell. It completes commands, options and choices.

    It works for `amos` and for `./amos`. Print it again after an update.
    """
    known = list(command_tree.commands(context))
    output.data_bytes(SCRIPTS[shell](known).encode())


def bash(known: Sequence[Command]) -> str:
    """The script for bash 3.2 and newer, which shows words alone."""

    def line(words: Iterable[tuple[str, str]]) -> str:
        return shlex.quote(" ".join(word for word, _ in words))

    return BASH.format(**_cases(known, line))


def zsh(known: Sequence[Command]) -> str:
    """The script for zsh, which shows beside each word what it is for."""

    def lines(words: Iterable[tuple[str, str]]) -> str:
        described = [word.replace(":", r"\:") + (f":{what}" if what else "") for word, what in words]
        return shlex.quote("\n".join(described))

    return ZSH.format(**_cases(known, lines))


def _cases(known: Sequence[Command], form: Callable[[Iterable[tuple[str, str]]], str]) -> dict[str, str]:
    words, options, values = tables(known)
    return {
        "commands": "|".join(shlex.quote(command.path) for command in known if command.path),
        "words": _case(words, form),
        "options": _case(options, form),
        "values": _case(values, form),
    }


def _case(table: Words, form: Callable[[Iterable[tuple[str, str]]], str]) -> str:
    """The branches of a `case` that set REPLY; places with the same words share one."""
    places: dict[str, list[str]] = {}
    for place, found in table.items():
        places.setdefault(form(found), []).append(shlex.quote(place))
    return "\n".join(f"        {'|'.join(same)}) REPLY={found} ;;" for found, same in places.items())


def tables(known: Sequence[Command]) -> tuple[Words, Words, Words]:
    """What may come after a command, which options it has, and what may come after an option of it."""
    summaries = {command.path: command.summary for command in known}
    words: Words = {}
    options: Words = {}
    values: Words = {}
    for command in known:
        below = [(name, summaries.get(f"{command.path} {name}".strip(), "")) for name in command.subcommands]
        choices = [(value, "") for argument in command.arguments for value in argument.values or ()]
        words[command.path] = [(name, what) for name, what in below if what] + choices
        offered = [option for option in command.options if "--help" not in option.names]
        options[command.path] = [(_long(option), _brief(option.help)) for option in offered]
        for option in offered:
            if option.values is not None:
                for name in option.names:
                    values[f"{command.path} {name}".strip()] = [(value, "") for value in option.values]
    return words, options, values


def _long(option: Parameter) -> str:
    return next((name for name in option.names if name.startswith("--")), option.names[0])


def _brief(text: str) -> str:
    """The first sentence, on one line, without its full stop."""
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def fish(known: Sequence[Command]) -> str:
    """The script for fish, in its own declarations."""
    _, _, values = tables(known)
    taking = " ".join(shlex.quote(place) for place in values)
    paths = " ".join(shlex.quote(command.path) for command in known if command.path)
    lines: list[str] = []
    for command in known:
        lines += _declared(command, known)
    return FISH.format(commands=paths, taking=taking, declarations="\n".join(lines))


def _declared(command: Command, known: Sequence[Command]) -> list[str]:
    here = f"complete -c amos -n {_fish_quoted('__amos_at ' + _fish_quoted(command.path))}"
    words, _, _ = tables(known)
    lines = []
    for word, what in words[command.path]:
        lines.append(
            f"{here} -F"
            if word == command_tree.FILE
            else f"{here} -a {_fish_quoted(word)} -d {_fish_quoted(what)}"
        )
    for option in command.options:
        names = "".join(
            f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in option.names
        )
        takes = ""
        if option.values is not None:
            takes = (
                " -r -F"
                if command_tree.FILE in option.values
                else f" -x -a {_fish_quoted(' '.join(option.values))}"
            )
        lines.append(f"{here}{names}{takes} -d {_fish_quoted(_brief(option.help))}")
    return lines


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
