"""The recorder's status file: read by anybody, whole or not at all."""

from __future__ import annotations

from storage.file_status import STATUS_NAME, RecorderStatus, read_status, write_status

STATUS = RecorderStatus(pid=1, at=100.0, drained_at=90.0, backlog_bytes=0, frames=7, damaged=0)


def test_a_status_comes_back_as_it_was_written(tmp_path):
    """What the recorder writes a health page reads."""
    write_status(tmp_path, STATUS)

    assert read_status(tmp_path) == STATUS


def test_no_status_is_no_fault(tmp_path):
    """Where no recorder ran, or something else wrote the file, there is no status."""
    assert read_status(tmp_path) is None

    (tmp_path / STATUS_NAME).write_text("{")
    assert read_status(tmp_path) is None


def test_the_lag_grows_while_nothing_is_drained():
    """Reports are as old as the last moment at which everything was folded, and never of the future."""
    assert STATUS.lag_s(95.0) == 5.0
    assert STATUS.lag_s(80.0) == 0.0
