"""`amos keys`, here and on a server; and that a key is seen by nobody but its holder."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import httpx

from orchestrator.api_keys import PATTERN
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine, InThisProcess

WRONG = "amos_live_000000000000_" + "0" * 36


def bearer(raw: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {raw}"}


def test_a_server_is_administered_with_an_admin_key(amos: CommandLine, server: str, tmp_path: Path):
    """The key comes from AMOS_KEY or a file; without one, or without the scope, the server refuses."""
    boss = amos.run("keys", "create", "--client", "boss", "--admin", "--url", server).stdout.strip()
    file = tmp_path / "boss.key"
    file.write_text(boss + "\n")

    made = amos.run("keys", "create", "--client", "acme", "--url", server, "--key-file", str(file))
    acme = made.stdout.strip()
    found = amos.run("search", "circuit breaker", "--json", "--url", server, AMOS_KEY=acme)
    refused = amos.run("search", "circuit breaker", "--url", server)
    forbidden = amos.run("keys", "list", "--url", server, AMOS_KEY=acme)
    shown = amos.run("events", "show", found.json["amos"]["execution_id"], "--url", server, AMOS_KEY=boss)
    rotated = amos.run("keys", "rotate", acme[10:22], "--url", server, AMOS_KEY=boss)
    revoked = amos.run("keys", "revoke", acme[10:22], "--yes", "--url", server, "--key-file", str(file))
    gone = amos.run("search", "circuit breaker", "--url", server, AMOS_KEY=acme)

    assert found.json["results"]
    assert (refused.exit_code, "AMOS_KEY" in refused.stderr) == (1, True)
    assert (forbidden.exit_code, "scope admin" in forbidden.stderr) == (1, True)
    assert shown.exit_code == 0
    assert re.fullmatch(PATTERN + "\n", rotated.stdout)
    assert "is revoked" in revoked.stdout
    assert (gone.exit_code, "revoked" in gone.stderr) == (1, True)


def test_serving_others_needs_keys_and_a_closed_way(amos: InThisProcess):
    """`amos serve` on an address that others reach says all that is missing, once, and ends with 1."""
    done = amos.apart.run("serve", "--host", "0.0.0.0", "--port", "0")

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("refuses to listen") == 1
    assert "amos keys create --admin" in done.stderr
    assert "AMOS_TRUSTED_PROXIES" in done.stderr


def test_a_container_brings_its_first_admin_key(amos: CommandLine, tmp_path: Path):
    """A generated key in a secret file opens from the start on an address that others reach."""
    raw = amos.run("keys", "generate").stdout.strip()
    (tmp_path / "admin.key").write_text(raw + "\n")
    environment = {
        "AMOS_BOOTSTRAP_ADMIN_KEY_FILE": str(tmp_path / "admin.key"),
        "AMOS_TRUSTED_PROXIES": "127.0.0.0/8",
    }
    port = free_port()

    with amos.started("serve", "--host", "0.0.0.0", "--port", str(port), **environment) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, trust_env=False) as client:
            listed = client.get("/keys", headers=bearer(raw))
            without = client.get("/keys")

    assert [(key["id"], key["client"]) for key in listed.json()["keys"]] == [(raw[10:22], "admin")]
    assert without.status_code == 401


def test_a_key_is_seen_by_nobody(amos: CommandLine, tmp_path: Path):
    """After every way to use and misuse keys they stand in no file, no log, no answer and no table."""
    file = tmp_path / "boss.key"
    with amos.started("serve", "--port", "0", AMOS_LOG_LEVEL="debug") as process:
        assert process.stdout is not None
        ready = re.search(r"http://\S+", process.stdout.readline())
        assert ready is not None
        boss = amos.run("keys", "create", "--client", "boss", "--admin", "--url", ready[0]).stdout.strip()
        file.write_text(boss)
        with httpx.Client(base_url=ready[0], trust_env=False) as client:
            acme = client.post("/keys", json={"client": "acme"}, headers=bearer(boss)).json()["key"]
            successor = client.post(f"/keys/{acme[10:22]}/rotate", headers=bearer(boss)).json()["key"]
            answers = [
                client.post("/search", json={"query": "circuit breaker"}, headers=bearer(acme)),
                client.post("/search", json={"query": "circuit breaker", "api_key": acme}),
                client.post(
                    "/search", json={"query": "x y"}, headers={**bearer(acme), "Cache-Control": "no-cache"}
                ),
                client.post("/search", json={"query": "x y"}, headers=bearer(acme[:-1])),
                client.post(
                    "/search", json={"query": "x y"}, headers=[*bearer(acme).items(), *bearer(boss).items()]
                ),
                client.post("/search", json={"query": 7, "api_key": acme}),
                client.post("/keys", json={"client": acme}, headers=bearer(boss)),
                client.post("/keys", json={"client": "a", "scopes": [acme]}, headers=bearer(boss)),
                client.post("/keys", json={"client": "a", acme: 1}, headers=bearer(boss)),
                client.post(f"/keys/{acme}/rotate", headers=bearer(boss)),
                client.delete(f"/keys/{acme[10:22]}", headers=bearer(boss)),
                client.post("/search", json={"query": "x y"}, headers=bearer(acme)),
                client.post("/search", json={"query": "x y"}, headers=bearer(WRONG)),
                *(client.get(path, headers=bearer(boss)) for path in ("/keys", "/health", "/reports/health")),
                client.get("/openapi.json", headers=bearer(boss)),
            ]
            execution = answers[0].json()["amos"]["execution_id"]
            answers.append(client.get(f"/executions/{execution}", headers=bearer(boss)))
        commands = [
            amos.run("keys", "list", "--url", ready[0], "--key-file", str(file)),
            amos.run("keys", "list", "--json"),
            amos.run("serve", "--print-settings", AMOS_KEY=boss),
            amos.run("doctor", AMOS_KEY=boss),
            amos.run("events", "tail", "--json"),
        ]
        process.terminate()
        output, log = process.communicate(timeout=30)
    file.unlink()

    places = {
        "log": output + log,
        "answers": "".join(str(answer.headers) + answer.text for answer in answers),
        "commands": "".join(done.stdout + done.stderr for done in commands),
        "tables": everything_in(tmp_path / "var" / "amos.db"),
        **{str(path): path.read_bytes().decode("latin-1") for path in files_in(tmp_path)},
    }
    assert "acme" in places["tables"]
    for raw in (boss, acme, successor, WRONG):
        for place, text in places.items():
            assert raw[23:] not in text, place


def everything_in(database: Path) -> str:
    """Every row of every table, as text."""
    with closing(sqlite3.connect(database)) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return json.dumps({name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names})


def files_in(folder: Path) -> list[Path]:
    """Every file below the folder."""
    found = [f"{base}/{name}" for base, _, names in os.walk(folder) for name in names]
    return [folder / path for path in found]
