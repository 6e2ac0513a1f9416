"""`amos index`, `doctor`, `db` and `serve --print-settings`, and the command line itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.valkey import Valkey, free_port

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine, InThisProcess


def test_index_counts_documents(amos: CommandLine):
    """Index reads the configured folders; its figures are on stdout as JSON."""
    done = amos.run("index", "--json")

    assert done.exit_code == 0
    assert done.json["documents"] == len(list(amos.folder.glob("pages/*")))


def test_indexing_more_folders_forgets_none(amos: CommandLine):
    """A further folder joins the configured ones in the index, and is searched once it is configured too."""
    (amos.folder / "more").mkdir()
    (amos.folder / "more" / "moon.md").write_text("# Moon\n\nThe moon pulls the sea.\n", encoding="utf-8")

    done = amos.run("index", "more", "--json")

    assert (done.json["documents"], done.json["removed"]) == (len(list(amos.folder.glob("pages/*"))) + 1, 0)
    assert "AMOS_LOCAL_PATHS" in done.stderr


def test_doctor_finds_nothing_wrong(amos: CommandLine):
    """On a fresh machine the doctor has no failure to report, and shows which providers lack what."""
    done = amos.run("doctor", "--json", TAVILY_API_KEY="tvly-secret")

    findings = {finding["name"]: finding for finding in done.json["findings"]}
    assert done.exit_code == 0
    assert findings["SQLite"]["status"] == "ok"
    assert "JINA_API_KEY" in findings["provider jina"]["detail"]
    assert findings["provider tavily"]["status"] == "ok"
    assert "tvly-secret" not in done.stdout + done.stderr


def test_doctor_changes_nothing(amos: CommandLine):
    """Looking does not even make the data folder."""
    done = amos.run("doctor")

    assert done.exit_code == 0
    assert "data folder" in done.stdout
    assert not (amos.folder / "var").exists()


def test_doctor_asks_providers_online(amos: CommandLine):
    """With --online each provider that can be asked is asked once."""
    done = amos.run("doctor", "--online", "--json")

    findings = {finding["name"]: finding for finding in done.json["findings"]}
    assert done.exit_code == 0
    assert "answered" in findings["online local"]["detail"]


def test_doctor_asks_with_each_key(amos: CommandLine):
    """Of several keys the doctor tells the number, and with --online each is tried by itself."""
    dead = f"http://127.0.0.1:{free_port()}"
    keys = {"TAVILY_API_KEY": "tvly-one,tvly-two", "AMOS_TAVILY_BASE_URL": dead}

    done = amos.run("doctor", "--online", "--json", **keys)

    findings = {finding["name"]: finding for finding in done.json["findings"]}
    assert findings["provider tavily"]["detail"] == "configured, with 2 keys"
    assert [name for name in findings if name.startswith("online tavily")] == [
        "online tavily, key 1",
        "online tavily, key 2",
    ]
    assert "tvly-" not in done.stdout + done.stderr


def test_doctor_looks_at_redis(amos: CommandLine, valkey: Valkey):
    """Redis in reach is shown with version and latency, out of reach it is a failure; never a password."""
    found = amos.run("doctor", "--json", AMOS_REDIS_URL=valkey.url, AMOS_REDIS_TIMEOUT_S="1")
    gone = amos.run("doctor", "--json", REDIS_URL=f"redis://:hunter2@127.0.0.1:{free_port()}")

    (redis,) = [finding for finding in found.json["findings"] if finding["name"] == "redis"]
    (lost,) = [finding for finding in gone.json["findings"] if finding["name"] == "redis"]
    assert (redis["status"], found.exit_code) == ("ok", 0)
    assert re.search(r"version \d+\.\d+\.\d+, answers in \d+\.\d ms", redis["detail"])
    assert (lost["status"], gone.exit_code) == ("failure", 1)
    assert "hunter2" not in gone.stdout + gone.stderr


def test_doctor_misses_a_right_in_redis(amos: CommandLine, valkey: Valkey):
    """A user of Redis without channels is a warning that names what is missing."""
    valkey.command("ACL", "SETUSER", "dumb", "on", ">secret", "~*", "+@all", "resetchannels")
    url = valkey.url.replace("redis://", "redis://dumb:secret@")
    found = amos.run("doctor", "--json", AMOS_REDIS_URL=url, AMOS_REDIS_TIMEOUT_S="1")
    valkey.command("ACL", "DELUSER", "dumb")

    (redis,) = [finding for finding in found.json["findings"] if finding["name"] == "redis"]
    assert (redis["status"], found.exit_code) == ("warning", 0)
    assert "&amos:landed:*" in redis["next_step"]


def test_a_broken_database_spoils_no_answer(amos: CommandLine):
    """A damaged database is the doctor's failure; a search is answered all the same, and journalled."""
    (amos.folder / "var").mkdir()
    (amos.folder / "var" / "amos.db").write_bytes(b"garbage" * 1000)

    search = amos.run("search", "circuit breaker")
    doctor = amos.run("doctor", "--json")

    findings = {finding["name"]: finding["status"] for finding in doctor.json["findings"]}
    assert (search.exit_code, doctor.exit_code) == (0, 1)
    assert "breaker.md" in search.stdout
    assert "The journal keeps what was recorded" in search.stderr
    assert (findings["database"], findings["recorder"]) == ("failure", "warning")


def test_database_is_made_once(amos: CommandLine):
    """Db upgrade makes the database, is content the second time, and db current agrees with it."""
    before = amos.run("db", "current")
    made = amos.run("db", "upgrade")
    again = amos.run("db", "upgrade")
    after = amos.run("db", "current", "--json").json

    assert (before.exit_code, made.exit_code, again.exit_code) == (0, 0, 0)
    assert before.stdout == "none\n"
    assert "up to date" in again.stderr
    assert after["current"] == after["newest"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",),
        ("search", "x", "--depth", "deep"),
        ("search", "x", "-n", "many"),
        ("search", "x"),
        ("report", "weather"),
        ("report", "health", "--since", "yesterdayish"),
        ("report", "health", "--since", ""),
        ("report", "health", "--tz", "../../etc/passwd"),
        ("report", "clients", "--limit", "many"),
        ("report", "queries", "--by", "hour"),
        ("report", "health", "--since", "1970-01-01", "--by", "minute"),
        ("report", "health", "--csv", "--json"),
        ("events",),
        ("serach", "x y"),
        ("search", "--bogus"),
        ("serve", "--host", "example.org"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(amos: CommandLine, arguments: tuple[str, ...]):
    """A usage error says what is wrong on stderr, leaves stdout empty and ends with 2."""
    done = amos.run(*arguments)

    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_explained(amos: CommandLine):
    """All faults of the configuration are told at once, without a traceback."""
    done = amos.run("search", "x y", AMOS_PORT="nine", AMOS_PROVDERS="tavily")

    assert done.exit_code == 1
    assert "AMOS_PORT" in done.stderr
    assert "AMOS_PROVIDERS" in done.stderr
    assert "Traceback" not in done.stderr


def test_debugging_shows_the_traceback(amos: CommandLine):
    """AMOS_LOG_LEVEL=debug shows where an error comes from, before the sentence."""
    done = amos.run("events", "show", "nobody", AMOS_LOG_LEVEL="debug")

    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-2].startswith("Error: ") or "Error: " in done.stderr


def test_settings_in_force_are_shown_masked(amos: CommandLine):
    """Serve --print-settings shows flags over environment over defaults, and no key."""
    done = amos.run("serve", "--port", "9999", "--print-settings", JINA_API_KEY="jina_secret", AMOS_PORT="1")

    assert done.exit_code == 0
    assert "AMOS_PORT=9999\n" in done.stdout
    assert "jina_secret" not in done.stdout
    assert not (amos.folder / "var").exists()


@pytest.mark.parametrize(
    ("stdout", "sentence"), [(">&-", "is closed"), (">/dev/full", "cannot be written: No space left")]
)
@pytest.mark.parametrize("arguments", ["doctor", "doctor --json"])
def test_an_output_that_takes_nothing_is_one_sentence(
    amos: CommandLine, arguments: str, stdout: str, sentence: str
):
    """Without a standard output, or with a full disk behind it, the command fails and says so once."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m api.cli {arguments} {stdout}', sys.executable],
        cwd=amos.folder,
        env=amos.whole_environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("Error: Standard output " + sentence)
    assert "Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_bytes_that_are_no_text_are_refused(amos: CommandLine):
    """An argument that is not UTF-8 is a wrong command line, and the sentence says why."""
    done = amos.run("search", os.fsdecode(b"bad\xffbyte"))

    assert done.exit_code == 2
    assert "not valid UTF-8 text" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("--version",), ("search", "-h")])
def test_help_needs_no_setup(amos: CommandLine, arguments: tuple[str, ...]):
    """Help and version work whatever the configuration is, on stdout, and import nothing heavy."""
    done = amos.run(*arguments, AMOS_PORT="nine")

    assert done.exit_code == 0
    assert done.stdout
    assert done.stderr == ""


def test_help_starts_fast(amos: InThisProcess):
    """`amos --help` imports neither the gateway nor a database, nor even rich."""
    done = amos.apart.run("--help", PYTHONPROFILEIMPORTTIME="1")

    heavy = {"sqlalchemy", "pydantic", "httpx", "rich", "hypercorn", "alembic", "selectolax"}
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not heavy & imported
    assert sys.version_info >= (3, 11)
