"""The commands of `amos` as a tree: what help, the manual and the completion of shells are made from.

Each command gets the end of its help here: examples, exit codes, environment, and where to read on. They
stand in one table (help_texts) and not at the commands, so that they can be read beside each other, and held
to the same rules by one test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from api.cli.help_texts import EXIT_CODES, TEXTS, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "<file>"
"""Stands for names of files among the words that may come."""


class Parameter(NamedTuple):
    """One option or argument.

    `term` and `help` are what the help says. `names` are the ways to write an option, none for an argument.
    `values` are the words that may stand there, none if they are not known; `None` for a flag.
    """

    term: str
    help: str
    names: tuple[str, ...]
    values: tuple[str, ...] | None


class Command(NamedTuple):
    """One command or group: `path` is its words without `amos`, `subcommands` their names."""

    path: str
    usage: str
    help: str
    options: tuple[Parameter, ...]
    arguments: tuple[Parameter, ...]
    subcommands: tuple[str, ...]
    text: Text | None

    @property
    def summary(self) -> str:
        """The first line of its help, without the full stop."""
        return self.help.partition("\n")[0].rstrip(".")


def documented(app: typer.Typer) -> TyperGroup:
    """The command that runs, with the end of each command's help in its place."""
    root = typer.main.get_group(app)
    for path, command in _walk(root, ""):
        if path in TEXTS:
            command.epilog = epilog(TEXTS[path])
    return root


def epilog(text: Text) -> str:
    r"""Examples, exit codes, environment and further reading; `\b` keeps their lines as they are."""
    parts = ["\b\nExamples:"]
    parts += [f"\b\n  {what}\n    $ {command}" for command, what in text.examples]
    codes = {**EXIT_CODES, **dict(text.exit_codes)}
    parts.append("\n".join(["\b\nExit codes:", *(f"  {code:<4} {what}" for code, what in codes.items())]))
    if text.environment:
        parts.append(f"Environment: {', '.join(text.environment)}")
    parts.append(f"See also: {', '.join(text.see)}")
    return "\n\n".join(parts)


def commands(context: typer.Context) -> Iterator[Command]:
    """Every command and group of the program that runs, the root first, in the order of registration."""
    root = context.find_root().command
    assert isinstance(root, TyperGroup)  # `documented` has made it
    for path, command in _walk(root, ""):
        own = typer.Context(command, info_name=f"amos {path}".strip())
        found = [
            (one, _parameter(one, own))
            for one in command.get_params(own)
            if isinstance(one, TyperOption | TyperArgument) and not one.hidden
        ]
        options = tuple(told for one, told in found if isinstance(one, TyperOption))
        arguments = tuple(told for one, told in found if isinstance(one, TyperArgument))
        yield Command(
            path,
            command.get_usage(own).removeprefix("Usage: "),
            command.help or "",
            options,
            arguments,
            tuple(getattr(command, "commands", ())),
            TEXTS.get(path),
        )


def _walk(command: TyperCommand | TyperGroup, path: str) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, f"{path} {name}".strip())


def _parameter(one: TyperOption | TyperArgument, context: typer.Context) -> Parameter:
    is_option = isinstance(one, TyperOption)
    term, text = one.get_help_record(context) or ("", "")
    is_flag = isinstance(one, TyperOption) and one.is_flag
    names = (*one.opts, *one.secondary_opts) if is_option else ()
    return Parameter(term, text, names, None if is_flag else _values(one, context))


def _values(one: TyperOption | TyperArgument, context: typer.Context) -> tuple[str, ...]:
    """What may stand there, as far as that is known when the program is written."""
    if items := one.shell_complete(context, ""):
        return tuple(str(item.value) for item in items)
    return (FILE,) if (one.metavar or "").strip("[].") in ("FILE", "PATH") else ()
