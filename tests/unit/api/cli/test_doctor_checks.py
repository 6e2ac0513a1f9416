"""What the doctor sees, and what it advises."""

from __future__ import annotations

import fcntl

import pytest

from api.cli.doctor_checks import (
    check_data_dir,
    check_disk,
    check_recorder,
    check_schema,
    check_sqlite,
    is_locked,
    nearest_existing,
)


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
    finding = check_recorder(is_running=is_running, backlog_bytes=backlog_bytes, backlog_bytes_max=1000)

    assert finding.status == status
    assert bool(finding.next_step) == (status != "ok")


@pytest.mark.parametrize(
    ("current", "status"), [(None, "ok"), ("0002", "ok"), ("0001", "failure"), ("", "failure")]
)
def test_an_old_schema_is_to_be_upgraded(current, status):
    """No database is fine, the newest schema too; an older or foreign one needs `amos db upgrade`."""
    finding = check_schema(current, "0002", "amos.db")

    assert finding.status == status
    assert ("amos db upgrade" in finding.next_step) == (status == "failure")


def test_only_a_held_lock_means_somebody_lives(tmp_path):
    """A lock file that nobody holds, or none, is no recorder."""
    path = tmp_path / "recorder.lock"
    assert not is_locked(path)

    with path.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert is_locked(path)

    assert not is_locked(path)
