"""Folders of the data directory belong to their owner alone, and are tried before they are needed."""

from __future__ import annotations

import os
import stat

import pytest

from storage.folders import make_private, require_writable


def mode(path):
    """The permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def _lenient():
    """A umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_every_new_folder_is_private(tmp_path):
    """Not only the last one: the folders that were missing above it as well."""
    make_private(tmp_path / "var" / "journal")

    assert [mode(tmp_path / "var"), mode(tmp_path / "var" / "journal")] == [0o700, 0o700]


def test_an_existing_folder_is_left_alone(tmp_path):
    """Whoever made it has decided who may look."""
    (tmp_path / "var").mkdir(mode=0o750)

    make_private(tmp_path / "var")
    make_private(tmp_path / "var" / "journal")

    assert mode(tmp_path / "var") == 0o750


def test_a_writable_folder_stays_empty(tmp_path):
    """Trying leaves nothing behind."""
    require_writable(tmp_path / "var")

    assert list((tmp_path / "var").iterdir()) == []


@pytest.mark.parametrize("folder", ["file", "file/journal"])
def test_a_file_in_its_place_is_a_fault(tmp_path, folder):
    """A file where the folder, or one above it, should be is an OSError."""
    (tmp_path / "file").write_text("")

    with pytest.raises(OSError, match="file"):
        require_writable(tmp_path / folder)
