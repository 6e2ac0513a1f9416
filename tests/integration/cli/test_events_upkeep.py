"""`amos events verify`, `replay` and `prune`: what a person sees, with a server running and without."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from storage.sql_engine import open_engine, sqlite_url
from storage.sql_event_log import SqlEventLog
from storage.sql_projector import SqlProjector
from tests.support.database import query
from tests.support.histories import NOON, hit
from tests.support.rows import row

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine

CHANGE = "UPDATE rollup_health SET calls = calls + 1 WHERE span_s = 86400"
AGE = "UPDATE frames SET recorded_at = recorded_at - 100 * 86400"


def database_of(amos: CommandLine) -> Path:
    """The file of the command line's database."""
    return amos.folder / "var" / "amos.db"


def change(amos: CommandLine, statement: str) -> None:
    """A statement by somebody else."""
    with closing(sqlite3.connect(database_of(amos))) as connection, connection:
        connection.execute(statement)


def test_verify_finds_and_replay_repairs(amos: CommandLine):
    """All is equal; a changed figure is named with exit code 1, replayed, and all is equal again."""
    amos.run("search", "circuit breaker")
    sound = amos.run("events", "verify")
    change(amos, CHANGE)
    found = amos.run("events", "verify")
    replayed = amos.run("events", "replay")
    again = amos.run("events", "verify", "--json")

    assert (sound.exit_code, sound.stderr) == (0, "")
    assert "all equal" in sound.stdout
    assert found.exit_code == 1
    assert "rollup_health day" in found.stdout
    assert "operation=search outcome=answered: calls 2, counted 1" in found.stdout
    assert "amos events replay" in found.stdout
    assert replayed.exit_code == 0
    assert (again.exit_code, again.json["is_sound"], again.json["differing"]) == (0, True, [])


def test_what_the_log_lacks_is_named(amos: CommandLine):
    """A frame that is gone and a damaged segment are named, and are exit code 1."""
    amos.run("search", "circuit breaker")
    change(amos, "DELETE FROM frames WHERE instance_seq = 2")
    (amos.folder / "var" / "journal" / "host-1-aa.000001.seg.damaged").write_bytes(b"?")

    found = amos.run("events", "verify")
    as_json = amos.run("events", "verify", "--json")

    assert (found.exit_code, as_json.exit_code) == (1, 1)
    assert "1 frame is missing" in found.stdout
    assert "host-1-aa.000001.seg.damaged" in found.stdout
    assert as_json.json["missing_frames"] == 1
    assert as_json.json["damaged_segments"] == ["host-1-aa.000001.seg.damaged"]


def test_a_frame_that_cannot_be_read_is_named(amos: CommandLine):
    """Its position is told by whoever meets it, so that it can be looked at with SQL."""
    amos.run("search", "circuit breaker")
    (last,) = query(database_of(amos), "SELECT position, stream FROM frames WHERE outcome = 'answered'")
    position, execution = last["position"], last["stream"]
    change(amos, "UPDATE frames SET events = '[{half' WHERE outcome = 'answered'")

    assert f"1 frame holds something that cannot be counted; no figure has it\n  position {position}" in (
        amos.run("events", "verify").stdout
    )
    for words in (("show", execution), ("tail",)):
        assert f"The frame at position {position} of the event log" in amos.run("events", *words).stderr


def test_it_works_beside_a_server(amos: CommandLine, server: str):
    """While a server answers and records its figures are verified and replaced."""
    for number in range(3):
        assert amos.run("search", f"breaker {number}", "--url", server).exit_code == 0
        assert amos.run("events", "replay").exit_code == 0

    deadline = time.monotonic() + 10
    while amos.run("report", "health", "--json", "--url", server).json["requests"]["answered"] < 3:
        assert time.monotonic() < deadline
    assert amos.run("events", "verify", "--json").json["is_sound"]


def test_a_second_one_says_so(amos: CommandLine):
    """While another verify, replay or prune is at work the command fails with one sentence."""
    amos.run("search", "circuit breaker")
    with (amos.folder / "var" / "amos.db-upkeep").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = amos.run("events", "replay")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: Another verify, replay or prune is at work")


def test_ctrl_c_changes_nothing(amos: CommandLine):
    """An interrupted replay ends with 130 and a sentence; the figures are those from before."""
    amos.run("db", "upgrade")
    asyncio.run(fill(database_of(amos), 4_000))
    with amos.started("events", "replay") as replay:
        while not query(database_of(amos), "SELECT 1 FROM rollup_health WHERE generation = 2"):
            assert replay.poll() is None
        with closing(sqlite3.connect(database_of(amos), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # it cannot end before it is interrupted
            replay.send_signal(signal.SIGINT)
            _, said = replay.communicate(timeout=30)

    assert replay.returncode == 130
    assert said.startswith("Interrupted: the figures in use are as they were.")
    assert "Traceback" not in said
    assert query(database_of(amos), "SELECT generation FROM projection_state") == [{"generation": 1}]
    assert amos.run("events", "verify").exit_code == 0
    assert query(database_of(amos), "SELECT DISTINCT generation FROM rollup_health") == [{"generation": 1}]


async def fill(database: Path, count: int) -> None:
    """So many hits in the log, counted."""
    engine = open_engine(sqlite_url(database), writer=True)
    await SqlEventLog(engine).append([row(n, hit(), at=NOON + n * 60) for n in range(1, count + 1)])
    await SqlProjector(engine).project()
    await engine.dispose()


def test_prune_says_that_there_is_nothing(amos: CommandLine):
    """Where nothing is that old nobody is asked, and nothing is called deletable."""
    amos.run("search", "circuit breaker")

    done = amos.run("events", "prune", "--before", "2026-01-01T00:00:00Z", TZ="UTC")

    told = "Nothing that can be pruned was recorded before 2026-01-01 00:00:00.\n"
    assert (done.exit_code, done.stdout, done.stderr) == (0, told, "")


def test_prune_keeps_the_reports(amos: CommandLine):
    """A dry run changes nothing, nobody to ask is a refusal, and with --yes only the figures stay."""
    execution = amos.run("search", "circuit breaker", "--json").json["amos"]["execution_id"]
    change(amos, AGE)
    before = amos.run("report", "health", "--json", "--until", "2h").json
    looked = amos.run("events", "prune", "--before", "90d", "--dry-run", "--json")
    refused = amos.run("events", "prune", "--before", "90d")
    young = amos.run("events", "prune", "--before", "12h", "--yes")
    done = amos.run("events", "prune", "--before", "90d", "--yes", "--json")

    assert (looked.exit_code, refused.exit_code, young.exit_code, done.exit_code) == (0, 2, 2, 0)
    assert "Kept: every figure of every report." in refused.stderr
    assert done.json["pruned_frames"] == looked.json["frames"] > 0
    assert "VACUUM" in done.stderr
    assert amos.run("events", "show", execution).exit_code == 1
    after = amos.run("report", "health", "--json", "--until", "2h").json
    assert {**after, "since": 0, "until": 0} == {**before, "since": 0, "until": 0}
    assert amos.run("events", "verify").exit_code == 0
