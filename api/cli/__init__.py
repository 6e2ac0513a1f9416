"""The command line: the same gateway for people at a terminal and for programs in a pipe.

Read in this order:

    app            the commands and how a run ends: exit code, and one sentence for every failure
    output         the only place that prints: data on stdout, messages and progress on stderr
    connection     a gateway to ask, in this process or, with --url, on a server
    search, extract, report, events, keys, index, doctor, db, serve, stdio      one command group a file

Nothing heavy is imported before a command needs it: `amos --help` costs little more than starting Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended: 128 + SIGINT."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, `sys.argv` if `None`, and return its exit code.

    0 means done, 1 failed, 2 that the command line is wrong, 130 Ctrl-C.
    """
    try:
        # Imported here so that Ctrl-C during the imports already ends quietly.
        from api.cli.app import run  # noqa: PLC0415

        return run(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
