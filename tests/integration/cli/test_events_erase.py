"""`amos events erase`: texts of queries go for good when somebody says so, and nothing with them."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.database import query

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine

ASKED = "circuit breaker\ntide tables\nCircuit   BREAKER\nharbour museum\n"


def texts(database: str) -> list[str]:
    """The texts that are in the database."""
    place = Path(database.removeprefix("sqlite:///")) if database.startswith("sqlite") else database
    return [found["text"] for found in query(place, "SELECT text FROM queries ORDER BY text")]


def answering(amos: CommandLine, answer: bytes, *arguments: str) -> tuple[int, str, str]:
    """Run a command with a person at a terminal who answers like that: exit code, stdout and stderr."""
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "r+b", buffering=0)) as person, closing(os.fdopen(theirs, "rb")) as stdin:
        person.write(answer)
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", *arguments],
            cwd=amos.folder,
            env=amos.whole_environment,
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    return done.returncode, done.stdout, done.stderr


def test_a_query_is_erased_however_it_was_spelled(amos: CommandLine, database: str):
    """Case and blanks make no difference; other texts and all events stay."""
    amos.run("search", "-", stdin=ASKED)
    before = amos.run("events", "export").stdout

    done = amos.run("events", "erase", "--query", " CIRCUIT breaker", "--yes")

    assert (done.exit_code, done.stdout, done.stderr) == (0, "1 text of queries erased\n", "")
    assert texts(database) == ["harbour museum", "tide tables"]
    assert amos.run("events", "export").stdout == before


def test_several_queries_are_read_from_standard_input(amos: CommandLine, database: str):
    """Each line is a query, so that none has to stand in the history of a shell."""
    amos.run("search", "-", stdin=ASKED)

    lines = "tide tables\nnobody asked\nharbour museum\n"
    done = amos.run("events", "erase", "--query", "-", "--yes", "--json", stdin=lines)

    assert done.json == {"texts": 2, "dry_run": False}
    assert texts(database) == ["circuit breaker"]


def test_all_texts_of_a_client_are_erased(amos: CommandLine, database: str):
    """Whoever it was, its texts are gone; of another client there is none to erase."""
    amos.run("search", "-", stdin=ASKED)

    nobody = amos.run("events", "erase", "--client", "nobody", "--yes")
    local = amos.run("events", "erase", "--client", "local", "--yes")

    assert nobody.stdout == "0 texts of queries erased\n"
    assert local.stdout == "3 texts of queries erased\n"
    assert texts(database) == []


def test_what_waits_in_the_journal_does_not_come_back(amos: CommandLine, database: str):
    """A search whose record has not reached the database yet is erased with the others."""
    elsewhere = {"AMOS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "AMOS_KEY_PEPPER": "p" * 32}
    amos.run("search", "tide tables", **elsewhere)
    assert list((amos.folder / "var" / "journal").iterdir())

    done = amos.run("events", "erase", "--query", "tide tables", "--yes")
    amos.run("events", "tail")

    assert done.stdout == "1 text of queries erased\n"
    assert texts(database) == []


def test_damaged_segments_are_told(amos: CommandLine, database: str):
    """What was set aside is not searched; whoever erases learns that texts may be in there."""
    amos.run("search", "tide tables")
    (amos.folder / "var" / "journal" / "w-1.000001.seg.damaged").write_bytes(b"")

    done = amos.run("events", "erase", "--query", "tide tables", "--yes")

    assert done.stdout == "1 text of queries erased\n"
    assert "*.seg.damaged" in done.stderr
    assert texts(database) == []


def test_a_look_changes_nothing(amos: CommandLine, database: str):
    """With --dry-run it only tells the number, and needs nobody to be asked."""
    amos.run("search", "-", stdin=ASKED)

    done = amos.run("events", "erase", "--client", "local", "--dry-run")

    assert (done.exit_code, done.stdout) == (0, "3 texts of queries would be erased\n")
    assert len(texts(database)) == 3


@pytest.mark.parametrize(
    ("answer", "exit_code", "left"), [(b"y\n", 0, 0), (b"n\n", 0, 1), (b"\n", 0, 1), (b"\x04", 130, 1)]
)
def test_a_person_is_asked_first(amos: CommandLine, answer: bytes, exit_code: int, left: int):
    """Only yes erases; the question says how many texts that is."""
    amos.run("search", "tide tables")

    code, stdout, stderr = answering(amos, answer, "events", "erase", "--query", "tide tables")

    assert code == exit_code
    assert "Erase 1 text of queries for good? [y/N]" in stderr
    assert ("erased" in stdout) == (left == 0)
    assert len(texts(f"sqlite:///{amos.folder}/var/amos.db")) == left


def test_an_interrupt_answers_the_question(amos: CommandLine):
    """One Ctrl-C at the question ends the command, and nothing is erased."""
    amos.run("search", "tide tables")
    ours, theirs = pty.openpty()

    with closing(os.fdopen(ours, "r+b", buffering=0)), closing(os.fdopen(theirs, "rb")) as stdin:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "events", "erase", "--query", "tide tables"],
            cwd=amos.folder,
            env=amos.whole_environment,
            stdin=stdin,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                assert process.stderr is not None
                question = process.stderr.read(len("Erase 1 text of queries for good?"))
                time.sleep(0.2)  # a person needs longer; now the command waits for the answer
                process.send_signal(signal.SIGINT)
                exit_code = process.wait(10)
            finally:
                process.kill()

    assert question == b"Erase 1 text of queries for good?"
    assert exit_code == 130
    assert texts(f"sqlite:///{amos.folder}/var/amos.db") == ["tide tables"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name either --query or --client."),
        (("--query", "a b", "--client", "c"), "Name either --query or --client."),
        (("--query", "  "), "Name either --query or --client."),
        (("--query", "a b"), "nobody is here to be asked"),
        (("--client", "c"), "nobody is here to be asked"),
        (("--query", "-", "--yes"), "Standard input is empty."),
    ],
)
def test_what_cannot_be_meant_erases_nothing(amos: CommandLine, arguments: tuple[str, ...], words: str):
    """A wrong command line, or one that nobody confirms, is exit code 2."""
    done = amos.run("events", "erase", *arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert not (amos.folder / "var").exists()


def test_a_running_server_brings_nothing_back(amos: CommandLine, server: str):
    """What a server has answered a moment ago is erased, and stays so when the server ends."""
    for line in ("circuit breaker", "tide tables"):
        assert amos.run("search", line, "--url", server).exit_code == 0

    done = amos.run("events", "erase", "--query", "tide tables", "--yes")
    again = amos.run("search", "harbour museum", "--url", server)

    assert (done.stdout, done.stderr) == ("1 text of queries erased\n", "")
    assert again.exit_code == 0
    assert "tide tables" not in texts(f"sqlite:///{amos.folder}/var/amos.db")
