"""`amos events export`: all that was recorded leaves whole, on either engine, or the command says why not."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import pyarrow.parquet
import pytest
from sqlalchemy import text

from storage.sql_engine import open_engine, transaction
from storage.sql_event_log import SqlEventLog
from tests.support.command_line import until_hung_up
from tests.support.histories import NOON, fallback, mixture
from tests.support.rows import row, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.codec import FrameRow
    from tests.support.command_line import CommandLine


on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what becomes of the bytes, whichever database they came from."""


def fill(database: str, frames: list[FrameRow], *statements: str) -> None:
    """Put frames into the database, behind what is there, and do to it what the statements say."""

    async def append() -> None:
        engine = open_engine(database, writer=True)
        for begin in range(0, len(frames), 1_000):
            await SqlEventLog(engine).append(frames[begin : begin + 1_000])
        async with transaction(engine) as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await engine.dispose()

    asyncio.run(append())


@pytest.fixture
def filled(amos: CommandLine, database: str) -> str:
    """The database with a few executions in it, recorded 40 seconds apart."""
    assert amos.run("db", "upgrade").exit_code == 0
    fill(database, rows(mixture()))
    return database


@pytest.fixture
def large(amos: CommandLine, database: str) -> str:
    """The database with 90,000 events, some twenty megabytes of JSON lines."""
    assert amos.run("db", "upgrade").exit_code == 0
    frame = row(1, fallback())
    fill(
        database,
        [
            frame._replace(instance_seq=n, recorded_at=NOON + n, stream=str(uuid.uuid4()))
            for n in range(1, 10_001)
        ],
    )
    return database


def count_of_events() -> int:
    """How many events are in the executions of `filled`."""
    return sum(map(len, mixture()))


@pytest.mark.usefixtures("filled")
def test_every_format_holds_every_event(amos: CommandLine):
    """JSON lines on standard output, CSV and Parquet in files: the same events in the same order."""
    lines = amos.run("events", "export").json_lines
    table = amos.run("events", "export", "--format", "csv", "-o", "events.csv")
    parquet = amos.run("events", "export", "--format", "parquet", "-o", "events.parquet")

    assert len(lines) == count_of_events()
    assert lines[0]["event"]["type"] == "amos.request.received.v1"
    assert [line["position"] for line in lines] == sorted(line["position"] for line in lines)
    text_rows = list(csv.reader(io.StringIO((amos.folder / "events.csv").read_text(encoding="utf-8"))))
    assert [json.loads(cells[6]) for cells in text_rows[1:]] == [line["event"] for line in lines]
    rows_ = pyarrow.parquet.read_table(amos.folder / "events.parquet").to_pylist()
    assert [json.loads(found["event"]) for found in rows_] == [line["event"] for line in lines]
    for done in (table, parquet):
        assert (done.exit_code, done.stdout) == (0, "")
        assert f"{count_of_events()} events written to events." in done.stderr


@pytest.mark.usefixtures("filled")
def test_a_part_of_the_record_can_be_chosen(amos: CommandLine):
    """By time, by type or a part of one, by client and by stream, and by several of them."""

    def chosen(*options: str) -> list[tuple[str, str]]:
        found = amos.run("events", "export", *options)
        assert (found.exit_code, found.stderr) == (0, "")
        return [(line["stream"], line["type"]) for line in found.json_lines]

    second = "2027-01-15T08:01:00Z"
    assert {stream for stream, _ in chosen("--until", second)} == {"e-1"}
    assert {stream for stream, _ in chosen("--since", second, "--until", "1800000120.5")} == {"e-2", "e-3"}
    assert {type_ for _, type_ in chosen("--type", "attempt")} == {
        "amos.attempt.started.v1",
        "amos.attempt.succeeded.v1",
        "amos.attempt.failed.v1",
    }
    assert {stream for stream, _ in chosen("--client", "agent")} == {"e-2"}
    assert chosen("--stream", "e-2", "--type", "cache.hit") == [("e-2", "amos.cache.hit.v1")]
    assert chosen("--client", "nobody") == chosen("--type", "tea") == chosen("--stream", "e-99") == []


@on_sqlite
@pytest.mark.usefixtures("filled")
def test_parquet_goes_through_a_pipe_too(amos: CommandLine):
    """What is on standard output is the file."""
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "events", "export", "--format", "parquet"],
        cwd=amos.folder,
        env=amos.whole_environment,
        capture_output=True,
        check=True,
    )

    assert pyarrow.parquet.read_table(io.BytesIO(done.stdout)).num_rows == count_of_events()


def test_what_is_still_in_the_journal_is_exported(amos: CommandLine, database: str):
    """A search without a server is in the export that follows it, on an empty database too."""
    assert amos.run("events", "export").stdout == ""
    execution_id = amos.run("search", "circuit breaker", "--json").json["amos"]["execution_id"]

    exported = amos.run("events", "export", "--stream", execution_id).json_lines
    shown = amos.run("events", "show", execution_id, "--json").json

    assert [line["event"] for line in exported] == [item["event"] for item in shown["events"]]
    assert database


def test_a_damaged_row_is_left_out_and_named(amos: CommandLine, filled: str):
    """The rest is exported and the file is kept; the failure says which rows hold no events."""
    fill(filled, [], "UPDATE frames SET events = 'garbage' WHERE position IN (2, 3)")

    done = amos.run("events", "export", "-o", "events.jsonl")

    lines = (amos.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert done.exit_code == 1
    assert "at the positions 2, 3." in done.stderr
    assert {json.loads(line)["position"] for line in lines} == {1, 4, 5, 6}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "xml"), "'jsonl', 'csv', 'parquet'"),
        (("--since", "yesterdayish"), "since: expected an age"),
        (("--until", "2026-13-01"), "until: expected an age"),
        (("--since", "1h", "--until", "2h"), "since: must be before until."),
        (("--since", "now", "--until", "now"), "since: must be before until."),
        (("--client",), "requires an argument"),
    ],
)
def test_a_wrong_choice_is_exit_code_2(amos: CommandLine, arguments: tuple[str, ...], words: str):
    """What cannot be meant is said, and nothing is made, not even the file."""
    done = amos.run("events", "export", "-o", "events.csv", *arguments)

    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(amos.folder.glob("*events*"))


@on_sqlite
@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("path", "words"),
    [("missing/events.csv", "No such file"), (".", "Is a directory"), ("/dev/full", "No space left")],
)
def test_a_file_that_cannot_be_written_is_one_sentence(amos: CommandLine, path: str, words: str):
    """It names the file and the reason."""
    done = amos.run("events", "export", "-o", path)

    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {path}: {words}")
    assert "Traceback" not in done.stderr


@on_sqlite
@pytest.mark.usefixtures("large")
def test_a_full_disk_leaves_no_half_file(amos: CommandLine):
    """When the file cannot grow any more the old one stays, and nothing is left beside it."""
    old = amos.folder / "events"
    old.write_bytes(b"old")
    amos.run("events", "tail")  # after which nothing has to be written to the database any more

    for name in ("jsonl", "csv", "parquet"):
        done = subprocess.run(
            [
                *("sh", "-c", 'ulimit -f 128; exec "$0" -m api.cli "$@"', sys.executable),
                *("events", "export", "--format", name, "-o", "events"),
            ],
            cwd=amos.folder,
            env=amos.whole_environment,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.stderr == "Error: events: File too large.\nNothing was written there.\n"
        assert done.returncode == 1
        assert old.read_bytes() == b"old"
        assert {path.name for path in amos.folder.iterdir()} <= {"events", "pages", "var"}


@on_sqlite
@pytest.mark.usefixtures("large")
def test_ctrl_c_in_the_middle_leaves_no_half_file(amos: CommandLine):
    """Interrupted while it writes, it ends with 130, quietly, and takes its unfinished file with it."""
    with amos.started("events", "export", "-o", "events.jsonl") as export:
        part = _part(amos.folder)
        export.send_signal(signal.SIGINT)
        _, told = export.communicate(timeout=60)

    assert part.name.startswith(".amos-")
    assert export.returncode == 130
    assert "Traceback" not in told
    assert not list(amos.folder.glob("*events*"))
    assert not part.exists()


def _part(folder: Path) -> Path:
    """The unfinished file, as soon as something is in it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for part in folder.glob(".amos-*.part"):
            if part.stat().st_size:
                return part
        time.sleep(0.002)
    raise TimeoutError("no file was begun")


@on_sqlite
@pytest.mark.usefixtures("large")
def test_a_reader_that_has_enough_is_no_failure(amos: CommandLine):
    """`| head` ends an export quietly, in every format."""
    for name in ("jsonl", "csv", "parquet"):
        pipe = f'("$0" -m api.cli events export --format {name}; echo $? >&2) | head -c 9'
        done = subprocess.run(
            ["sh", "-c", pipe, sys.executable],
            cwd=amos.folder,
            env=amos.whole_environment,
            capture_output=True,
            check=False,
        )

        assert (len(done.stdout), done.stderr) == (9, b"0\n")


@on_sqlite
@pytest.mark.usefixtures("filled")
def test_a_terminal_shows_no_parquet(amos: CommandLine):
    """Bytes that are no text are refused there; a damaged name cannot command the terminal."""
    assert amos.run_on_terminal("events", "export", "--format", "parquet") == ""
    assert "amos.request.received.v1" in amos.run_on_terminal("events", "export", "--format", "csv")


@on_sqlite
@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("output", "is_shown"), [(("-o", "events.csv"), True), ((), False)])
def test_a_terminal_shows_how_far_it_is(amos: CommandLine, output: tuple[str, ...], is_shown: bool):
    """A bar is on standard error, unless the events themselves go to the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "events", "export", *output],
        cwd=amos.folder,
        env={**amos.whole_environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as screen:
        shown = b"".join(until_hung_up(screen)).decode()

    assert process.wait(60) == 0
    assert ("exporting, per cent" in shown) == ("100/100" in shown) == is_shown


@on_sqlite
def test_nothing_of_an_event_commands_a_terminal(amos: CommandLine, filled: str):
    """Control characters in what was recorded are shown as escapes."""
    frame = row(99, mixture()[0])
    fill(filled, [frame._replace(events=frame.events.replace('"http"', '"\u202e\x9b31mhttp"'))])

    shown = amos.run_on_terminal("events", "export", "--stream", "e-99")

    assert "\\u202e\\u009b31mhttp" in shown
    assert "\u202e" not in shown
    assert "\x9b" not in shown
