"""`amos man`: the manual page, made from the same commands and texts as `--help`, so that neither can lag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

from api import __version__
from api.cli import output
from api.cli.help_texts import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from api.cli.command_tree import Command

DESCRIPTION = (
    "AMOS is one gateway that gives agents, scripts and people web search that falls back when a provider "
    "fails, does not pay twice, and says why an answer is what it is. Every command works without a server, "
    "on the data folder of the settings; those with --url ask a server instead. Data is on standard output, "
    "everything else on standard error. --json prints one object a line for programs; a - stands for the "
    "lines of standard input where a command takes several of something. NO_COLOR and TERM=dumb switch "
    "colour off."
)

FILES = (
    (".env", "Settings, beside those of the environment; .env.example explains every one."),
    ("var/", "The data folder (AMOS_DATA_DIR): database, journal, and the index of local folders."),
)


def man(context: typer.Context) -> None:
    """Print the manual page of all commands, for man.

    The page is in roff, as troff and man read it.
    """
    from api.cli.command_tree import commands  # noqa: PLC0415

    output.data_bytes(page(list(commands(context))).encode())


def page(known: Sequence[Command]) -> str:
    """The manual page of these commands, of which the first is the root."""
    root, *others = known
    return "\n".join(
        [
            f'.TH AMOS 1 "" "amos {__version__}" "User Commands"',
            *_section("NAME", f"amos \\- {_text(root.summary)}"),
            *_section("SYNOPSIS", ".B amos", ".RI [ options ]", ".I command", ".RI [ arguments ]"),
            *_section("DESCRIPTION", _text(DESCRIPTION)),
            *_section("OPTIONS", *_options(root)),
            *_section("COMMANDS", *(line for one in others if one.text for line in _command(one))),
            *_section("EXIT STATUS", *_defined(EXIT_CODES.items())),
            *_section("FILES", *_defined(FILES)),
            *_section(
                "SEE ALSO", _text("The folder docs/ of AMOS, and for each command: amos COMMAND --help.")
            ),
            "",
        ]
    )


def _section(title: str, *lines: str) -> Iterator[str]:
    yield f".SH {title}"
    yield from lines


def _command(command: Command) -> Iterator[str]:
    assert command.text is not None
    yield f".SS amos {_text(command.path)}"
    yield f".nf\n.B {_text(command.usage)}\n.fi"
    for paragraph in re.split(r"\n\s*\n", command.help.strip()):
        yield f".PP\n{_text(' '.join(paragraph.split()))}"
    yield from _defined((one.term, one.help) for one in command.arguments)
    yield from _options(command)
    if command.text.exit_codes:
        yield from _labelled("Exit codes", *(f"{code} {what}" for code, what in command.text.exit_codes))
    if command.text.environment:
        yield from _labelled("Environment", ", ".join(command.text.environment))
    for line, what in command.text.examples:
        yield f".PP\n{_text(what)}\n.PP\n.RS 4\n.nf\n{_text(line)}\n.fi\n.RE"
    yield from _labelled("See also", ", ".join(command.text.see))


def _labelled(label: str, *texts: str) -> Iterator[str]:
    yield f".PP\n{label}: {_text('; '.join(texts).rstrip('.'))}."


def _options(command: Command) -> Iterator[str]:
    """All but --help, which every command has."""
    shown = (one for one in command.options if not command.path or "--help" not in one.names)
    return _defined((one.term, one.help) for one in shown)


def _defined(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, what in pairs:
        yield f".TP\n.B {_text(term)}\n{_text(' '.join(what.split()))}"


def _text(text: str) -> str:
    """The text for troff: backslashes and hyphens as they are, and no line that begins a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
