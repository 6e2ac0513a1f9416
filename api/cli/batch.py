"""Runs one question or many over one connection, and shows each answer as soon as it is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from api.cli import output
from api.cli.connection import connect
from api.cli.failure import EXIT_USAGE, CommandError, Failure, explain_expected
from orchestrator.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from api.cli.connection import Connection

    View = Callable[[dict[str, Any]], RenderableType]


class Question(NamedTuple):
    """One thing to ask: what a person calls it, and how to ask it. The answer is a JSON object."""

    text: str
    ask: Callable[[Connection], Awaitable[bytes]]


async def ask_all(
    questions: Sequence[Question],
    view: View,
    *,
    url: str | None,
    as_json: bool,
    key_file: Path | None = None,
) -> int:
    """Ask the questions in order and print the answers, as JSON lines or for people; returns the exit code.

    The failure of a single question is raised, once the connection has closed in good order. Of several
    questions a failed one does not stop the others: it is told on stderr, and in JSON it is a line of its
    own, so that answers and questions can be matched by their order.
    """
    _require_unicode(questions)
    exit_code = 0
    refused: GatewayError | CommandError | None = None
    is_batch = len(questions) > 1
    async with connect(url, key_file) as connection:
        for number, question in enumerate(questions, start=1):
            count = f" ({number} of {len(questions)})" if is_batch else ""
            try:
                with output.waiting(question.text + count):
                    answer = await question.ask(connection)
            except (GatewayError, CommandError) as error:
                refused = error
                failure = explain_expected(error)
                exit_code = max(exit_code, failure.exit_code)
                if is_batch:
                    _show_failure(question.text, failure, as_json=as_json)
            else:
                _show(answer, view, as_json=as_json, heading=question.text if is_batch else "")
    if refused is not None and not is_batch:
        raise refused
    return exit_code


def _require_unicode(questions: Sequence[Question]) -> None:
    """Refuse bytes of the command line that are no text. Raises CommandError."""
    for question in questions:
        if any("\ud800" <= letter <= "\udfff" for letter in question.text):
            raise CommandError(f"{question.text}: not valid UTF-8 text.", exit_code=EXIT_USAGE)


def _show(answer: bytes, view: View, *, as_json: bool, heading: str) -> None:
    if as_json:
        output.data_json(answer)
        return
    if heading:
        output.data(output.heading(heading))
    output.data(view(json.loads(answer)))


def _show_failure(question: str, failure: Failure, *, as_json: bool) -> None:
    if as_json:
        output.data_json({"query": question, "detail": {"error": failure.sentence}})
    output.failure(failure._replace(sentence=f"{question}: {failure.sentence}"))
