"""What a command line asks for: queries, URLs, request bodies."""

from __future__ import annotations

import io
import sys

import pytest

from api.cli import main
from api.cli.extract import grouped
from api.cli.failure import CommandError
from api.cli.options import STDIN_LINES_MAX, from_arguments
from api.cli.search import queries, search_body


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch):
    """Puts bytes on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def test_words_are_one_query():
    """Words without quotes are searched together."""
    assert queries(["circuit", "breaker"]) == ["circuit breaker"]


def test_a_dash_reads_one_query_a_line(stdin):
    """Each line of standard input is a query; blank lines are passed over, bad UTF-8 stops nothing."""
    stdin(b"tide tables\n\n  \xff moon \r\n")

    assert queries(["-"]) == ["tide tables", "\ufffd moon"]


def test_a_dash_among_words_is_a_word():
    """Only a dash alone means standard input."""
    assert queries(["a", "-", "b"]) == ["a - b"]


def test_urls_of_arguments_and_stdin_mix(stdin):
    """For URLs the dash stands for the lines at its place."""
    stdin(b"https://b.example\n")

    assert from_arguments(["https://a.example", "-"]) == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("search", "-"), "Standard input is empty."),
        (("events", "erase", "--query", "tea"), "nobody is here to be asked"),
        (("keys", "revoke", "k1"), "nobody is here to be asked"),
        (("mcp",), "is started by an MCP client"),
    ],
)
def test_without_a_standard_input_nobody_is_there(
    monkeypatch, capsys, arguments: tuple[str, ...], words: str
):
    """A command started with `<&-` says what it lacks, as with an empty one."""
    monkeypatch.setattr(sys, "stdin", None)

    assert main(arguments) != 0
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\n \n", b"x\n" * (STDIN_LINES_MAX + 1)])
def test_empty_and_endless_input_is_a_usage_error(stdin, content):
    """No line at all, or more than anybody means, is refused before anything is asked."""
    stdin(content)

    with pytest.raises(CommandError) as caught:
        queries(["-"])

    assert caught.value.failure.exit_code == 2


def test_an_option_not_given_is_not_sent():
    """The body holds the query and what was asked for, nothing else; 0 is something that was asked for."""
    body = search_body(
        "tide", {"max_results": 0, "topic": None, "include_domains": [], "include_answer": True}
    )

    assert body == {"query": "tide", "max_results": 0, "include_answer": True}


def test_many_urls_are_several_calls():
    """More URLs than one call may have are split, and a repeated one is read once."""
    assert grouped(["a", "b", "a", "c"], 2) == [["a", "b"], ["c"]]
