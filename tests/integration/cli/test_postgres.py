"""The command line on PostgreSQL: the same commands, and clear words when the server is not as it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.postgres import shared_postgres

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine

SECRET = "s3cr/et"


@pytest.fixture(autouse=True)
def pepper(amos: CommandLine) -> None:
    """Every instance that may share a database is told what keys are hashed with."""
    amos.environment["AMOS_KEY_PEPPER"] = "pepper-of-the-tests-alone-as-long-as-one-should-be"


@pytest.fixture
def database(amos: CommandLine) -> str:
    """The address of an empty database, which the command line is configured for."""
    url = shared_postgres().new_database()
    amos.environment["DATABASE_URL"] = url
    return url


@pytest.mark.usefixtures("database")
def test_the_record_is_kept_on_the_server(amos: CommandLine):
    """A search is found by events, reports and its execution, and no file was made for it."""
    answer = amos.run("search", "circuit breaker", "--json")
    execution_id = answer.json["amos"]["execution_id"]

    tail = amos.run("events", "tail", "--type", "request.completed", "--json")
    shown = amos.run("events", "show", execution_id, "--json")
    report = amos.run("report", "hit-rate", "--json")

    assert [line["stream"] for line in tail.json_lines] == [execution_id]
    assert shown.exit_code == 0
    assert execution_id in shown.stdout
    assert report.json["answered"] == 1
    assert not list(amos.folder.glob("var/amos.db*"))


@pytest.mark.usefixtures("database")
def test_the_schema_is_shown_and_made(amos: CommandLine):
    """`amos db` names the database without its password, and the doctor is content with what it made."""
    empty = amos.run("doctor", "--json")
    made = amos.run("db", "upgrade")
    after = amos.run("db", "current", "--json")

    (finding,) = [finding for finding in empty.json["findings"] if finding["name"] == "database"]
    assert finding["status"] == "ok"
    assert "gets its tables" in finding["detail"]
    assert "is now at schema" in made.stderr
    assert after.json["current"] == after.json["newest"]
    assert "postgres:***@127.0.0.1" in after.json["database"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (lambda: shared_postgres().url("postgres", password=SECRET), "refuses AMOS's user or password"),
        (lambda: f"postgresql://amos:{SECRET.replace('/', '%2F')}@127.0.0.1:1/amos", "cannot be reached"),
    ],
)
def test_a_server_that_does_not_serve_is_named(amos: CommandLine, url, words):
    """A search is answered all the same, and the doctor says what is wrong, never with the password."""
    amos.environment["AMOS_DATABASE_URL"] = url()

    answer = amos.run("search", "circuit breaker", "--json")
    diagnosis = amos.run("doctor")

    assert answer.exit_code == 0
    assert answer.json["results"]
    assert words in answer.stderr
    assert "The journal keeps what was recorded" in answer.stderr
    assert diagnosis.exit_code == 1
    assert words in " ".join(diagnosis.stdout.split())
    assert SECRET not in (told := answer.stderr + diagnosis.stdout + diagnosis.stderr)
    assert SECRET.replace("/", "%2F") not in told
    assert "Traceback" not in told
