"""`amos keys` on a data folder, without a server: what it prints, what it keeps, what it refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from api.cli import main
from orchestrator.api_keys import PATTERN
from tests.support.command_line import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `amos` in this process, on an empty data folder; a process of its own costs a second each."""
    monkeypatch.setenv("AMOS_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        exit_code = main(arguments)
        return Result(exit_code, *capsys.readouterr())

    return run


def test_the_first_key_is_made_without_a_server(run: Run):
    """On an empty folder the database is made; the key alone is on stdout, what to do with it beside it."""
    made = run("keys", "create", "--client", "acme", "--admin", "--expires", "90d")

    assert made.exit_code == 0
    assert re.fullmatch(PATTERN + "\n", made.stdout)
    assert "not shown again" in made.stderr
    assert made.stdout.strip() not in made.stderr
    (key,) = run("keys", "list", "--json").json["keys"]
    assert (key["client"], key["scopes"][-1], key["status"]) == ("acme", "admin", "live")
    assert key["expires_at"] - key["created_at"] == 90 * 86_400
    events = run("events", "tail", "--json", "--type", "key.created").json_lines
    assert [(event["stream"], event["event"]["by"]) for event in events] == [("keys", "local")]


def test_limits_and_scopes_are_kept(run: Run):
    """Everything a key can have is an option."""
    made = run("keys", "create", "--client", "acme", "--scope", "refresh", "--scope", "search",
                    "--limit-burst", "2", "--limit-hour", "50", "--json")  # fmt: skip

    assert made.json["scopes"] == ["search", "refresh"]
    assert made.json["limits"] == {"burst": 2, "per_minute": None, "per_hour": 50}
    assert re.fullmatch(PATTERN, made.json["key"])


def test_the_list_is_a_table(run: Run):
    """A person reads id, client, scopes and state; the key is not there."""
    raw = run("keys", "create", "--client", "acme").stdout.strip()

    shown = run("keys", "list").stdout

    assert raw[10:22] in shown
    assert raw not in shown
    for words in ("acme", "search, extract", "live", "last used"):
        assert words in shown


def test_a_key_is_rotated_and_revoked(run: Run):
    """A rotation prints the successor; a revocation asks, or is told with --yes, and may be repeated."""
    old = run("keys", "create", "--client", "acme", "--json").json
    new = run("keys", "rotate", old["id"], "--overlap", "1h", "--json").json
    unasked = run("keys", "revoke", old["id"])
    states = [run("keys", "revoke", old["id"], "--yes", "--json").json["status"] for _ in range(2)]

    assert (new["replaces"], new["client"]) == (old["id"], "acme")
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (2, True)
    assert states == ["revoked", "revoked"]
    listed = {key["id"]: key["status"] for key in run("keys", "list", "--json").json["keys"]}
    assert listed == {old["id"]: "revoked", new["id"]: "live"}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("create",), 2, "--client"),
        (("create", "--client", "a b"), 2, "client: expected"),
        (("create", "--client", "local"), 2, "somebody without a key"),
        (("create", "--client", "a", "--scope", "root"), 2, "scopes: expected"),
        (("create", "--client", "a", "--expires", "soon"), 2, "--expires: expected a duration"),
        (("create", "--client", "a", "--limit-hour", "0"), 2, "--limit-hour"),
        (("rotate", "nosuch"), 1, "no API key with this id"),
        (("revoke", "nosuch", "--yes"), 1, "amos keys list"),
    ],
)
def test_a_mistake_is_a_sentence(run: Run, arguments: tuple[str, ...], exit_code: int, words: str):
    """What is wrong and what to do, and nothing on stdout."""
    done = run("keys", *arguments)

    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert words in done.stderr


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), ("", "no key"), ("a b", "no key")])
def test_a_key_file_without_a_key_is_refused(run: Run, tmp_path: Path, content: str | None, words: str):
    """Before anything is sent."""
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)

    done = run("search", "x y", "--url", "127.0.0.1:9", "--key-file", str(file))

    assert (done.exit_code, words in done.stderr) == (2, True)


def test_keys_alone_names_the_help(run: Run):
    """A group without its command is a wrong command line like any other: one sentence, exit code 2."""
    done = run("keys")

    assert done.exit_code == 2
    assert done.stderr == "Error: Missing command.\n`amos keys --help` shows how to use it.\n"


def test_keys_of_another_pepper_are_not_joined(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Who lacks the pepper of the keys there are makes none: it would open nothing. Revoking ends that."""
    monkeypatch.setenv("AMOS_KEY_PEPPER", "p" * 32)
    key_id = run("keys", "create", "--client", "acme").stdout[10:22]
    monkeypatch.delenv("AMOS_KEY_PEPPER")

    listed = run("keys", "list")
    refused = run("keys", "create", "--client", "acme")
    rotated = run("keys", "rotate", key_id)
    made_up = (tmp_path / "var" / "key_pepper").exists()
    revoked = run("keys", "revoke", key_id, "--yes")
    anew = run("keys", "create", "--client", "acme")

    assert key_id in listed.stdout
    assert (refused.exit_code, rotated.exit_code, revoked.exit_code, anew.exit_code) == (1, 1, 0, 0)
    assert (refused.stdout, rotated.stdout, made_up) == ("", "", False)
    assert "AMOS_KEY_PEPPER" in refused.stderr
    assert "--url" in refused.stderr
