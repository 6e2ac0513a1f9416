"""What the doctor sees, and what it advises."""

from __future__ import annotations

import fcntl
import time

import pytest

from api.cli.doctor_checks import (
    check_data_dir,
    check_database,
    check_disk,
    check_recorder,
    check_reports,
    check_sqlite,
    check_traces,
    is_locked,
    nearest_existing,
)
from orchestrator.errors import EventLogUnavailable
from storage.file_status import RecorderStatus, TracesStatus, write_status
from storage.sql_address import SQLITE, Address, read_address


def test_a_folder_to_be_made_is_fine(tmp_path):
    """A data folder that does not exist is no fault where it can be made; looking does not make it."""
    folder = tmp_path / "a" / "b"

    assert check_data_dir(folder).status == "ok"
    assert nearest_existing(folder) == tmp_path
    assert not folder.exists()


def test_a_file_is_no_folder(tmp_path):
    """A file in the place of the data folder is a failure with advice."""
    (tmp_path / "var").write_text("")

    finding = check_data_dir(tmp_path / "var")

    assert finding.status == "failure"
    assert "AMOS_DATA_DIR" in finding.next_step


def test_room_for_the_journal_is_compared(tmp_path):
    """Less room than the journal may take is a warning, enough of it is fine."""
    assert check_disk(tmp_path, 1).status == "ok"
    assert check_disk(tmp_path, 10**18).status == "warning"


def test_this_sqlite_is_good_enough():
    """The Python that runs the tests has a SQLite with the full-text index."""
    assert check_sqlite().status == "ok"
    assert "FTS5" in check_sqlite().detail


@pytest.mark.parametrize(
    ("is_running", "backlog_bytes", "status"),
    [(True, 0, "ok"), (True, 400, "ok"), (True, 600, "warning"), (False, 0, "ok"), (False, 1, "warning")],
)
def test_a_journal_nobody_drains_is_a_warning(is_running, backlog_bytes, status):
    """Waiting frames without a recorder, or half the allowed journal with one, are worth a look."""
    finding = check_recorder(
        None, 100.0, is_running=is_running, backlog_bytes=backlog_bytes, backlog_bytes_max=1000
    )

    assert finding.status == status
    assert bool(finding.next_step) == (status != "ok")


async def revision(found: str | None) -> str | None:
    """What reading the revision of a database gives."""
    return found


@pytest.mark.parametrize(("current", "status"), [("0002", "ok"), ("0001", "failure"), (None, "failure")])
async def test_an_old_schema_is_to_be_upgraded(tmp_path, current, status):
    """A database with the newest schema is fine; one with an older or none needs `amos db upgrade`."""
    path = tmp_path / "amos.db"
    path.touch()

    finding = await check_database(Address(SQLITE, f"sqlite:///{path}"), revision(current), "0002")

    assert finding.status == status
    assert ("amos db upgrade" in finding.next_step) == (status == "failure")


async def test_no_database_is_no_fault(tmp_path):
    """A database that does not exist yet will be made when it is needed."""
    assert (
        await check_database(Address(SQLITE, f"sqlite:///{tmp_path}/amos.db"), revision(None), "0002")
    ).status == "ok"


async def test_a_server_is_looked_at_too():
    """Of PostgreSQL the address is shown without its password; an empty database is no fault."""
    address = read_address("postgresql://amos:secret@db/amos")

    finding = await check_database(address, revision(None), "0002")

    assert finding.status == "ok"
    assert finding.detail.startswith("postgresql+asyncpg://amos:***@db/amos gets its tables")


async def test_an_unreadable_database_is_a_failure(tmp_path):
    """What the store says of the file is told, with a way out that loses nothing."""

    async def unreadable() -> str | None:
        raise EventLogUnavailable("The event log is out of reach (DatabaseError).")

    finding = await check_database(Address(SQLITE, f"sqlite:///{tmp_path}/amos.db"), unreadable(), "0002")

    assert finding.status == "failure"
    assert "out of reach" in finding.detail
    assert "journal" in finding.next_step


@pytest.mark.parametrize(
    ("is_running", "traces", "status", "says"),
    [
        (False, None, "ok", "exported when a recorder runs"),
        (True, None, "warning", "No recorder that exports traces"),
        (True, TracesStatus(since=1.0, exported=7), "ok", "7 spans exported"),
        (True, TracesStatus(since=1.0, fault="The collector is away."), "warning", "The collector is away."),
    ],
)
def test_traces_are_told_as_health_tells_them(tmp_path, is_running, traces, status, says):
    """Trouble with a collector is a warning with a next step: nothing but the traces depends on it."""
    now = time.time()
    told = RecorderStatus(pid=1, at=now, drained_at=now, backlog_bytes=0, frames=0, damaged=0, traces=traces)
    write_status(tmp_path, told)

    finding = check_traces(tmp_path, is_running=is_running)

    assert (finding.name, finding.status) == ("traces", status)
    assert says in finding.detail
    assert bool(finding.next_step) == (status != "ok")


def test_only_a_held_lock_means_somebody_lives(tmp_path):
    """A lock file that nobody holds, or none, is no recorder."""
    path = tmp_path / "recorder.lock"
    assert not is_locked(path)

    with path.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert is_locked(path)

    assert not is_locked(path)


def recorder_status(**changes):
    """What a sound recorder said of itself a second ago."""
    fields = {"pid": 1, "at": 99.0, "drained_at": 99.0, "backlog_bytes": 0, "frames": 5, "damaged": 0}
    return RecorderStatus(**fields | changes)


@pytest.mark.parametrize(
    ("status", "is_running", "behind", "verdict"),
    [
        (None, False, 0, "ok"),
        (None, False, 3, "warning"),
        (recorder_status(), True, 3, "ok"),
        (recorder_status(drained_at=1.0), True, 3, "warning"),
        (recorder_status(drained_at=1.0), True, 0, "ok"),
        (recorder_status(fault="The reports stand still."), False, 0, "ok"),
        (recorder_status(parked=1), True, 0, "warning"),
        (recorder_status(unknown=1), True, 0, "warning"),
    ],
)
def test_reports_that_stand_still_are_noticed(status, is_running, behind, verdict):
    """Frames that stay uncounted and events passed over are not "ok"."""
    found = check_reports(status, is_running=is_running, behind=behind, now=100.0)

    assert found.status == verdict
