"""The index file: private, kept, and begun anew when it cannot be used."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.errors import SettingsError
from orchestrator.providers import local_database
from orchestrator.providers.local_database import refuse_foreign
from orchestrator.providers.local_documents import Passage
from orchestrator.providers.local_index import Entry, LocalIndex


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "local.sqlite"


def put(index: LocalIndex) -> None:
    """Put a document in."""
    index.replace([Entry("/a", 1, 1, (Passage("T", "alpha", "", ""),))])


def test_the_file_is_private(path: Path) -> None:
    """Only the owner may read the passages of private documents."""
    with closing(LocalIndex.open(path)) as index:
        put(index)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert {name: mode for name, mode in modes.items() if not name.endswith(".lock")} == {
        "local.sqlite": 0o600,
        "local.sqlite-shm": 0o600,
        "local.sqlite-wal": 0o600,
    }


@pytest.mark.parametrize(
    "content", [b"this is no database at all, by any means", b"SQLite format 3\0" + b"x" * 5_000]
)
def test_a_damaged_file_is_begun_anew(path: Path, content: bytes) -> None:
    """What cannot be read is kept aside and an empty index takes its place."""
    path.write_bytes(content)

    with closing(LocalIndex.open(path)) as index:
        put(index)
        assert set(index.known()) == {"/a"}

    assert path.with_name("local.sqlite.damaged").read_bytes() == content


def test_another_version_is_begun_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of another schema is not used."""
    with closing(LocalIndex.open(path)) as index:
        put(index)
    monkeypatch.setattr(local_database, "VERSION", local_database.VERSION + 1)

    with closing(LocalIndex.open(path)) as index:
        assert index.known() == {}


def test_the_index_stays(path: Path) -> None:
    """What was indexed is there after closing and opening."""
    with closing(LocalIndex.open(path)) as index:
        put(index)
        index.finish_scan([Path("/x")], 7.0)

    with closing(LocalIndex.open(path)) as index:
        assert set(index.known()) == {"/a"}
        assert index.scanned_at([Path("/x")]) == 7.0


def test_other_databases_are_refused(path: Path) -> None:
    """A database of another program is left alone; our own, an empty and a damaged file are not refused."""
    refuse_foreign(path)
    LocalIndex.open(path).close()
    refuse_foreign(path)
    damaged = path.with_name("damaged")
    damaged.write_bytes(b"no database, but something")
    refuse_foreign(damaged)
    foreign = path.with_name("foreign.sqlite")
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE precious(x)")

    with pytest.raises(SettingsError, match="another program"):
        refuse_foreign(foreign)
    with pytest.raises(sqlite3.DatabaseError, match="another program"):
        LocalIndex.open(foreign)
    with closing(sqlite3.connect(foreign)) as connection:
        assert connection.execute("SELECT count(*) FROM precious").fetchone() == (0,)
